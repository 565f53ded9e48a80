/** The words around a question: which instruction each command gives, and how context is laid out. Pure. */
import type { Message } from "./gateway";
import type { Fitted } from "./trim";

export type Intent = "ask" | "explain" | "fix" | "tests" | "docs";

const SYSTEM =
  "You are a programming assistant inside a code editor. Answer in Markdown, briefly, and put code in fenced blocks with their language.";

const INSTRUCTIONS: Record<Intent, string> = {
  ask: "",
  explain: "Explain what this code does and why, for a colleague who sees it for the first time.",
  fix: "Find what is wrong with this code and show the corrected code. Say in one sentence what was wrong.",
  tests: "Write unit tests for this code, in the test framework its language commonly uses. Cover the edge cases.",
  docs: "Write the documentation comments that this code should have, in the style of its language. Show the documented code.",
};

/** The task each command is routed as; a free question is left to the gateway's own judgement. */
export function taskOf(intent: Intent): string {
  return intent === "ask" ? "auto" : "coding";
}

export interface Turn {
  readonly role: "user" | "assistant";
  readonly text: string;
}

export interface Question {
  readonly intent: Intent;
  readonly text: string;
  readonly context: readonly Fitted[];
  readonly problems: readonly string[];
  readonly history: readonly Turn[];
}

export function messages(question: Question): Message[] {
  const parts: string[] = [];
  for (const source of question.context) parts.push(`${source.name}:\n${fence(source.text, source.language)}`);
  if (question.problems.length > 0) parts.push(`Problems the editor reports:\n${question.problems.map((problem) => `- ${problem}`).join("\n")}`);
  const instruction = INSTRUCTIONS[question.intent];
  parts.push([instruction, question.text].filter(Boolean).join("\n"));
  return [
    { role: "system", content: SYSTEM },
    ...question.history.map((turn): Message => ({ role: turn.role, content: turn.text })),
    { role: "user", content: parts.join("\n\n") },
  ];
}

/** `text` in a code fence that no backticks inside it can close. */
export function fence(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((run) => run[0].length));
  const ticks = "`".repeat(longest + 1);
  return `${ticks}${language}\n${text}\n${ticks}`;
}

/** The last turns that fit into `budget` characters, oldest first; a cut conversation still starts with the person. */
export function recent(history: readonly Turn[], budget: number): Turn[] {
  const kept: Turn[] = [];
  let left = budget;
  for (const turn of [...history].reverse()) {
    if (turn.text.length > left) break;
    left -= turn.text.length;
    kept.unshift(turn);
  }
  while (kept[0]?.role === "assistant") kept.shift();
  return kept;
}

const OTHERS = /^@(workspace|vscode|terminal)\b\s*/;

/** `query` as it is put to `@neuralinverse`, also when it named a participant of VS Code's own that only answers who signed in. */
export function addressed(query: string): string {
  return /^\s*@neuralinverse\b/.test(query) ? query : `@neuralinverse ${query.trimStart().replace(OTHERS, "")}`;
}

export interface Edit {
  readonly instruction: string;
  readonly selected: string;
  readonly language: string;
  readonly context: readonly Fitted[];
  readonly problems: readonly string[];
}

export function editMessages(edit: Edit): Message[] {
  const parts = edit.context.map((source) => `${source.name}:\n${fence(source.text, source.language)}`);
  if (edit.problems.length > 0) parts.push(`Problems the editor reports:\n${edit.problems.map((problem) => `- ${problem}`).join("\n")}`);
  parts.push(`The selected lines:\n${fence(edit.selected.replace(/\r?\n$/, ""), edit.language)}`, edit.instruction);
  return [
    {
      role: "system",
      content: "You rewrite selected lines in a code editor. Reply with one fenced block that holds all of the lines that replace them, and nothing else.",
    },
    { role: "user", content: parts.join("\n\n") },
  ];
}

export function commitMessages(diff: string, files: readonly string[]): Message[] {
  const parts: string[] = [];
  if (diff) parts.push(fence(diff, "diff"));
  if (files.length > 0) parts.push(`New files:\n${files.slice(0, 50).join("\n")}`);
  return [
    {
      role: "system",
      content:
        "You write Git commit messages. First line: what the change does, imperative, at most 72 characters. If it needs saying why, an empty line and one or two sentences. Reply with the message only.",
    },
    { role: "user", content: parts.join("\n\n") },
  ];
}
