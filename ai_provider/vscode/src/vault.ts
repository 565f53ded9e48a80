/** Finds the workspace's `.env` files and gives the function that keeps their values from being sent. */
import * as vscode from "vscode";
import { type Redaction, isDotenv, parseDotenv, redaction } from "./secrets";

const DOTENV = "**/{.env,.env.*,*.env,.envrc}";
const ELSEWHERE = "**/{node_modules,.git,.venv,venv,site-packages}/**";
const MOST = 200;

export class Vault implements vscode.Disposable {
  #redaction: Promise<Redaction> | undefined;
  #watcher: vscode.FileSystemWatcher | undefined;

  /** Takes secrets out of a text. The files are read once, and again only after one of them changed. */
  async redactor(): Promise<(text: string) => string> {
    return (await this.#current()).redact;
  }

  /** `text`, an answer for the person's own file, with the secrets that were taken out of the question. */
  async restore(text: string): Promise<string> {
    return (await this.#current()).restore(text);
  }

  #current(): Promise<Redaction> {
    this.#watch();
    this.#redaction ??= this.#read();
    return this.#redaction;
  }

  dispose(): void {
    this.#watcher?.dispose();
  }

  #watch(): void {
    if (this.#watcher) return;
    this.#watcher = vscode.workspace.createFileSystemWatcher(DOTENV);
    const forget = () => {
      this.#redaction = undefined;
    };
    this.#watcher.onDidChange(forget);
    this.#watcher.onDidCreate(forget);
    this.#watcher.onDidDelete(forget);
  }

  async #read(): Promise<Redaction> {
    const secrets = new Map<string, string>();
    for (const uri of await this.#files()) {
      if (!isDotenv(uri.path)) continue;
      try {
        const bytes = await vscode.workspace.fs.readFile(uri);
        let name = "";
        for (const [key, value] of parseDotenv(new TextDecoder().decode(bytes))) {
          name = secrets.has(key) && secrets.get(key) !== value ? `${key} (${secrets.size})` : key;
          secrets.set(name, value);
        }
      } catch {
        // Gone or unreadable since it was listed: then nothing of it can be in an editor by our doing either.
      }
    }
    return redaction(secrets);
  }

  async #files(): Promise<vscode.Uri[]> {
    try {
      return await vscode.workspace.findFiles(DOTENV, ELSEWHERE, MOST);
    } catch {
      // File search is not available: look at least where such files usually are.
      return (vscode.workspace.workspaceFolders ?? []).flatMap((folder) => [".env", ".env.local", ".envrc"].map((name) => vscode.Uri.joinPath(folder.uri, name)));
    }
  }
}
