/**
 * "Edit selection": the model's replacement streams into a diff beside the file, and the file changes only when the
 * person accepts it, and only where it still says what the model was shown.
 */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import * as vscode from "vscode";
import { codeOf, fitted } from "./code";
import { linesOf, nameOf, open, problemsOf, sourcesOf, spanOf } from "./context";
import { type Gateway, GatewayError } from "./gateway";
import { editMessages } from "./prompts";
import type { StatusBar } from "./status";
import { fitAll } from "./trim";
import type { Vault } from "./vault";
import type { Window } from "./window";

const SCHEME = "neuralinverse-edit";
const REDRAW_MS = 80;

interface Proposal {
  readonly shown: vscode.Uri;
  readonly target: vscode.Uri;
  readonly language: string;
  readonly range: vscode.Range;
  readonly original: string;
  readonly before: string;
  readonly after: string;
  readonly abort: AbortController;
  text: string;
  complete: boolean;
}

export interface Target {
  readonly uri: vscode.Uri;
  readonly range: vscode.Range;
}

export class Edits implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.#changed.event;
  readonly #proposals = new Map<string, Proposal>();
  #count = 0;

  constructor(
    readonly gateway: Gateway,
    readonly window: Window,
    readonly vault: Vault,
    readonly status: StatusBar,
  ) {}

  register(): vscode.Disposable {
    return vscode.Disposable.from(
      this,
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.commands.registerCommand("neuralinverse.edit", (instruction?: unknown) => this.ask(typeof instruction === "string" ? instruction : undefined)),
      vscode.commands.registerCommand("neuralinverse.acceptEdit", () => this.#accept(this.#active())),
      vscode.commands.registerCommand("neuralinverse.rejectEdit", () => this.#reject(this.#active())),
      vscode.window.tabGroups.onDidChangeTabs(({ closed }) => {
        for (const tab of closed) {
          const key = shownIn(tab);
          const proposal = key && this.#proposals.get(key);
          if (proposal) this.#forget(proposal);
        }
      }),
    );
  }

  dispose(): void {
    for (const proposal of [...this.#proposals.values()]) this.#forget(proposal);
    this.#changed.dispose();
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    const proposal = this.#proposals.get(uri.toString());
    return proposal ? proposal.before + proposal.text + proposal.after : "";
  }

  /** Asks what to change in the selection (or the line of the cursor), then proposes it. */
  async ask(instruction?: string): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) return void vscode.window.showWarningMessage("Open a file and select what to change.");
    const target = { uri: editor.document.uri, range: wholeLines(editor.document, editor.selection) };
    const where = `${linesOf(spanOf(target.range))} of ${nameOf(target.uri)}`;
    const text = instruction ?? (await vscode.window.showInputBox({ title: "Edit selection", prompt: `Change ${where}`, placeHolder: "What should be different?", ignoreFocusOut: true }));
    if (text?.trim()) await this.propose(target, text.trim());
  }

  /** Shows a changed `target` as a diff. Failures are said in a message; the file is not touched. */
  async propose(target: Target, instruction: string): Promise<void> {
    const name = nameOf(target.uri);
    const document = await open(target.uri);
    if (typeof document === "string") return void vscode.window.showWarningMessage(document);
    if (await isReadOnly(target.uri)) return void vscode.window.showWarningMessage(`${name} is read-only and cannot be edited; you can ask about it.`);
    const range = wholeLines(document, target.range);
    const where = `${linesOf(spanOf(range))} of ${name}`;
    const proposal = this.#begin(document, range);
    const stop = await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title: `Editing ${where}`, cancellable: true }, async (_, token) => {
      token.onCancellationRequested(() => proposal.abort.abort());
      return this.#stream(proposal, document, instruction);
    });
    if (!this.#proposals.has(proposal.shown.toString())) return; // the person closed it while it was written
    if (stop === "cancelled" || proposal.text === "") {
      await this.#close(proposal);
      if (typeof stop === "object") void vscode.window.showWarningMessage(stop.message);
      else if (stop !== "cancelled") void vscode.window.showWarningMessage(`${stop} answered without any code. ${name} is as it was; ask again, or put it differently.`);
      return;
    }
    if (proposal.text === proposal.original) {
      await this.#close(proposal);
      return void vscode.window.showInformationMessage(`The model left ${where} as it is.`);
    }
    proposal.complete = true;
    const question = typeof stop === "object" ? `${stop.message} Accept what arrived?` : `${stop} changed ${where}.`;
    const answer = await vscode.window[typeof stop === "object" ? "showWarningMessage" : "showInformationMessage"](question, "Accept", "Reject");
    if (answer === "Accept") await this.#accept(proposal);
    if (answer === "Reject") await this.#reject(proposal);
  }

  #begin(document: vscode.TextDocument, range: vscode.Range): Proposal {
    const text = document.getText();
    const [start, end] = [document.offsetAt(range.start), document.offsetAt(range.end)];
    const path = document.uri.path.startsWith("/") ? document.uri.path : `/${document.uri.path}`;
    const proposal: Proposal = {
      shown: vscode.Uri.from({ scheme: SCHEME, path, query: String(++this.#count) }),
      target: document.uri,
      language: document.languageId,
      range,
      original: text.slice(start, end),
      before: text.slice(0, start),
      after: text.slice(end),
      abort: new AbortController(),
      text: "",
      complete: false,
    };
    this.#proposals.set(proposal.shown.toString(), proposal);
    return proposal;
  }

  /** Streams the answer into the diff. Returns who answered, the failure that ended it, or that it was cancelled. */
  async #stream(proposal: Proposal, document: vscode.TextDocument, instruction: string): Promise<string | GatewayError | "cancelled"> {
    const budget = await this.window.budget("coding", proposal.abort.signal);
    if (proposal.original.length > budget * 0.4) {
      return new GatewayError("too-long", `${linesOf(spanOf(proposal.range))} are too much for one edit: select less.`);
    }
    const [, ...around] = sourcesOf(document, proposal.range);
    const { fitted: context } = fitAll(around, budget - 2 * proposal.original.length, instruction);
    const messages = editMessages({ instruction, selected: proposal.original, language: document.languageId, context, problems: problemsOf(document, proposal.range) });
    let answer = "";
    let drawn = 0;
    let showing: Promise<void> | undefined;
    const draw = async () => {
      const code = codeOf(answer);
      proposal.text = code.trim() === "" ? "" : await this.vault.restore(fitted(code, proposal.original));
      if (proposal.text) this.#changed.fire(proposal.shown);
    };
    try {
      const stream = this.gateway.chat({ model: "coding", messages }, proposal.abort.signal);
      for (;;) {
        const step = await stream.next();
        if (step.done) {
          await draw();
          this.status.answeredBy(step.value.model);
          if (step.value.finish === "length") return new GatewayError("cut", `${step.value.model} reached the end of what it can write before the edit was complete.`, answer);
          return step.value.model;
        }
        if (step.value.kind !== "text") continue;
        answer += step.value.text;
        if (Date.now() - drawn < REDRAW_MS) continue;
        await draw();
        drawn = Date.now();
        // Not awaited: what nobody reads while the diff opens is lost when the connection breaks.
        if (proposal.text !== "") showing ??= this.#show(proposal);
      }
    } catch (error) {
      if (proposal.abort.signal.aborted) return "cancelled";
      if (!(error instanceof GatewayError)) throw error;
      await draw();
      return error;
    } finally {
      await showing;
      if (proposal.text && !proposal.abort.signal.aborted) {
        await this.#show(proposal);
        await this.#settle(proposal);
      }
    }
  }

  /** Waits until the diff shows all of the proposal: a change announced while VS Code still opens the diff is lost there. */
  async #settle(proposal: Proposal): Promise<void> {
    const wanted = this.provideTextDocumentContent(proposal.shown).replaceAll("\r\n", "\n");
    for (let waitMs = 20; waitMs < 3_000 && this.#proposals.has(proposal.shown.toString()); waitMs *= 2) {
      const shown = vscode.workspace.textDocuments.find((document) => document.uri.toString() === proposal.shown.toString());
      if (shown?.getText().replaceAll("\r\n", "\n") === wanted) return;
      if (shown) this.#changed.fire(proposal.shown);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  async #show(proposal: Proposal): Promise<void> {
    if (!this.#proposals.has(proposal.shown.toString())) return;
    // By its name a notebook's cell would be JSON, full of errors.
    const shown = await vscode.workspace.openTextDocument(proposal.shown);
    if (shown.languageId !== proposal.language) await vscode.languages.setTextDocumentLanguage(shown, proposal.language);
    await vscode.commands.executeCommand("vscode.diff", proposal.target, proposal.shown, `${nameOf(proposal.target)}: proposed edit`, {
      preview: false,
      selection: new vscode.Range(proposal.range.start, proposal.range.start),
    });
  }

  #active(): Proposal | undefined {
    const tab = vscode.window.tabGroups.activeTabGroup.activeTab;
    const key = tab && shownIn(tab);
    return key ? this.#proposals.get(key) : [...this.#proposals.values()].at(-1);
  }

  async #accept(proposal: Proposal | undefined): Promise<void> {
    if (!proposal || !this.#proposals.has(proposal.shown.toString())) return;
    if (!proposal.complete) return void vscode.window.showInformationMessage("The edit is still being written.");
    const document = await vscode.workspace.openTextDocument(proposal.target);
    const name = nameOf(proposal.target);
    const range = placeOf(document, proposal);
    if (!range) return void vscode.window.showWarningMessage(`${name} has changed where the edit belongs. Nothing was overwritten: undo your change, or ask again.`);
    const edit = new vscode.WorkspaceEdit();
    edit.replace(proposal.target, range, proposal.text);
    if (!(await vscode.workspace.applyEdit(edit))) return void vscode.window.showWarningMessage(`${name} could not be changed; is it read-only?`);
    await this.#close(proposal);
    await vscode.window.showTextDocument(document, { selection: new vscode.Range(range.start, range.start) });
  }

  async #reject(proposal: Proposal | undefined): Promise<void> {
    if (proposal) await this.#close(proposal);
  }

  async #close(proposal: Proposal): Promise<void> {
    this.#forget(proposal);
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs).filter((tab) => shownIn(tab) === proposal.shown.toString());
    await vscode.window.tabGroups.close(tabs);
  }

  #forget(proposal: Proposal): void {
    proposal.abort.abort();
    this.#proposals.delete(proposal.shown.toString());
  }
}

