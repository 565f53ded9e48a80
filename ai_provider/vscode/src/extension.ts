/** Wires the parts to VS Code. Starts nothing that takes time: the gateway is first met when somebody asks. */
import * as vscode from "vscode";
import { ask, openChat } from "./ask";
import { Gateway } from "./gateway";
import { labButton } from "./lab";
import { Models } from "./models";
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
  const models = new Models(gateway, status);
  context.subscriptions.push(
    vault,
    status,
    models.register(),
    ...labButton(process.env["NEURALINVERSE_LAB_URL"]),
    new Participant(gateway, window, status).register(),
    vscode.commands.registerCommand("neuralinverse.ask", ask),
    vscode.commands.registerCommand("neuralinverse.openChat", openChat),
    vscode.commands.registerCommand("neuralinverse.showStatus", () => status.details()),
  );
  void models.announce();
  void welcome(context.workspaceState, stateFolder);
}
