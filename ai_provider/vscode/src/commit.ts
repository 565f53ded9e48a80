/** A commit message for what is staged (or, when nothing is, for all changes), written into the Git view's box. */
import * as vscode from "vscode";
import { commitMessage, withoutSecretFiles } from "./code";
import { type Gateway, GatewayError } from "./gateway";
import { commitMessages } from "./prompts";
import { isSecretPath } from "./secrets";
import type { StatusBar } from "./status";
import { fit } from "./trim";
import { SMALLEST_BUDGET, type Window } from "./window";

/** The part of the built-in Git extension's API that is used here. */
interface Repository {
  readonly rootUri: vscode.Uri;
  readonly inputBox: { value: string };
  readonly state: { readonly workingTreeChanges: readonly Change[]; readonly untrackedChanges?: readonly Change[] };
  diff(cached?: boolean): Promise<string>;
}

interface Change {
  readonly uri: vscode.Uri;
}

interface Git {
  getAPI(version: 1): { readonly repositories: readonly Repository[]; getRepository(uri: vscode.Uri): Repository | null };
}

export class Commits {
  constructor(
    readonly gateway: Gateway,
    readonly window: Window,
    readonly status: StatusBar,
  ) {}

  register(): vscode.Disposable {
    return vscode.commands.registerCommand("neuralinverse.commitMessage", (control?: { rootUri?: vscode.Uri }) => this.#write(control?.rootUri));
  }

  async #write(root: vscode.Uri | undefined): Promise<void> {
    const repository = await find(root);
    if (!repository) return void vscode.window.showWarningMessage("There is no Git repository open.");
    const typed = repository.inputBox.value;
    if (typed.trim()) {
      const replace = await vscode.window.showWarningMessage("Replace the message that is there?", { modal: true }, "Replace");
      if (replace !== "Replace") return;
    }
    const changes = await changesOf(repository);
    if (typeof changes === "string") return void vscode.window.showWarningMessage(changes);
    try {
      await vscode.window.withProgress({ location: vscode.ProgressLocation.SourceControl, title: "Writing a commit message" }, () => this.#stream(repository, changes));
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      if (!error.received) repository.inputBox.value = typed;
      void vscode.window.showWarningMessage(error.message);
    }
  }

  async #stream(repository: Repository, changes: { diff: string; files: readonly string[] }): Promise<void> {
    const abort = new AbortController();
    let budget = await this.window.budget("coding", abort.signal);
    for (;;) {
      try {
        return await this.#answer(repository, changes, budget, abort.signal);
      } catch (error) {
        if (!(error instanceof GatewayError) || error.failure !== "too-long" || budget / 2 < SMALLEST_BUDGET) throw error;
        budget = Math.floor(budget / 2);
        this.window.shrink(budget);
      }
    }
  }

  async #answer(repository: Repository, changes: { diff: string; files: readonly string[] }, budget: number, signal: AbortSignal): Promise<void> {
    const { text } = fit({ name: "diff", language: "diff", text: changes.diff }, Math.floor(budget * 0.8));
    const stream = this.gateway.chat({ model: "coding", messages: commitMessages(text, changes.files), max_tokens: 200 }, signal);
    let answer = "";
    for (;;) {
      const step = await stream.next();
      if (step.done) {
        this.status.answeredBy(step.value.model);
        return;
      }
      if (step.value.kind !== "text") continue;
      answer += step.value.text;
      repository.inputBox.value = commitMessage(answer);
    }
  }
}

async function find(root: vscode.Uri | undefined): Promise<Repository | undefined> {
  const extension = vscode.extensions.getExtension<Git>("vscode.git");
  const api = (await extension?.activate())?.getAPI(1);
  const here = root ?? vscode.window.activeTextEditor?.document.uri;
  return (here && api?.getRepository(here)) ?? api?.repositories[0];
}

/** What is to be committed, without secrets; or the sentence that says why there is nothing. */
async function changesOf(repository: Repository): Promise<{ diff: string; files: string[] } | string> {
  const staged = await repository.diff(true);
  const whole = staged || (await repository.diff(false));
  const { diff, left } = withoutSecretFiles(whole, isSecretPath);
  // New files that are not staged are in no diff; their names say something, too.
  const files = staged
    ? []
    : [...repository.state.workingTreeChanges, ...(repository.state.untrackedChanges ?? [])]
        .map(({ uri }) => vscode.workspace.asRelativePath(uri, false))
        .filter((path) => !isSecretPath(path) && !diff.includes(path));
  if (diff.trim() || files.length > 0) return { diff, files };
  return left > 0 ? "Only files that may hold secrets have changed; they are not sent." : "Nothing has changed since the last commit.";
}
