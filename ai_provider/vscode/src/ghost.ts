/**
 * Inline completion without VS Code: whether to ask, what to send, what of the answer to show. Pure, apart from
 * `Completer`, which adds the waiting, the cache and the call.
 */
import { type Gateway, GatewayError, type Outcome } from "./gateway";

export interface Neighbour {
  readonly name: string;
  readonly text: string;
}

export interface Place {
  readonly language: string;
  /** All text before the cursor, and all after it. */
  readonly before: string;
  readonly after: string;
  /** The person asked for a suggestion by a key, and did not just type. */
  readonly explicit: boolean;
  /** Other open files; read only when a request is really made. */
  readonly neighbours: () => readonly Neighbour[];
}

const BEFORE_CHARS = 3_000;
const AFTER_CHARS = 1_000;
const NEIGHBOUR_CHARS = 1_500;
const WINDOW_LINES = 24;
const LONGEST_LINES = 1_500;
const KEPT_NEIGHBOURS = 12;
const LEAST_ALIKE = 0.05;
const MOST_CLOSED = 8;

/** Whether a completion here can help: not inside a word, not with code right of the cursor, not in an empty file. */
export function wanted(place: Place): boolean {
  if (place.explicit) return true;
  if (place.before.trim().length < 3) return false;
  return /^[\s)\]}"'`;:,>]*$/.test(lineAfter(place.after));
}

