/** Small pieces of Markdown around an answer. Pure. */
import type { Outcome } from "./gateway";

/** What has to follow `text` so that a code fence it left open does not swallow the next paragraph. */
export function closeFence(text: string): string {
  let open = "";
  for (const line of text.split("\n")) {
    const ticks = /^\s{0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (!ticks) continue;
    if (!open) open = ticks;
    else if (ticks[0] === open[0] && ticks.length >= open.length && line.trim() === ticks) open = "";
  }
  return open ? `\n${open}` : "";
}

/** The line under an answer: who gave it, and whether it is whole. */
export function footer(outcome: Outcome): string {
  const notes: string[] = [];
  if (outcome.finish === "length") notes.push("The answer reached the model's length limit; ask for the rest.");
  if (outcome.finish === "content_filter") notes.push("The model's content filter ended the answer.");
  const by = [outcome.model, outcome.task].filter((part) => part !== undefined).map(escape).join(" · ");
  return `\n\n${notes.map((note) => `*${note}*\n\n`).join("")}*${by}*`;
}

/** `text` with nothing in it that Markdown would take as its own. */
export function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]<>#|]/g, "\\$&");
}
