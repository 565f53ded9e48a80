/** JupyterLab, one click away: a status-bar item that opens it in a tab beside this one. */
import * as vscode from "vscode";

/** The item; nothing where the hub did not say at which address people's browsers find JupyterLab. */
export function labButton(url: string | undefined): vscode.Disposable[] {
  if (!url) return [];
  const open = vscode.commands.registerCommand("neuralinverse.openLab", () => vscode.env.openExternal(vscode.Uri.parse(url, true)));
  const item = vscode.window.createStatusBarItem("neuralinverse.lab", vscode.StatusBarAlignment.Right, 89);
  item.name = "JupyterLab";
  item.text = "$(notebook) JupyterLab";
  item.tooltip = "Open JupyterLab of this workspace in a new tab";
  item.command = "neuralinverse.openLab";
  item.show();
  return [open, item];
}