/** Whether more than the rest of this line may be suggested: on an empty line, and where a block begins. */
export function multiline(before: string, after: string): boolean {
  if (lineAfter(after).trim() !== "") return false;
  const line = lineBefore(before).trimEnd();
  return line === "" || /([:{([]|=>|->|\bthen|\bdo)$/.test(line);
}

export function lineBefore(before: string): string {
  return before.slice(before.lastIndexOf("\n") + 1);
}

function lineAfter(after: string): string {
  return after.split("\n", 1)[0] ?? "";
}

/** The windows of other files that are most like the code at hand; what was read of a file is kept while it stays the same. */
export class Neighbourhood {
  readonly #read = new Map<string, { readonly text: string; readonly windows: readonly Window[] }>();

  /** The best windows of `neighbours` as comments, to put before the code; at most `budget` characters. */
  similar(place: Place, neighbours: readonly Neighbour[], budget = NEIGHBOUR_CHARS): string {
    const own = wordsOf(place.before.slice(-BEFORE_CHARS).split("\n").slice(-WINDOW_LINES).join("\n"));
    if (own.size === 0) return "";
    const best = neighbours.flatMap((neighbour) => {
      let found: { window: Window; score: number; name: string } | undefined;
      for (const window of this.#windows(neighbour)) {
        const score = alike(own, window.words);
        if (score > (found?.score ?? LEAST_ALIKE)) found = { window, score, name: neighbour.name };
      }
      return found ? [found] : [];
    });
    best.sort((a, b) => b.score - a.score);
    const leader = commentLeader(place.language);
    const out: string[] = [];
    let left = budget;
    for (const { name, window } of best) {
      const block = [`From ${name}:`, ...window.lines].map((line) => `${leader} ${line}`.trimEnd()).join("\n");
      if (block.length > left) continue;
      out.push(block);
      left -= block.length;
    }
    return out.length > 0 ? `${out.join("\n")}\n` : "";
  }

  #windows({ name, text }: Neighbour): readonly Window[] {
    const known = this.#read.get(name);
    if (known?.text === text) return known.windows;
    const lines = text.split("\n", LONGEST_LINES);
    const windows: Window[] = [];
    for (let first = 0; first < lines.length; first += WINDOW_LINES / 2) {
      const part = lines.slice(first, first + WINDOW_LINES);
      const words = wordsOf(part.join("\n"));
      if (words.size > 0) windows.push({ lines: part.join("\n").trim().split("\n"), words });
    }
    this.#read.delete(name);
    this.#read.set(name, { text, windows });
    const oldest = this.#read.keys().next().value;
    if (this.#read.size > KEPT_NEIGHBOURS && oldest !== undefined) this.#read.delete(oldest);
    return windows;
  }
}

interface Window {
  readonly lines: readonly string[];
  readonly words: ReadonlySet<string>;
}

function wordsOf(text: string): Set<string> {
  return new Set(text.match(/[A-Za-z_]\w{2,}/g) ?? []);
}

function alike(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  if (b.size === 0) return 0;
  let shared = 0;
  for (const word of b) if (a.has(word)) shared += 1;
  return shared / (a.size + b.size - shared);
}

function commentLeader(language: string): string {
  if (/^(python|shellscript|ruby|r|julia|perl|yaml|toml|makefile|dockerfile|dotenv|elixir|coffeescript|powershell|ini|properties)$/.test(language)) return "#";
  if (/^(sql|lua|haskell)$/.test(language)) return "--";
  return "//";
}

/** What of `raw` is worth showing at the cursor; empty: nothing. */
export function tidy(raw: string, before: string, after: string, several: boolean): string {
  let text = unfence(raw.replaceAll("\r\n", "\n"));
  const line = lineBefore(before);
  if (line.trim() && text.trimStart().startsWith(line.trim())) text = text.trimStart().slice(line.trim().length);
  // Models begin with a space of their own where the indentation is already typed.
  if (/^[ \t]+$/.test(line)) text = text.replace(/^[ \t]+/, "");
  if (!several) text = text.split("\n", 1)[0] ?? "";
  text = beforeRepetition(text, after).trimEnd();
  const rest = lineAfter(after).trim();
  if (rest && !text.includes("\n")) text = withoutOverlap(text, rest);
  return text.trim() === "" ? "" : text;
}

function unfence(text: string): string {
  const inside = /^\s*```[\w+-]*\n([\s\S]*?)(\n```|$)/.exec(text)?.[1];
  return inside ?? text.replace(/\n```\s*$/, "");
}

/** `text` up to where it starts to say what stands below the cursor anyway, or the same line for the third time. */
function beforeRepetition(text: string, after: string): string {
  const next = after.split("\n").slice(1).find((line) => line.trim().length > 2)?.trim();
  const lines = text.split("\n");
  const seen = new Map<string, number>();
  for (const [index, line] of lines.entries()) {
    const key = line.trim();
    if (index > 0 && next && key === next) return lines.slice(0, index).join("\n");
    if (key.length < 4) continue;
    const times = (seen.get(key) ?? 0) + 1;
    if (times > 2) return lines.slice(0, index).join("\n");
    seen.set(key, times);
  }
  return text;
}

/** `text` without the end that stands right of the cursor already: `foo)` before `)` becomes `foo`. */
function withoutOverlap(text: string, rest: string): string {
  for (let length = Math.min(text.length, rest.length); length > 0; length--) {
    if (text.endsWith(rest.slice(0, length))) return text.slice(0, -length);
  }
  return text;
}

/**
 * How many characters after the cursor `text` takes the place of: the rest of the line when `text` has its brackets
 * and quotes too (`):` before `)`), else none.
 */
export function replaced(text: string, after: string): number {
  const rest = lineAfter(after).trimEnd();
  let found = 0;
  for (const char of text) if (char === rest[found]) found += 1;
  return found === rest.length && !text.includes("\n") ? rest.length : 0;
}

/** The last answers, also for those who typed on into one: what is left of it needs no new request. */
export class Cache {
  #entries: { readonly before: string; readonly after: string; readonly text: string }[] = [];

  constructor(readonly size = 64) {}

  put(before: string, after: string, text: string): void {
    this.#entries = [{ before, after, text }, ...this.#entries.filter((entry) => entry.before !== before || entry.after !== after)].slice(0, this.size);
  }

  /** What to show; empty: it is known that there is nothing; undefined: not known. */
  get(before: string, after: string): string | undefined {
    for (const entry of this.#entries) {
      const typed = before.length - entry.before.length;
      if (typed < 0 || (typed > 0 && typed >= entry.text.length) || !before.startsWith(entry.before)) continue;
      if (!entry.text.startsWith(before.slice(entry.before.length))) continue;
      const closed = closedSince(entry.after, after);
      if (closed === undefined) continue;
      const left = entry.text.slice(typed);
      const shown = closed && !left.includes("\n") ? withoutOverlap(left, closed) : left;
      if (shown !== "" || typed === 0) return shown;
    }
    return undefined;
  }
}

/** The brackets and quotes the editor closed by itself since the text after the cursor was `then`; undefined: it differs in more. */
function closedSince(then: string, now: string): string | undefined {
  const more = now.length - then.length;
  if (more < 0 || more > MOST_CLOSED || !now.endsWith(then)) return undefined;
  const closed = now.slice(0, more);
  return /^[)\]}>"'`]*$/.test(closed) ? closed : undefined;
}

export interface Timing {
  /** How long the keyboard has to rest before anything is asked: at least, and at most for those who type slowly. */
  readonly restMs: number;
  readonly longestRestMs: number;
  /** How long after a failure nothing is asked, so that a gateway that is away is not called at every key. */
  readonly pauseMs: number;
  readonly now: () => number;
}

const TIMING: Timing = { restMs: 75, longestRestMs: 200, pauseMs: 10_000, now: Date.now };
const LEARN_AGAIN_MS = 600_000;

export interface Shown {
  readonly text: string;
  /** Characters after the cursor that it takes the place of. */
  readonly replaces: number;
  /** Undefined: it came from the cache. */
  readonly model: string | undefined;
}

/**
 * How fast this person types just now: a request is worth sending once a key has been out for longer than the next
 * one usually takes, because before that it will probably be cancelled.
 */
export class Rhythm {
  #lastAt = 0;
  #gapMs: number;

