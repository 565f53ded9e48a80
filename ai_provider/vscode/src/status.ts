/** The status-bar item: which model answered last, and whether the work is protected. Never a counter. */
import { unwatchFile, watchFile } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as vscode from "vscode";
import { type SyncStatus, describe, parseStatus } from "./sync";

const POLL_MS = 500;

export class StatusBar implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem("neuralinverse.status", vscode.StatusBarAlignment.Right, 90);
  readonly #file: string | undefined;
  readonly #changed = () => void this.#read();
  #sync: SyncStatus | undefined;
  #model: string | undefined;
  #completions: string | undefined;

  constructor(stateFolder: string | undefined) {
    this.#item.name = "Neural Inverse";
    this.#item.command = "neuralinverse.showStatus";
    this.#show();
    this.#item.show();
    if (stateFolder) {
      // The file is replaced by a rename and may not exist yet: polling one stat sees both, a watch on it neither.
      this.#file = join(stateFolder, "sync.json");
      watchFile(this.#file, { interval: POLL_MS, persistent: false }, this.#changed);
      void this.#read();
    }
  }

  /** The real name of the model that answered, from now on shown. */
  answeredBy(model: string): void {
    this.#model = model;
    this.#show();
  }

  /** Why nothing is suggested while typing; undefined: all is well. */
  completions(error: string | undefined): void {
    if (this.#completions === error) return;
    this.#completions = error;
    this.#show();
  }

  dispose(): void {
    if (this.#file) unwatchFile(this.#file, this.#changed);
    this.#item.dispose();
  }

  /** Shows everything the item stands for, in a list; a file that is not protected can be opened from it. */
  async details(): Promise<void> {
    const words = describe(this.#sync);
    const entries: (vscode.QuickPickItem & { run?: () => unknown })[] = [
      { label: `$(${words.icon}) ${words.label || "Not synced"}`, detail: words.sentence },
      { label: "$(sparkle) AI", detail: this.#model ? `${this.#model} gave the last answer.` : "No model has answered in this window yet." },
      { label: "$(comment-discussion) Open the chat", detail: "Ask @neuralinverse", run: () => vscode.commands.executeCommand("neuralinverse.openChat") },
    ];
    if (this.#completions) entries.push({ label: "$(warning) Suggestions while typing are paused", detail: this.#completions });
    for (const { path, reason } of this.#sync?.notProtected ?? []) {
      entries.push({ label: `$(warning) ${path}`, detail: `Not protected: ${reason}`, run: () => show(path) });
    }
    const picked = await vscode.window.showQuickPick(entries, { title: "Neural Inverse", placeHolder: "AI and protection of your work" });
    await picked?.run?.();
  }

  async #read(): Promise<void> {
    if (!this.#file) return;
    try {
      this.#sync = parseStatus(await readFile(this.#file, "utf8")) ?? this.#sync;
    } catch {
      return; // not there yet: what was known stays
    }
    this.#show();
  }

  #show(): void {
    const words = describe(this.#sync);
    const model = this.#model ? shorten(this.#model) : "Neural Inverse";
    this.#item.text = words.label ? `$(${words.icon}) ${words.label}  $(sparkle) ${model}` : `$(sparkle) ${model}`;
    const tooltip = new vscode.MarkdownString("", true);
    tooltip.appendText(words.sentence);
    tooltip.appendMarkdown("\n\n");
    tooltip.appendText(this.#model ? `${this.#model} gave the last answer.` : "AI is ready: ask @neuralinverse in the chat.");
    const paused = this.#completions ? `Suggestions while typing are paused. ${this.#completions}` : "";
    tooltip.appendMarkdown("\n\n");
    tooltip.appendText(paused);
    this.#item.tooltip = tooltip;
    this.#item.accessibilityInformation = { label: [`${words.label || "Neural Inverse"}.`, words.sentence, this.#model && `${this.#model}.`, paused].filter(Boolean).join(" ") };
    this.#item.backgroundColor = words.warning ? new vscode.ThemeColor("statusBarItem.warningBackground") : undefined;
  }
}

function shorten(model: string): string {
  return model.length > 32 ? `${model.slice(0, 31)}…` : model;
}

async function show(path: string): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  if (folder) await vscode.commands.executeCommand("vscode.open", vscode.Uri.joinPath(folder.uri, path));
}
