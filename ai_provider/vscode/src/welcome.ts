/** On the first start of a workspace: its `WELCOME.md`, as text, with the keyboard in it. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as vscode from "vscode";

const SHOWN = "welcome-shown";

/** Opens the welcome file unless the person has something open or has seen it in this workspace. */
export async function welcome(memory: vscode.Memento, stateFolder: string | undefined): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0];
  if (!folder || memory.get(SHOWN) || (stateFolder && (await exists(vscode.Uri.file(join(stateFolder, SHOWN)))))) return;
  if (vscode.window.tabGroups.all.some((group) => group.tabs.some(isOwn))) return;
  const file = vscode.Uri.joinPath(folder.uri, "WELCOME.md");
  if (!(await exists(file))) return;
  await vscode.window.showTextDocument(file, { preview: false, preserveFocus: false });
  await vscode.commands.executeCommand("workbench.action.focusActiveEditorGroup");
  await memory.update(SHOWN, true);
  // The browser's memory is of one browser; this mark is of the workspace.
  if (stateFolder) await writeFile(join(stateFolder, SHOWN), "").catch(() => undefined);
}

/** Whether a tab is the person's, and not a start page of the editor. */
function isOwn(tab: vscode.Tab): boolean {
  const input = tab.input;
  return (
    input instanceof vscode.TabInputText ||
    input instanceof vscode.TabInputTextDiff ||
    input instanceof vscode.TabInputCustom ||
    input instanceof vscode.TabInputNotebook ||
    input instanceof vscode.TabInputNotebookDiff
  );
}

async function exists(uri: vscode.Uri): Promise<boolean> {
  return vscode.workspace.fs.stat(uri).then(
    () => true,
    () => false,
  );
}