function shownIn(tab: vscode.Tab): string | undefined {
  const input = tab.input;
  return input instanceof vscode.TabInputTextDiff && input.modified.scheme === SCHEME ? input.modified.toString() : undefined;
}

/** Where the original text stands now: where it stood, or the only other place that has it; undefined: nowhere. */
function placeOf(document: vscode.TextDocument, proposal: Proposal): vscode.Range | undefined {
  if (document.getText(proposal.range) === proposal.original) return proposal.range;
  const text = document.getText();
  const at = proposal.original ? text.indexOf(proposal.original) : -1;
  if (at < 0 || text.indexOf(proposal.original, at + 1) >= 0) return undefined;
  return new vscode.Range(document.positionAt(at), document.positionAt(at + proposal.original.length));
}

function wholeLines(document: vscode.TextDocument, range: vscode.Range): vscode.Range {
  const { first, last } = spanOf(range);
  return new vscode.Range(new vscode.Position(first, 0), document.lineAt(Math.min(last, document.lineCount - 1)).rangeIncludingLineBreak.end);
}

async function isReadOnly(uri: vscode.Uri): Promise<boolean> {
  if (uri.scheme !== "file") return vscode.workspace.fs.isWritableFileSystem(uri.scheme) === false;
  try {
    if (((await stat(uri.fsPath)).mode & 0o222) === 0) return true; // nobody may write, though root could
    await access(uri.fsPath, constants.W_OK);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOENT"; // one that is not saved yet can be written
  }
}
