/** Touches a file while somebody works here. The workspace's server reads its time and tells the hub (activity.py there). */
import { utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as vscode from "vscode";
import { isActive } from "./moment";

const FILE = "active";
const LOOK_MS = 30_000;

export function watchActivity(stateFolder: string | undefined): vscode.Disposable {
  if (!stateFolder) return new vscode.Disposable(() => undefined);
  const file = join(stateFolder, FILE);
  const commands = new Map<vscode.TerminalShellExecution, vscode.Terminal>();
  let touched = 0;
  const touch = () => {
    if (Date.now() - touched < LOOK_MS / 2) return;
    touched = Date.now();
    const now = new Date();
    // What cannot be written is tried again at the next sign of life.
    void utimes(file, now, now).catch(() => writeFile(file, "")).catch(() => undefined);
  };
  const look = () => {
    const used = vscode.window.state.active;
    const moment = { used, tasks: vscode.tasks.taskExecutions.length, commands: commands.size, debugging: !!vscode.debug.activeDebugSession };
    if (isActive(moment)) touch();
  };
  const timer = setInterval(look, LOOK_MS);
  look();
  return vscode.Disposable.from(
    { dispose: () => clearInterval(timer) },
    vscode.window.onDidChangeWindowState(look),
    vscode.window.onDidChangeTextEditorSelection((change) => {
      // Of a person, and not of a file that changed below the cursor.
      if (change.kind !== undefined) touch();
    }),
    vscode.window.onDidStartTerminalShellExecution((start) => {
      commands.set(start.execution, start.terminal);
      touch();
    }),
    vscode.window.onDidEndTerminalShellExecution((end) => commands.delete(end.execution)),
    vscode.window.onDidCloseTerminal((closed) => {
      for (const [execution, terminal] of commands) if (terminal === closed) commands.delete(execution);
    }),
  );
}
