/** The gateway's tasks and models in VS Code's own model picker, for its chat, its agent mode and other extensions. */
import * as vscode from "vscode";
import { type Gateway, GatewayError, type Model } from "./gateway";
import type { StatusBar } from "./status";
import { tokens } from "./trim";
import { inputOf, toMessages, toTools } from "./wire";

export const VENDOR = "neuralinverse";
const GUESS_TOKENS = 8_192;
const FRESH_MS = 60_000;

/** What the gateway always has, listed before it was asked: a chat must be able to say that the gateway is away. */
const KNOWN: readonly Model[] = [
  { id: "auto", kind: "task", servedBy: undefined, description: "picks the model that fits the question", windowTokens: undefined },
  { id: "coding", kind: "task", servedBy: undefined, description: "for writing and changing code", windowTokens: undefined },
  { id: "reasoning", kind: "task", servedBy: undefined, description: "for problems that need thinking", windowTokens: undefined },
  { id: "general", kind: "task", servedBy: undefined, description: "for everything else", windowTokens: undefined },
];

/** VS Code picks the first name of the alphabet when nothing was picked yet: that has to be the one that picks by itself. */
const NAMES: Readonly<Record<string, string>> = { auto: "Auto", coding: "Coding", reasoning: "Reasoning", general: "General" };

export class Models implements vscode.LanguageModelChatProvider {
  readonly #changed = new vscode.EventEmitter<void>();
  readonly onDidChangeLanguageModelChatInformation = this.#changed.event;
  #models = KNOWN;
  #askedAt = 0;

  constructor(
    readonly gateway: Gateway,
    readonly status: StatusBar,
  ) {}

  register(): vscode.Disposable {
    return vscode.Disposable.from(vscode.lm.registerLanguageModelChatProvider(VENDOR, this), this.#changed);
  }

  /**
   * Makes VS Code fetch the list now. It does so by itself only once a chat was used, and until then it answers for
   * every participant "Language model unavailable" and calls nobody.
   */
  async announce(): Promise<void> {
    await vscode.lm.selectChatModels({ vendor: VENDOR });
  }

  provideLanguageModelChatInformation(): vscode.LanguageModelChatInformation[] {
    void this.#refresh();
    return this.#models.map((model) => {
      const window = model.windowTokens ?? GUESS_TOKENS;
      const description = model.servedBy ? `Answered by ${model.servedBy}.` : (model.description ?? "");
      return {
        id: model.id,
        name: NAMES[model.id] ?? model.id,
        family: model.id,
        version: "1",
        ...(model.servedBy && { detail: model.servedBy }),
        tooltip: description,
        maxInputTokens: Math.floor(window * 0.75),
        maxOutputTokens: Math.floor(window * 0.25),
        capabilities: { toolCalling: true },
      };
    });
  }

  async provideLanguageModelChatResponse(
    model: vscode.LanguageModelChatInformation,
    messages: readonly vscode.LanguageModelChatRequestMessage[],
    options: vscode.ProvideLanguageModelChatResponseOptions,
    progress: vscode.Progress<vscode.LanguageModelResponsePart>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    const tools = toTools(options.tools ?? []);
    const required = options.toolMode === vscode.LanguageModelChatToolMode.Required;
    const answer = this.gateway.chat(
      { model: model.id, messages: toMessages(messages), ...(tools.length > 0 && { tools, tool_choice: required ? "required" : "auto" }) },
      abort.signal,
    );
    try {
      for (;;) {
        const step = await answer.next();
        if (step.done) {
          this.status.answeredBy(step.value.model);
          return;
        }
        if (step.value.kind === "text") progress.report(new vscode.LanguageModelTextPart(step.value.text));
        if (step.value.kind !== "tools") continue;
        for (const call of step.value.calls) {
          const input = inputOf(call);
          if (input) progress.report(new vscode.LanguageModelToolCallPart(call.id, call.function.name, input));
          else progress.report(new vscode.LanguageModelTextPart(`\n\nThe model called the tool ${call.function.name} with arguments that are not valid JSON, so it was not run.\n`));
        }
      }
    } catch (error) {
      if (abort.signal.aborted) throw new vscode.CancellationError();
      throw error instanceof GatewayError ? new Error(error.message, { cause: error }) : error;
    }
  }

  provideTokenCount(_model: vscode.LanguageModelChatInformation, text: string | vscode.LanguageModelChatRequestMessage): Promise<number> {
    const content = typeof text === "string" ? text : toMessages([text]).reduce((all, message) => all + (message.content ?? ""), "");
    return Promise.resolve(tokens(content.length));
  }

  async #refresh(): Promise<void> {
    if (Date.now() - this.#askedAt < FRESH_MS) return;
    this.#askedAt = Date.now();
    try {
      const found = (await this.gateway.models(AbortSignal.timeout(15_000))).filter((model) => model.kind !== "deployment");
      if (found.length === 0 || JSON.stringify(found) === JSON.stringify(this.#models)) return;
      this.#models = found;
      this.#changed.fire();
    } catch {
      this.#askedAt = 0; // away: the list stays as it is, and a request will say why it fails
    }
  }
}
