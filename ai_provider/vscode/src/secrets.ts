/**
 * What never leaves the workspace: files that are made to hold secrets, and the values in `.env` files wherever
 * else they turn up. Pure; `vault.ts` finds the files. The rules are those of `ai_provider/redaction.py`: the cases in
 * `tests/ai_provider/secrets.json` hold for both.
 */

const SECRET_NAMES = /^(\.env(\..+)?|.+\.env|\.envrc|\.netrc|\.pgpass|\.npmrc|\.pypirc|\.htpasswd|credentials|id_(rsa|dsa|ecdsa|ed25519)|.+\.(pem|key|p12|pfx|jks|keystore|kdbx))$/i;
const TEMPLATES = /\.(example|sample|template|dist)$/i;

/** Whether the file at `path` is kept back whole. Templates such as `.env.example` are not secret. */
export function isSecretPath(path: string): boolean {
  const name = path.split(/[\\/]/).at(-1) ?? "";
  return SECRET_NAMES.test(name) && !TEMPLATES.test(name);
}

/** Whether `path` is a `.env` file whose values must not be sent from anywhere else either. */
export function isDotenv(path: string): boolean {
  const name = path.split(/[\\/]/).at(-1) ?? "";
  return /^(\.env(\..+)?|.+\.env|\.envrc)$/i.test(name) && !TEMPLATES.test(name);
}

/** Name → value of a `.env` file: `NAME=value`, `export NAME="value"`, quoted over lines; comments and anything else are skipped. */
export function parseDotenv(text: string): Map<string, string> {
  const values = new Map<string, string>();
  const entry = /^[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*[=:][ \t]*(?:"((?:\\[^]|[^"\\])*)"|'([^']*)'|([^\r\n]*))/gm;
  for (const match of text.matchAll(entry)) {
    const [, name = "", double, single, bare] = match;
    const value = double?.replace(/\\([^])/g, (_, each: string) => (each === "n" ? "\n" : each)) ?? single ?? (bare ?? "").replace(/\s+#.*$/, "").trim();
    if (value) values.set(name, value);
  }
  return values;
}

const TELLING_NAME = /key|token|secret|pass|pwd|phrase|credential|auth|dsn|conn|private|salt|cert|signature|webhook/i;
const PLAIN_SETTING = /^(true|false|none|null|basic|bearer|digest|\d{1,5})$/i;
const URL_WITH_PASSWORD = /:\/\/[^\s/@]*:[^\s/@]+@/;

/**
 * Whether a value is taken out of other texts too. Short words and plain settings (`DEBUG=true`,
 * `ENV=development`) stay: replacing them everywhere would damage code that has nothing to do with them.
 */
export function isSecretValue(name: string, value: string): boolean {
  if (TELLING_NAME.test(name)) return value.length >= 4 && !PLAIN_SETTING.test(value);
  if (value.length < 12 || /\s/.test(value)) return false;
  return URL_WITH_PASSWORD.test(value) || (/\d/.test(value) && /[a-z]/i.test(value));
}

export interface Redaction {
  /** `text` with `<NAME from .env>` where a secret value stood. */
  readonly redact: (text: string) => string;
  /** The reverse, for a model's answer that goes back into the person's own file. */
  readonly restore: (text: string) => string;
}

export function redaction(secrets: ReadonlyMap<string, string>): Redaction {
  const markOf = new Map<string, string>();
  const valueOf = new Map<string, string>();
  for (const [name, value] of secrets) {
    if (!isSecretValue(name, value)) continue;
    const mark = `<${name} from .env>`;
    markOf.set(JSON.stringify(value).slice(1, -1), mark); // as it looks inside the arguments of a tool call
    markOf.set(value, mark);
    valueOf.set(mark, value);
  }
  return { redact: replacer(markOf), restore: replacer(valueOf) };
}

function replacer(replacements: ReadonlyMap<string, string>): (text: string) => string {
  if (replacements.size === 0) return (text) => text;
  const longestFirst = [...replacements.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "g");
  return (text) => text.replace(pattern, (found) => replacements.get(found) ?? found);
}
