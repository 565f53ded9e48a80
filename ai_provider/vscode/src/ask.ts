/** "Ask Neural Inverse": a question about the selection, answered in the chat beside it. */
import * as vscode from "vscode";
import { linesOf, nameOf, spanOf } from "./context";

/** Asks for the question, then puts it to `@neuralinverse`; VS Code attaches the selection, and shows that it does. */
export async function ask(question?: string): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  const about = editor ? subject(editor) : "your code";
  const text =
    typeof question === "string" && question
      ? question
      : await vscode.window.showInputBox({ title: "Ask Neural Inverse", prompt: `About ${about}`, placeHolder: "What does this do? How can it fail?", ignoreFocusOut: true });
  if (!text?.trim()) return;
  await vscode.commands.executeCommand("workbench.action.chat.open", { query: `@neuralinverse ${text.trim()}` });
}

/** Opens the chat with `@neuralinverse` written in it, so that the next words go to us. */
export async function openChat(): Promise<void> {
  await vscode.commands.executeCommand("workbench.action.chat.open", { query: "@neuralinverse ", isPartialQuery: true });
}

function subject(editor: vscode.TextEditor): string {
  const name = nameOf(editor.document.uri);
  return editor.selection.isEmpty ? name : `${linesOf(spanOf(editor.selection))} of ${name}`;
}