  constructor(readonly timing: Timing) {
    this.#gapMs = timing.restMs;
  }

  /** Notes a key and returns how long to wait for the next. */
  key(): number {
    const now = this.timing.now();
    const gap = now - this.#lastAt;
    this.#lastAt = now;
    // A longer silence is a pause for thought and says nothing about the fingers.
    if (gap > 0 && gap < 600) this.#gapMs += (gap - this.#gapMs) * 0.2;
    return Math.min(this.timing.longestRestMs, Math.max(this.timing.restMs, this.#gapMs * 1.2));
  }
}

/**
 * Completions at a cursor. At most one request per rest of the keyboard; a cancelled call sends nothing while it
 * waits, and closes the connection when it was sent already.
 */
export class Completer {
  readonly #cache = new Cache();
  readonly #neighbourhood = new Neighbourhood();
  readonly #rhythm: Rhythm;
  readonly #timing: Timing;
  #pausedUntil = 0;
  #failure: GatewayError | undefined;
  /** What the models behind `completions` turned out not to do. */
  #cannot = { fill: false, complete: false, at: 0 };

  constructor(
    readonly gateway: Gateway,
    timing: Partial<Timing> = {},
  ) {
    this.#timing = { ...TIMING, ...timing };
    this.#rhythm = new Rhythm(this.#timing);
  }

  /** Why nothing is suggested at the moment; undefined: the last request was answered. */
  get failure(): GatewayError | undefined {
    return this.#failure;
  }

  /** What to show at `place`, or undefined: nothing to suggest, cancelled, or `failure` says why. */
  async complete(place: Place, signal: AbortSignal): Promise<Shown | undefined> {
    const restMs = this.#rhythm.key();
    if (!wanted(place)) return undefined;
    const cached = this.#cache.get(place.before, place.after);
    if (cached !== undefined) return cached ? { text: cached, replaces: replaced(cached, place.after), model: undefined } : undefined;
    if (this.#timing.now() < this.#pausedUntil && !place.explicit) return undefined;
    if (!place.explicit && !(await rested(restMs, signal))) return undefined;
    const several = place.explicit || multiline(place.before, place.after);
    try {
      const outcome = await this.#ask(place, several, signal);
      this.#failure = undefined;
      if (signal.aborted) return undefined;
      const text = tidy(outcome.text, place.before, place.after, several);
      this.#cache.put(place.before, place.after, text);
      return text ? { text, replaces: replaced(text, place.after), model: outcome.model } : undefined;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof GatewayError)) throw error;
      if (error.failure === "empty") {
        this.#failure = undefined;
        this.#cache.put(place.before, place.after, "");
        return undefined;
      }
      this.#pausedUntil = this.#timing.now() + this.#timing.pauseMs;
      this.#failure = error;
      return undefined;
    }
  }

  async #ask(place: Place, several: boolean, signal: AbortSignal): Promise<Outcome> {
    if (this.#timing.now() - this.#cannot.at > LEARN_AGAIN_MS) this.#cannot = { fill: false, complete: false, at: this.#timing.now() };
    const before = place.before.slice(-BEFORE_CHARS);
    const after = place.after.slice(0, AFTER_CHARS);
    const context = this.#neighbourhood.similar(place, place.neighbours());
    const request = {
      model: "coding",
      prompt: context + before,
      max_tokens: several ? 128 : 48,
      temperature: 0.1,
      // One block of lines is what a person can judge at a glance; small models do not end by themselves.
      stop: several ? ["\n\n"] : ["\n"],
    };
    if (!this.#cannot.complete && request.prompt.trim() !== "") {
      const fill = after.trim() !== "" && !this.#cannot.fill;
      try {
        return await this.gateway.complete(fill ? { ...request, suffix: after } : request, signal);
      } catch (error) {
        // The models that answer now do not do this at all, which is no failure: there are two other ways to ask.
        if (!unsupported(error)) throw error;
        if (fill) this.#cannot.fill = true;
        else this.#cannot.complete = true;
        return this.#ask(place, several, signal);
      }
    }
    return this.#chat(context + before, after, several, signal);
  }

  async #chat(before: string, after: string, several: boolean, signal: AbortSignal): Promise<Outcome> {
    const answer = this.gateway.chat(
      {
        model: "coding",
        messages: [
          { role: "system", content: "You complete code. Reply with nothing but the text that belongs at <CURSOR>: no explanation, no code fence, nothing that is there already." },
          { role: "user", content: `${before}<CURSOR>${after}` },
        ],
        max_tokens: several ? 128 : 48,
        temperature: 0.1,
      },
      signal,
    );
    for (;;) {
      const step = await answer.next();
      if (step.done) return step.value;
    }
  }
}

function unsupported(error: unknown): boolean {
  return error instanceof GatewayError && (error.failure === "not-found" || error.failure === "refused");
}

/** True after `ms`; false as soon as `signal` fires. */
function rested(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const stop = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve(true);
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
