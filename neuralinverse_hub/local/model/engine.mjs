// The model: loads once, answers one request at a time, first come first served. Knows no HTTP.

import { ApiError } from "./requests.mjs";

/** Chars that one token stands for at the very most; a longer prompt is refused without being tokenized. */
const MAX_CHARS_PER_TOKEN = 64;

/** So small a model repeats one sentence for ever without it; new lines stay free, since code needs them. */
const REPEAT_PENALTY = { lastTokens: 128, penalty: 1.15, frequencyPenalty: 0.1, penalizeNewLine: false };

const FINISH = { maxTokens: "length" };

/** What the model was trained to hear when nobody else says who it is. */
const OWN_SYSTEM_PROMPT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

/**
 * A conversation as this model was trained to read it: ChatML, beginning with a system turn and without a token before
 * it. `{special}` pieces are markup; what people wrote stays text even when it looks like markup.
 */
function chatText(history) {
  const turns = history[0].role === "system" ? history : [{ role: "system", text: OWN_SYSTEM_PROMPT }, ...history];
  const pieces = turns.flatMap(({ role, text }) => [{ special: `<|im_start|>${role}\n` }, text, { special: "<|im_end|>\n" }]);
  // A conversation that ends with the model's own turn is to be continued, any other to be answered.
  return turns.at(-1).role === "assistant" ? pieces.slice(0, -1) : [...pieces, { special: "<|im_start|>assistant\n" }];
}

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
    const { getLlama, LlamaCompletion, LlamaText, SpecialTokensText } = await import(library);
    // Never build: a compiler is no part of what this needs, and minutes of silence are no way to start.
    const llama = await getLlama({ build: "never", gpu: false, maxThreads: threads, logLevel: "error" });
    const model = await llama.loadModel({ modelPath: weights });
    const context = await model.createContext({ contextSize: this.#contextSize, threads });
    const sequence = context.getSequence();
    const completion = new LlamaCompletion({ contextSequence: sequence });
    const render = (history) => LlamaText(chatText(history).map((piece) => (piece.special ? new SpecialTokensText(piece.special) : piece)));
    this.#loaded = { model, sequence, completion, render };
  }

  #tokens(request) {
    const { model, render } = this.#loaded;
    const chars = request.prompt?.length ?? request.history.reduce((sum, { text }) => sum + text.length, 0);
    if (chars > this.#contextSize * MAX_CHARS_PER_TOKEN) throw this.#tooLong(`${chars} characters`);
    const tokens = request.history ? render(request.history).tokenize(model.tokenizer) : model.tokenize(request.prompt);
    if (tokens.length >= this.#contextSize - 1) throw this.#tooLong(`${tokens.length} tokens`);
    return tokens;
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
    const tokens = this.#tokens(request);
    const turn = this.#queue.then(() => this.#generate(request, tokens, signal, onText));
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #generate(request, tokens, signal, onText) {
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
        repeatPenalty: REPEAT_PENALTY,
        customStopTriggers: request.stops,
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
