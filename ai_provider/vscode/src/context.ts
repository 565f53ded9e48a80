/** Turns what the person points at (references, the selection, the open file) into text that may be sent. */
import * as vscode from "vscode";
import { isSecretPath } from "./secrets";
import type { Source, Span } from "./trim";

export interface Gathered {
  readonly sources: readonly Source[];
  /** Short sentences about what was not sent, for the person. */
  readonly notes: readonly string[];
  /** Problems the editor reports in the focus, e.g. `line 3: undefined name 're'`. */
  readonly problems: readonly string[];
}

/** Around a selection, more of its file is context and not the subject: this many characters of it at most. */
const SURROUNDING_CHARS = 8_000;

/** `prompt` is read for `#file:…` that was typed by hand, which VS Code does not make a reference of. */
export async function gather(prompt: string, references: readonly vscode.ChatPromptReference[], editor: vscode.TextEditor | undefined): Promise<Gathered> {
  const sources: Source[] = [];
  const notes: string[] = [];
  const problems: string[] = [];
  const seen = new Set<string>();

  const add = async (uri: vscode.Uri, range: vscode.Range | undefined) => {
    const key = `${uri.toString()} ${range ? `${range.start.line}-${range.end.line}` : ""}`;
    if (seen.has(key)) return;
    seen.add(key);
    const opened = await open(uri);
    if (typeof opened === "string") {
      notes.push(opened);
      return;
    }
    sources.push(...sourcesOf(opened, range));
    problems.push(...problemsOf(opened, range));
  };

  for (const reference of references) {
    const value = reference.value;
    if (value instanceof vscode.Uri) await add(value, undefined);
    else if (value instanceof vscode.Location) await add(value.uri, value.range);
    else if (typeof value === "string" && value.trim()) sources.push({ name: reference.modelDescription ?? "Attached text", language: "", text: value });
  }
  for (const path of mentioned(prompt)) {
    const uri = await find(path);
    if (uri) await add(uri, undefined);
    else notes.push(`There is no file ${path} in this workspace.`);
  }
  if (sources.length === 0 && notes.length === 0 && editor) {
    await add(editor.document.uri, editor.selection.isEmpty ? undefined : editor.selection);
  }
  return { sources, notes, problems };
}

/** The paths after `#file:` in `prompt`. */
function mentioned(prompt: string): string[] {
  return [...prompt.matchAll(/(?:^|\s)#file:([^\s,;]+)/g)].map((match) => match[1] ?? "");
}

async function find(path: string): Promise<vscode.Uri | undefined> {
  for (const folder of vscode.workspace.workspaceFolders ?? []) {
    const uri = vscode.Uri.joinPath(folder.uri, path);
    if (await vscode.workspace.fs.stat(uri).then(() => true, () => false)) return uri;
  }
  const [found] = await vscode.workspace.findFiles(`**/${path.replace(/[{}[\]*?]/g, "?")}`, undefined, 1);
  return found;
}

/** The document at `uri`, or the sentence that says why it is not sent. */
export async function open(uri: vscode.Uri): Promise<vscode.TextDocument | string> {
  const name = nameOf(uri);
  if (isSecretPath(uri.path)) return `${name} may hold secrets and was not sent.`;
  try {
    if (uri.scheme === "file") {
      const stat = await vscode.workspace.fs.stat(uri);
      if (stat.type & vscode.FileType.Directory) return `${name} is a folder and was not sent: attach files.`;
    }
    const document = await vscode.workspace.openTextDocument(uri);
    if (document.getText().includes("\0")) return `${name} is a binary file and was not sent.`;
    return document;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (/binary/i.test(why)) return `${name} is a binary file and was not sent.`;
    return `${name} could not be read and was not sent.`;
  }
}

export function sourcesOf(document: vscode.TextDocument, range: vscode.Range | undefined): Source[] {
  const name = nameOf(document.uri);
  const language = document.languageId;
  const text = document.getText();
  const earlier = cellsAbove(document).slice(-SURROUNDING_CHARS);
  const above: Source[] = earlier ? [{ name: `${name}, the cells above it`, language, text: earlier }] : [];
  if (!range || range.isEmpty) {
    const visible = vscode.window.visibleTextEditors.find((editor) => editor.document === document)?.visibleRanges[0];
    return [{ name, language, text, ...(visible && { focus: spanOf(visible) }) }, ...above];
  }
  const focus = spanOf(range);
  const selected: Source = { name: `${name}, ${linesOf(focus)} (selected)`, language, text: document.getText(range) };
  const rest = text.length - selected.text.length;
  if (rest < 20) return [selected, ...above];
  const around = text.length <= SURROUNDING_CHARS ? text : aroundFocus(document, focus);
  return [selected, { name: `${name}, around it`, language, text: around }, ...above];
}

function aroundFocus(document: vscode.TextDocument, focus: Span): string {
  const text = document.getText();
  const start = document.offsetAt(new vscode.Position(focus.first, 0));
  const from = Math.max(0, start - SURROUNDING_CHARS / 2);
  const first = document.positionAt(from).line + (from > 0 ? 1 : 0);
  const last = document.positionAt(Math.min(text.length, from + SURROUNDING_CHARS)).line;
  return document.getText(new vscode.Range(first, 0, last, Number.MAX_SAFE_INTEGER));
}

export function problemsOf(document: vscode.TextDocument, range: vscode.Range | undefined): string[] {
  return vscode.languages
    .getDiagnostics(document.uri)
    .filter((diagnostic) => diagnostic.severity <= vscode.DiagnosticSeverity.Warning && (!range || range.intersection(diagnostic.range)))
    .slice(0, 20)
    .map((diagnostic) => `line ${diagnostic.range.start.line + 1}: ${diagnostic.message}`);
}

/** The code cells above a notebook's cell, which its code goes on from; nothing for a file. */
export function cellsAbove(document: vscode.TextDocument): string {
  if (document.uri.scheme !== "vscode-notebook-cell") return "";
  const notebook = vscode.workspace.notebookDocuments.find((each) => each.getCells().some((cell) => cell.document === document));
  const above: string[] = [];
  for (const cell of notebook?.getCells() ?? []) {
    if (cell.document === document) break;
    if (cell.kind === vscode.NotebookCellKind.Code) above.push(cell.document.getText().replaceAll("\r\n", "\n"));
  }
  return above.length > 0 ? `${above.join("\n\n")}\n\n` : "";
}

/** The path within the workspace; of a notebook's cell, the notebook's and which cell it is. */
export function nameOf(uri: vscode.Uri): string {
  if (uri.scheme === "untitled") return uri.path;
  if (uri.scheme !== "vscode-notebook-cell") return vscode.workspace.asRelativePath(uri, false);
  const cells = vscode.workspace.notebookDocuments.flatMap((notebook) => notebook.getCells());
  const cell = cells.find((each) => each.document.uri.toString() === uri.toString());
  const notebook = vscode.workspace.asRelativePath(cell?.notebook.uri ?? vscode.Uri.file(uri.path), false);
  return cell ? `${notebook}, cell ${cell.index + 1}` : notebook;
}

/** `range` as whole lines; a selection that ends before the first character of a line does not mean that line. */
export function spanOf(range: vscode.Range): Span {
  const last = range.end.character === 0 && range.end.line > range.start.line ? range.end.line - 1 : range.end.line;
  return { first: range.start.line, last };
}

export function linesOf(span: Span): string {
  return span.first === span.last ? `line ${span.first + 1}` : `lines ${span.first + 1}–${span.last + 1}`;
}
