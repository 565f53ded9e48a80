/** How much context a request may carry: from the gateway's list of models, else a careful guess. */
import type { Gateway } from "./gateway";
import { budgetFor } from "./trim";

const GUESS_TOKENS = 8_192;
const MOST_CHARS = 60_000;
const ASK_AGAIN_MS = 60_000;

export class Window {
  #chars: number | undefined;
  #askedAt = 0;

  constructor(
    readonly gateway: Gateway,
    readonly now: () => number = Date.now,
  ) {}

  /** Characters of context for one request. Never fails: without an answer the guess stands. */
  async budget(signal: AbortSignal): Promise<number> {
    if (this.#chars !== undefined && this.now() - this.#askedAt < ASK_AGAIN_MS) return this.#chars;
    this.#askedAt = this.now();
    try {
      const models = await this.gateway.models(signal);
      const known = models.flatMap((model) => model.contextTokens ?? []);
      this.#chars = Math.min(MOST_CHARS, budgetFor(known.length > 0 ? Math.min(...known) : GUESS_TOKENS));
    } catch {
      // The request itself will say that the gateway is away; the size of its context is not worth a second sentence.
      this.#chars = budgetFor(GUESS_TOKENS);
    }
    return this.#chars;
  }

  /** A model refused more than this: later requests start smaller. */
  shrink(chars: number): void {
    this.#chars = chars;
  }
}
