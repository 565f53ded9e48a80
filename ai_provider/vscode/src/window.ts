/** How much context a request may carry: by the window of the model that would answer, else a careful guess. */
import type { Gateway } from "./gateway";
import { budgetFor } from "./trim";

/** A request that is refused as too long is asked again with half of the context, but not with less than this. */
export const SMALLEST_BUDGET = 600;
const GUESS_TOKENS = 8_192;
const MOST_CHARS = 100_000;
const ASK_AGAIN_MS = 60_000;

export class Window {
  #tokens: ReadonlyMap<string, number> = new Map();
  #mostChars = MOST_CHARS;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly gateway: Pick<Gateway, "models">,
    readonly now: () => number = Date.now,
  ) {}

  /** Characters of context for a request to `model` (a task or a model). Never fails: without an answer the guess stands. */
  async budget(model: string, signal: AbortSignal): Promise<number> {
    if (this.now() - this.#askedAt >= ASK_AGAIN_MS) {
      this.#askedAt = this.now();
      this.#mostChars = MOST_CHARS;
      try {
        const models = await this.gateway.models(signal);
        this.#tokens = new Map(models.flatMap(({ id, windowTokens }) => (windowTokens ? [[id, windowTokens] as const] : [])));
      } catch {
        // The request itself will say that the gateway is away; the size of its context is not worth a second sentence.
      }
    }
    return Math.min(this.#mostChars, budgetFor(this.#tokens.get(model) ?? GUESS_TOKENS));
  }

  /** A model refused more than this: for a while, requests start smaller. */
  shrink(chars: number): void {
    this.#mostChars = chars;
  }
}
