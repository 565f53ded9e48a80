// The model: loads once, answers one request at a time, first come first served. Knows no HTTP.

import { ApiError } from "./requests.mjs";

/** Chars that one token stands for at the very most; a longer prompt is refused without being tokenized. */
const MAX_CHARS_PER_TOKEN = 64;

const FINISH = { maxTokens: "length" };

export class Engine {
  #queue = Promise.resolve();
  #loaded;
  #contextSize;

  /** `contextSize` in tokens. Loading starts at once; `ready` settles with it. */
  constructor({ library, weights, threads, contextSize }) {
    this.#contextSize = contextSize;
    this.ready = this.#load(library, weights, threads);
    this.ready.catch(() => {});
  }

  async #load(library, weights, threads) {
    const { getLlama, LlamaCompletion, resolveChatWrapper } = await import(library);
    // Never build: a compiler is no part of what this needs, and minutes of silence are no way to start.
    const llama = await getLlama({ build: "never", gpu: false, maxThreads: threads, logLevel: "error" });
    const model = await llama.loadModel({ modelPath: weights });
    const context = await model.createContext({ contextSize: this.#contextSize, threads });
    const sequence = context.getSequence();
    this.#loaded = { model, sequence, completion: new LlamaCompletion({ contextSequence: sequence }), wrapper: resolveChatWrapper(model) };
  }

  #tokens(request) {
    const { model, wrapper } = this.#loaded;
    const chars = request.prompt?.length ?? request.history.reduce((sum, turn) => sum + (turn.text ?? turn.response[0]).length, 0);
    if (chars > this.#contextSize * MAX_CHARS_PER_TOKEN) throw this.#tooLong(`${chars} characters`);
    let stops = [];
    let tokens;
    if (request.history) {
      const last = request.history.at(-1);
      // The model speaks next: an open turn of its own tells the template so.
      const chatHistory = last.type === "model" ? request.history : [...request.history, { type: "model", response: [""] }];
      const { contextText, stopGenerationTriggers } = wrapper.generateContextState({ chatHistory });
      tokens = contextText.tokenize(model.tokenizer);
      stops = stopGenerationTriggers;
    } else {
      tokens = model.tokenize(request.prompt);
    }
    if (tokens.length >= this.#contextSize - 1) throw this.#tooLong(`${tokens.length} tokens`);
    return { tokens, stops };
  }

  #tooLong(length) {
    return new ApiError(
      400,
      `The prompt has ${length}; the demo model's limit is ${this.#contextSize} tokens for prompt and answer together. Send less.`,
      { code: "context_length_exceeded", param: "messages" },
    );
  }

  /**
   * Answers `request` when its turn comes. `onText(text)` gets pieces as they come; resolves with
   * `{text, finish, promptTokens, completionTokens}`. Throws ApiError, or the signal's reason when aborted.
   */
  async answer(request, signal, onText = () => {}) {
    await this.ready;
    const { tokens, stops } = this.#tokens(request);
    const turn = this.#queue.then(() => this.#generate(request, tokens, stops, signal, onText));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #generate(request, tokens, stops, signal, onText) {
    signal.throwIfAborted();
    const { completion, sequence } = this.#loaded;
    const room = this.#contextSize - tokens.length - 1;
    let completionTokens = 0;
    try {
      const { response, metadata } = await completion.generateCompletionWithMeta(tokens, {
        signal,
        maxTokens: Math.min(request.maxTokens, room),
        temperature: request.temperature,
        topP: request.topP,
        seed: request.seed,
        customStopTriggers: [...stops, ...request.stops],
        onTextChunk: onText,
        onToken: (some) => (completionTokens += some.length),
        disableContextShift: true,
      });
      return { text: response, finish: FINISH[metadata.stopReason] ?? "stop", promptTokens: tokens.length, completionTokens };
    } catch (error) {
      // Half an evaluated prompt must not leak into the next request's answer.
      await sequence.clearHistory();
      throw error;
    }
  }
}
