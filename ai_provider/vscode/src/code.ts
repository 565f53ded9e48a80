/** Code out of a model's answer, and back into the place it was asked for. Pure. */

/**
 * The code in `answer`: what is inside its first fence, else all of it. While the answer still streams this is the
 * part that has arrived; a first line that may yet become a fence counts as nothing.
 */
export function codeOf(answer: string): string {
  const opening = /(^|\n)[ \t]*(`{3,}|~{3,})[^\n]*(\n|$)/.exec(answer);
  if (!opening) return /^\s*[`~]/.test(answer) && !answer.includes("\n") ? "" : answer;
  const [all, , ticks = "```"] = opening;
  const body = answer.slice(opening.index + all.length);
  const closing = new RegExp(`(^|\\n)[ \\t]*${ticks[0] === "~" ? "~" : "`"}{${ticks.length},}[ \\t]*(\\n|$)`).exec(body);
  return closing ? body.slice(0, closing.index) : body.replace(/\n?[ \t]*[`~]{1,2}$/, "");
}

/** `code` as a replacement of `original`: with its indentation, its line ends, and its newline at the end or none. */
export function fitted(code: string, original: string): string {
  const newline = original.includes("\r\n") ? "\r\n" : "\n";
  let lines = code.replaceAll("\r\n", "\n").replace(/^\n+/, "").replace(/\s+$/, "").split("\n");
  const want = indentOf(original.split(/\r?\n/));
  const have = indentOf(lines);
  if (want !== undefined && have !== undefined && have !== want) {
    lines = lines.map((line) => (line.trim() === "" ? "" : line.startsWith(have) ? want + line.slice(have.length) : line));
  }
  const end = /\r?\n$/.test(original) ? newline : "";
  return lines.join(newline) + end;
}

/** The indentation all lines share; undefined when there is no line with text. */
function indentOf(lines: readonly string[]): string | undefined {
  let shared: string | undefined;
  for (const line of lines) {
    if (line.trim() === "") continue;
    const own = /^[ \t]*/.exec(line)?.[0] ?? "";
    if (shared === undefined) shared = own;
    while (!own.startsWith(shared)) shared = shared.slice(0, -1);
  }
  return shared;
}

/** One line for a commit's title and the rest as its body, without fences, quotes or a heading around them. */
export function commitMessage(answer: string): string {
  const text = codeOf(answer)
    .trim()
    .replace(/^(commit message|subject)\s*:\s*/i, "")
    .replace(/^["'`]+|["'`]+$/g, "")
    .replace(/^#+\s*/, "");
  const [title = "", ...rest] = text.split("\n");
  const body = rest.join("\n").trim();
  return body ? `${title.trim()}\n\n${body}` : title.trim();
}

/** `diff` without the files for which `secret` holds, and how many those were. */
export function withoutSecretFiles(diff: string, secret: (path: string) => boolean): { diff: string; left: number } {
  const files = diff.split(/^(?=diff --git )/m);
  const kept = files.filter((file) => {
    const paths = [...file.matchAll(/^(?:diff --git "?a\/(.+?)"? "?b\/(.+?)"?|(?:---|\+\+\+) "?[ab]\/(.+?)"?)\s*$/gm)].flatMap((match) => match.slice(1).filter(Boolean));
    return !paths.some(secret);
  });
  return { diff: kept.join(""), left: files.length - kept.length };
}
