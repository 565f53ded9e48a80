/**
 * VS Code's own AI buttons, which ask for a GitHub sign-in that nobody here needs: hidden where that is possible, led to
 * ours where it is not. Names of VS Code's own commands and context keys are no fixed API: should an upgrade change one,
 * its button is back as VS Code has it, and nothing else changes.
 */
import * as vscode from "vscode";
import { openChat } from "./ask";
import { addressed } from "./prompts";

const CHAT = "workbench.action.chat.open";

/** VS Code decides a few times in its first seconds whether to offer its sign-in; ours has to be the last word. */
const AGAIN_MS = [0, 1_000, 5_000, 20_000];

interface InlineChat {
  /** `/fix …` of a quick fix. */
  readonly message?: string;
}

/** `edit` proposes an edit of the selection: what VS Code's inline chat is for. */
export function native(edit: (instruction?: string) => Promise<void>): vscode.Disposable {
  const timers = AGAIN_MS.map((ms) => setTimeout(hideSignIn, ms));
  const chat = new ChatCommand();
  return vscode.Disposable.from(
    { dispose: () => timers.forEach(clearTimeout) },
    chat,
    vscode.commands.registerCommand("inlineChat.start", (asked?: InlineChat) => edit(asked?.message?.replace(/^\/\w+\s*/, ""))),
    vscode.commands.registerCommand("workbench.action.terminal.chat.start", openChat),
  );
}

function hideSignIn(): void {
  void vscode.commands.executeCommand("setContext", "chatSetupHidden", true);
}

/** VS Code's command that opens the chat, but what is written there is for `@neuralinverse`. */
class ChatCommand implements vscode.Disposable {
  #ours = this.#register();

  dispose(): void {
    this.#ours.dispose();
  }

  #register(): vscode.Disposable {
    return vscode.commands.registerCommand(CHAT, (asked?: unknown) => this.#open(asked));
  }

  async #open(asked: unknown): Promise<unknown> {
    const options = typeof asked === "string" ? { query: asked } : typeof asked === "object" && asked !== null ? asked : {};
    const query = "query" in options ? String(options.query) : "";
    this.#ours.dispose(); // for the length of this call the command is VS Code's own again
    const opened = vscode.commands.executeCommand(CHAT, { ...options, query: addressed(query), ...(!query && { isPartialQuery: true }) });
    this.#ours = this.#register();
    return opened;
  }
}
