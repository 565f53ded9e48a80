/**
 * Makes context fit a model's window, by relevance, and says what was left out. Pure.
 *
 * Lengths are characters; `tokens` is the one place that turns them into an estimate of tokens.
 */

/** Lines `first`..`last` of a text, counted from 0, both included. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

export interface Source {
  /** What the person knows it as: `app/validate.py`, `selection of validate.py`. */
  readonly name: string;
  readonly language: string;
  readonly text: string;
  /** The lines that matter most: the selection, the place of an error. */
  readonly focus?: Span;
}

export interface Fitted {
  readonly name: string;
  readonly language: string;
  readonly text: string;
  readonly lines: number;
  readonly keptLines: number;
  /** Characters of the source that were kept, without the marks where lines were left out. */
  readonly keptChars: number;
}

const CHARS_PER_TOKEN = 3.5;
const SMALLEST_CUT = 200;

/** Estimated tokens of `chars` characters of mixed code and prose. */
export function tokens(chars: number): number {
  return Math.ceil(chars / CHARS_PER_TOKEN);
}

/** Characters of context that leave a quarter of a window of `windowTokens` for the answer. */
export function budgetFor(windowTokens: number): number {
  return Math.floor(windowTokens * 0.75 * CHARS_PER_TOKEN);
}

const OUTLINE = /^\s{0,8}(import\b|from\b.*\bimport\b|export\b|(async\s+)?def\b|class\b|(async\s+)?function\b|interface\b|type\b|struct\b|enum\b|func\b|fn\b|pub\b|#include\b|package\b|use\b|module\b|@\w)/;
const WORD = /[A-Za-z_]\w{2,}/g;

/** The words of a question or selection that are worth looking for in a file. */
export function words(text: string): Set<string> {
  return new Set(text.match(WORD) ?? []);
}

/**
 * `source` in at most `budget` characters (plus the marks where lines were left out): the focus first, then
 * what is near it, shares its words, or outlines the file. Lines keep their order.
 */
export function fit(source: Source, budget: number, wanted: ReadonlySet<string> = new Set()): Fitted {
  const lines = source.text.split("\n");
  const whole = { name: source.name, language: source.language, lines: lines.length };
  if (source.text.length <= budget) return { ...whole, text: source.text, keptLines: lines.length, keptChars: source.text.length };

  const focus = source.focus;
  const scored = lines.map((line, index) => {
    const distance = focus ? Math.max(focus.first - index, index - focus.last, 0) : index;
    const near = 1 / (1 + distance / 10);
    const shared = wanted.size > 0 ? (line.match(WORD) ?? []).filter((word) => wanted.has(word)).length : 0;
    const score = (distance === 0 && focus ? 1000 : 0) + 2 * near + Math.min(shared, 3) * 0.5 + (OUTLINE.test(line) ? 0.6 : 0);
    return { index, score, cost: line.length + 1 };
  });
  scored.sort((a, b) => b.score - a.score || a.index - b.index);
  const kept = new Set<number>();
  let left = budget;
  for (const { index, cost } of scored) {
    if (cost > left) continue;
    kept.add(index);
    left -= cost;
    if (left <= 0) break;
  }
  if (kept.size === 0 && budget >= SMALLEST_CUT) {
    const text = `${source.text.slice(0, budget)}\n[the rest is left out]`; // one line wider than all the room
    return { ...whole, text, keptLines: 0, keptChars: budget };
  }
  return { ...whole, text: withGaps(lines, kept), keptLines: kept.size, keptChars: budget - left };
}

function withGaps(lines: readonly string[], kept: ReadonlySet<number>): string {
  const out: string[] = [];
  let gap = 0;
  const close = () => {
    if (gap > 0) out.push(`[${gap} ${gap === 1 ? "line" : "lines"} left out]`);
    gap = 0;
  };
  lines.forEach((line, index) => {
    if (kept.has(index)) {
      close();
      out.push(line);
    } else {
      gap += 1;
    }
  });
  close();
  return out.join("\n");
}

/**
 * All of `sources` within `budget`, most important first: each may take what the ones before it left, but never
 * more than its share while others wait. Sources that got nothing are dropped, and that too is said.
 */
export function fitAll(sources: readonly Source[], budget: number, question: string): { fitted: Fitted[]; notes: string[] } {
  const wanted = words(question);
  const fitted: Fitted[] = [];
  const notes: string[] = [];
  let left = budget;
  sources.forEach((source, index) => {
    const waiting = sources.length - index - 1;
    const need = sources.slice(index + 1).reduce((sum, later) => sum + later.text.length, 0);
    const share = waiting === 0 ? left : Math.max(left - need, index === 0 ? Math.floor(left * 0.6) : Math.floor(left / (waiting + 1)));
    const result = fit(source, share, wanted);
    if (result.keptChars === 0) {
      notes.push(`${source.name} did not fit and was left out.`);
      return;
    }
    if (result.keptLines === 0) {
      notes.push(`${source.name} is long: only its beginning was sent.`);
    } else if (result.keptLines < result.lines) {
      notes.push(`${source.name} is long: ${result.keptLines} of its ${result.lines} lines were sent, those nearest to your question.`);
    }
    fitted.push(result);
    left = Math.max(0, left - result.keptChars);
  });
  return { fitted, notes };
}
