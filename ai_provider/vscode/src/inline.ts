/** Ghost text while typing, in files and notebook cells, and nowhere else: not in the chat box, not in a commit message. */
import * as vscode from "vscode";
import { cellsAbove, nameOf } from "./context";
import type { Completer, Neighbour } from "./ghost";
import { isSecretPath } from "./secrets";
import type { StatusBar } from "./status";
import type { Vault } from "./vault";

const WHERE: vscode.DocumentSelector = [{ scheme: "file" }, { scheme: "vscode-notebook-cell" }];
const TRIGGER = "editor.action.inlineSuggest.trigger";
const OURS = "neuralinverse.neuralinverse:*";
const MOST_NEIGHBOURS = 6;
const LONGEST_CHARS = 2_000_000;

export class Inline implements vscode.InlineCompletionItemProvider {
  /** The editor that is being woken, as it was then: while nothing was typed there, nothing is wanted. */
  #waking: { readonly document: vscode.TextDocument; readonly version: number } | undefined;

  constructor(
    readonly completer: Completer,
    readonly vault: Vault,
    readonly status: StatusBar,
  ) {}

  register(): vscode.Disposable {
    const registered = vscode.languages.registerInlineCompletionItemProvider(WHERE, this);
    void this.#wake(vscode.window.activeTextEditor);
    return vscode.Disposable.from(
      registered,
      vscode.window.onDidChangeActiveTextEditor((editor) => this.#wake(editor)),
    );
  }

  /**
   * Has VS Code make the part of a new editor that suggests. By itself it does so when the window is idle, up to 5 s late,
   * and whoever typed before that and waits is never suggested anything. The command and its arguments are no fixed API: should
   * an upgrade change them, it is as VS Code has it.
   */
  async #wake(editor: vscode.TextEditor | undefined): Promise<void> {
    if (!editor || vscode.languages.match(WHERE, editor.document) === 0) return;
    if (!vscode.workspace.getConfiguration("editor", editor.document).get("inlineSuggest.enabled")) return;
    const waking = { document: editor.document, version: editor.document.version };
    this.#waking = waking;
    try {
      await vscode.commands.executeCommand(TRIGGER, { explicit: false, providerId: OURS });
    } catch {
      // Without it the suggestions begin a little later.
    }
    if (this.#waking === waking) this.#waking = undefined;
  }

  async provideInlineCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    context: vscode.InlineCompletionContext,
    token: vscode.CancellationToken,
  ): Promise<vscode.InlineCompletionItem[]> {
    if (isSecretPath(document.uri.path)) return [];
    if (this.#waking?.document === document && this.#waking.version === document.version) return [];
    const text = document.getText().replaceAll("\r\n", "\n");
    if (text.length > LONGEST_CHARS) return [];
    const typed = upTo(document, position);
    // While VS Code's list of words is open it shows only what goes on from the word that is chosen there, so that word
    // is taken as typed. A snippet's placeholders are no text that a model could go on from.
    const chosen = context.selectedCompletionInfo;
    if (chosen && /\$[{\d]/.test(chosen.text)) return [];
    const from = chosen?.range.start ?? position;
    const before = chosen ? upTo(document, from) + chosen.text : typed;
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    const shown = await this.completer.complete(
      {
        language: document.languageId,
        before: cellsAbove(document) + before,
        after: text.slice(typed.length),
        explicit: context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke,
        neighbours: () => neighbours(document),
      },
      abort.signal,
    );
    // Nobody wants a message at every key; the status bar says why nothing is suggested.
    this.status.completions(this.completer.failure?.message);
    if (!shown || token.isCancellationRequested) return [];
    if (shown.model) this.status.answeredBy(shown.model);
    const suggested = (chosen?.text ?? "") + (await this.vault.restore(shown.text));
    return [new vscode.InlineCompletionItem(suggested, new vscode.Range(from, position.translate(0, shown.replaces)))];
  }
}

/** All text before `position`, with lines that end as models know them. */
function upTo(document: vscode.TextDocument, position: vscode.Position): string {
  return document.getText(new vscode.Range(new vscode.Position(0, 0), position)).replaceAll("\r\n", "\n");
}

/** Open files of the same language, those that are visible first. */
function neighbours(document: vscode.TextDocument): Neighbour[] {
  const visible = vscode.window.visibleTextEditors.map((editor) => editor.document);
  return [...new Set([...visible, ...vscode.workspace.textDocuments])]
    .filter((other) => other !== document && other.uri.scheme === "file" && other.languageId === document.languageId && !isSecretPath(other.uri.path))
    .slice(0, MOST_NEIGHBOURS)
    .map((other) => ({ name: nameOf(other.uri), text: other.getText() }));
}
