/** Quick fixes on the problems the editor reports: a proposed edit, or an explanation in the chat. */
import * as vscode from "vscode";
import type { Edits } from "./edit";
import { isSecretPath } from "./secrets";

const WHERE: vscode.DocumentSelector = [{ scheme: "file" }, { scheme: "untitled" }, { scheme: "vscode-notebook-cell" }];
const AROUND_LINES = 3;
const LONGEST_LINES = 80;

export class Fixes implements vscode.CodeActionProvider {
  constructor(readonly edits: Edits) {}

  register(): vscode.Disposable {
    return vscode.Disposable.from(
      vscode.languages.registerCodeActionsProvider(WHERE, this, { providedCodeActionKinds: [vscode.CodeActionKind.QuickFix] }),
      vscode.commands.registerCommand("neuralinverse.fixProblem", (uri: vscode.Uri, range: vscode.Range, problem: string) => this.#fix(uri, range, problem)),
      vscode.commands.registerCommand("neuralinverse.explainProblem", (uri: vscode.Uri, range: vscode.Range, problem: string) => explain(uri, range, problem)),
    );
  }

  provideCodeActions(document: vscode.TextDocument, _range: vscode.Range, context: vscode.CodeActionContext): vscode.CodeAction[] {
    const diagnostics = context.diagnostics.filter((diagnostic) => diagnostic.severity <= vscode.DiagnosticSeverity.Warning);
    const [first] = diagnostics;
    if (!first || isSecretPath(document.uri.path)) return [];
    const range = diagnostics.reduce((all, diagnostic) => all.union(diagnostic.range), first.range);
    const problem = diagnostics.map((diagnostic) => diagnostic.message).join("\n");
    return [action("Fix with Neural Inverse", "neuralinverse.fixProblem"), action("Explain with Neural Inverse", "neuralinverse.explainProblem")];

    function action(title: string, command: string): vscode.CodeAction {
      const result = new vscode.CodeAction(title, vscode.CodeActionKind.QuickFix);
      result.diagnostics = [...diagnostics];
      result.command = { title, command, arguments: [document.uri, range, problem] };
      return result;
    }
  }

  async #fix(uri: vscode.Uri, range: vscode.Range, problem: string): Promise<void> {
    await this.edits.propose({ uri, range: await surroundings(uri, range) }, `Fix this problem, and change nothing else: ${problem}`);
  }
}

async function explain(uri: vscode.Uri, range: vscode.Range, problem: string): Promise<void> {
  const editor = await vscode.window.showTextDocument(uri);
  // The chat takes the selection as context: whole lines, so that it makes sense alone.
  editor.selection = new vscode.Selection(range.start.line, 0, range.end.line, editor.document.lineAt(range.end.line).text.length);
  await vscode.commands.executeCommand("workbench.action.chat.open", { query: `@neuralinverse /explain ${problem.replace(/\s+/g, " ")}` });
}

/** The function a problem is in when it is not long, else a few lines around the problem. */
async function surroundings(uri: vscode.Uri, range: vscode.Range): Promise<vscode.Range> {
  const document = await vscode.workspace.openTextDocument(uri);
  const symbols = (await vscode.commands.executeCommand<(vscode.DocumentSymbol | vscode.SymbolInformation)[] | undefined>("vscode.executeDocumentSymbolProvider", uri)) ?? [];
  let best: vscode.Range | undefined;
  const visit = (list: readonly vscode.DocumentSymbol[]) => {
    for (const symbol of list) {
      if (!(symbol.range instanceof vscode.Range) || !symbol.range.contains(range)) continue;
      if (symbol.range.end.line - symbol.range.start.line < LONGEST_LINES) best = symbol.range;
      visit(symbol.children ?? []);
    }
  };
  visit(symbols as vscode.DocumentSymbol[]);
  if (best) return best;
  return document.validateRange(new vscode.Range(Math.max(0, range.start.line - AROUND_LINES), 0, range.end.line + AROUND_LINES, Number.MAX_SAFE_INTEGER));
}
