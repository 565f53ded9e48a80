/** Wires the parts to VS Code. Nothing here waits: what asks the gateway at the start (the list of models) does so by itself. */
import * as vscode from "vscode";
import { watchActivity } from "./activity";
import { ask, openChat } from "./ask";
import { Commits } from "./commit";
import { Edits } from "./edit";
import { Fixes } from "./fixes";
import { Gateway } from "./gateway";
import { Completer } from "./ghost";
import { Inline } from "./inline";
import { labButton } from "./lab";
import { Models } from "./models";
import { native } from "./native";
import { Participant } from "./participant";
import { StatusBar } from "./status";
import { Vault } from "./vault";
import { welcome } from "./welcome";
import { Window } from "./window";

export function activate(context: vscode.ExtensionContext): void {
  const stateFolder = process.env["NEURALINVERSE_STATE"];
  const vault = new Vault();
  const gateway = new Gateway(process.env, { guard: () => vault.redactor() });
  const window = new Window(gateway);
  const status = new StatusBar(stateFolder);
  const edits = new Edits(gateway, window, vault, status);
  const models = new Models(gateway, status);
  context.subscriptions.push(
    vault,
    status,
    watchActivity(stateFolder),
    models.register(),
    ...labButton(process.env["NEURALINVERSE_LAB_URL"]),
    new Participant(gateway, window, status).register(),
    new Inline(new Completer(gateway), vault, status).register(),
    edits.register(),
    new Fixes(edits).register(),
    new Commits(gateway, window, status).register(),
    native((instruction) => edits.ask(instruction)),
    vscode.commands.registerCommand("neuralinverse.ask", ask),
    vscode.commands.registerCommand("neuralinverse.openChat", openChat),
    vscode.commands.registerCommand("neuralinverse.showStatus", () => status.details()),
  );
  void models.announce();
  void welcome(context.workspaceState, stateFolder);
}
