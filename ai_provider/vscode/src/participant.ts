/** `@neuralinverse` in the chat: gathers context, asks the gateway, streams the answer, names who gave it. */
import * as vscode from "vscode";
import { gather } from "./context";
import { GatewayError, type Gateway, type Outcome, type Piece } from "./gateway";
import { closeFence, footer } from "./markdown";
import { VENDOR } from "./models";
import { type Intent, type Turn, messages, recent, taskOf } from "./prompts";
import type { StatusBar } from "./status";
import { fitAll } from "./trim";
import { SMALLEST_BUDGET, type Window } from "./window";

export const PARTICIPANT = "neuralinverse.chat";
const WAITING_MS = 4_000;

interface Kept {
  readonly answer: string;
  readonly model: string;
}

export class Participant {
  constructor(
    readonly gateway: Gateway,
    readonly window: Window,
    readonly status: StatusBar,
  ) {}

  register(): vscode.Disposable {
    const participant = vscode.chat.createChatParticipant(PARTICIPANT, (request, context, stream, token) => this.#handle(request, context, stream, token));
    participant.iconPath = new vscode.ThemeIcon("sparkle");
    return participant;
  }

  async #handle(
    request: vscode.ChatRequest,
    context: vscode.ChatContext,
    stream: vscode.ChatResponseStream,
    token: vscode.CancellationToken,
  ): Promise<vscode.ChatResult> {
    const intent = (request.command ?? "ask") as Intent;
    const text = request.prompt.trim();
    const gathered = await gather(text, request.references, vscode.window.activeTextEditor);
    if (intent === "ask" && !text) {
      stream.markdown("What would you like to know? Write your question after `@neuralinverse`.");
      return {};
    }
    if (intent !== "ask" && gathered.sources.length === 0) {
      const notes = gathered.notes.length > 0 ? gathered.notes.join(" ") : "There is no code to work on.";
      return { errorDetails: { message: `${notes} Open a file, select code or attach one with #file.` } };
    }
    for (const note of gathered.notes) say(stream, note);

    const picked = request.model.vendor === VENDOR ? request.model.id : "auto";
    const asked = picked === "auto" ? undefined : picked;
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    const history = turns(context.history);
    const model = asked ?? taskOf(intent);
    let budget = await this.window.budget(model, abort.signal);
    for (;;) {
      const { fitted, notes } = fitAll(gathered.sources, Math.max(budget - text.length, SMALLEST_BUDGET / 2), `${text}\n${gathered.problems.join("\n")}`);
      const question = { intent, text, context: fitted, problems: gathered.problems, history: recent(history, budget / 3) };
      const answer = this.gateway.chat({ model, messages: messages(question) }, abort.signal);
      try {
        return await this.#relay(answer, notes, stream);
      } catch (error) {
        if (abort.signal.aborted) return {};
        if (error instanceof GatewayError && error.failure === "too-long" && budget / 2 >= SMALLEST_BUDGET) {
          budget = Math.floor(budget / 2);
          this.window.shrink(budget);
          continue;
        }
        if (!(error instanceof GatewayError)) throw error;
        return { errorDetails: { message: error.message }, metadata: { answer: error.received, model: "" } satisfies Kept };
      }
    }
  }

  async #relay(answer: AsyncGenerator<Piece, Outcome>, notes: readonly string[], stream: vscode.ChatResponseStream): Promise<vscode.ChatResult> {
    const waiting = setTimeout(() => stream.progress("Waiting for a model…"), WAITING_MS);
    let thinking = false;
    let started = false;
    try {
      for (;;) {
        const step = await answer.next();
        clearTimeout(waiting);
        if (!started) {
          started = true;
          for (const note of notes) say(stream, note);
        }
        if (step.done) {
          const outcome = step.value;
          stream.markdown(closeFence(outcome.text) + footer(outcome));
          this.status.answeredBy(outcome.model);
          return { metadata: { answer: outcome.text, model: outcome.model } satisfies Kept };
        }
        if (step.value.kind === "text") stream.markdown(step.value.text);
        if (step.value.kind === "reasoning" && !thinking) {
          thinking = true;
          stream.progress("Thinking…");
        }
      }
    } finally {
      clearTimeout(waiting);
    }
  }
}

function say(stream: vscode.ChatResponseStream, note: string): void {
  const line = new vscode.MarkdownString(`$(info) ${note}\n\n`, true);
  stream.markdown(line);
}

function turns(history: vscode.ChatContext["history"]): Turn[] {
  return history.flatMap((turn): Turn[] => {
    if (turn instanceof vscode.ChatRequestTurn) return [{ role: "user", text: [turn.command && `/${turn.command}`, turn.prompt].filter(Boolean).join(" ") }];
    const kept = turn.result.metadata as Kept | undefined;
    return kept?.answer ? [{ role: "assistant", text: kept.answer }] : [];
  });
}
