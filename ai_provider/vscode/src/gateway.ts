/**
 * The gateway as the extension sees it: an OpenAI-compatible API whose address and bearer are in the environment.
 *
 * Every failure is a `GatewayError` whose message is one sentence for the person, and which keeps the text that
 * had arrived. Nothing here knows VS Code, and nothing here logs: prompts and tokens stay where they are.
 */
import { SseParser } from "./sse";

export type Role = "system" | "user" | "assistant" | "tool";

export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface Message {
  readonly role: Role;
  readonly content: string | null;
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
}

export interface Tool {
  readonly type: "function";
  readonly function: { readonly name: string; readonly description: string; readonly parameters?: object };
}

export interface ChatRequest {
  /** A task (`auto`, `coding`, …) or a model; `GET /v1/models` lists them. */
  readonly model: string;
  readonly messages: readonly Message[];
  readonly max_tokens?: number;
  readonly temperature?: number;
  readonly stop?: readonly string[];
  readonly tools?: readonly Tool[];
  readonly tool_choice?: "auto" | "required";
}

export interface CompletionRequest {
  readonly model: string;
  readonly prompt: string;
  /** What follows the gap; without it the prompt is simply continued. */
  readonly suffix?: string;
  readonly max_tokens: number;
  readonly temperature: number;
  readonly stop?: readonly string[];
}

/** What streams in: text for the person, the model's thinking, or (once, at the end) the tools it wants called. */
export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "reasoning"; readonly text: string }
  | { readonly kind: "tools"; readonly calls: readonly ToolCall[] };

/** Who answered, and how it ended. */
export interface Outcome {
  /** Real name of who answered, e.g. `SmolLM2-135M-Instruct (demo model)`. */
  readonly model: string;
  readonly task: string | undefined;
  readonly text: string;
  readonly finish: string | undefined;
}

export interface Model {
  readonly id: string;
  readonly kind: string;
  readonly servedBy: string | undefined;
  readonly description: string | undefined;
  /** Tokens it reads at once, question and answer together, when the gateway says so. */
  readonly windowTokens: number | undefined;
}

export type Failure =
  | "unconfigured"
  | "unreachable"
  | "unauthorized"
  | "busy"
  | "too-long"
  | "not-found"
  | "refused"
  | "server"
  | "cut"
  | "slow"
  | "empty";

export class GatewayError extends Error {
  override readonly name = "GatewayError";
  constructor(
    readonly failure: Failure,
    message: string,
    /** The part of the answer that had arrived. */
    readonly received = "",
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface Environment {
  readonly [name: string]: string | undefined;
}

export const ENV_URL = "NEURALINVERSE_GATEWAY_URL";
export const ENV_TOKEN = "JUPYTERHUB_API_TOKEN";
export const HEADER_TASK = "X-NeuralInverse-Task";

/** Silence after which an answer counts as lost; long, because a busy gateway lets people wait rather than refuse them. */
const SILENCE_S = 180;

export class Gateway {
  readonly #url: string | undefined;
  readonly #token: string | undefined;
  readonly #silenceMs: number;
  readonly #guard: () => Promise<(text: string) => string>;

  /** `guard` gives what is applied to every text that leaves: the one place where secrets are taken out. */
  constructor(env: Environment, options: { silenceS?: number; guard?: () => Promise<(text: string) => string> } = {}) {
    this.#url = env[ENV_URL]?.replace(/\/+$/, "");
    this.#token = env[ENV_TOKEN];
    this.#silenceMs = (options.silenceS ?? SILENCE_S) * 1000;
    this.#guard = options.guard ?? (() => Promise.resolve((text) => text));
  }

  /** Streams one answer. Returns who gave it; throws `GatewayError`, or an AbortError when `signal` fired. */
  async *chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<Piece, Outcome> {
    const redact = await this.#guard();
    const messages = request.messages.map((message) => ({
      ...message,
      content: message.content === null ? null : redact(message.content),
      ...(message.tool_calls && { tool_calls: message.tool_calls.map((call) => redactCall(call, redact)) }),
    }));
    const body = { ...request, messages, stream: true };
    const silence = new Silence(signal, this.#silenceMs);
    let text = "";
    try {
      const response = await this.#post("/chat/completions", body, silence);
      const task = response.headers.get(HEADER_TASK) ?? undefined;
      let model = "";
      let finish: string | undefined;
      let done = false;
      const tools = new ToolCalls();
      for await (const data of events(response, silence)) {
        if (data === "[DONE]") {
          done = true;
          break;
        }
        const chunk = parse(data);
        if (chunk.error) throw new GatewayError("server", sentence(chunk.error.message, "The model stopped with an error."), text);
        model = chunk.model || model;
        const choice = chunk.choices?.[0];
        finish = choice?.finish_reason ?? finish;
        const delta = choice?.delta;
        if (!delta) continue;
        const reasoning = delta.reasoning_content;
        if (reasoning) yield { kind: "reasoning", text: reasoning };
        if (delta.content) {
          text += delta.content;
          yield { kind: "text", text: delta.content };
        }
        for (const part of delta.tool_calls ?? []) tools.add(part);
      }
      if (!done && finish === undefined) {
        throw new GatewayError("cut", "The connection broke before the answer was complete. What had arrived is kept; ask again for the rest.", text);
      }
      const calls = tools.all();
      if (calls.length > 0) yield { kind: "tools", calls };
      if (text.trim() === "" && calls.length === 0) {
        throw new GatewayError("empty", `${model || "The model"} gave an empty answer. Ask again, or put the question differently.`);
      }
      return { model: model || request.model, task, text, finish };
    } catch (error) {
      throw this.#explain(error, text, silence, signal);
    } finally {
      silence.end();
    }
  }

  /** One completion of code between `prompt` and `suffix`, whole. Throws like `chat`; `not-found`: the gateway has no such API. */
  async complete(request: CompletionRequest, signal: AbortSignal): Promise<Outcome> {
    const redact = await this.#guard();
    const body = { ...request, prompt: redact(request.prompt), ...(request.suffix !== undefined && { suffix: redact(request.suffix) }), stream: false };
    const silence = new Silence(signal, this.#silenceMs);
    try {
      const response = await this.#post("/completions", body, silence);
      const answer = parse(await response.text());
      const choice = answer.choices?.[0];
      return {
        model: answer.model || request.model,
        task: response.headers.get(HEADER_TASK) ?? undefined,
        text: choice?.text ?? "",
        finish: choice?.finish_reason ?? undefined,
      };
    } catch (error) {
      throw this.#explain(error, "", silence, signal);
    } finally {
      silence.end();
    }
  }

  /** Tasks and models that can be asked for. */
  async models(signal: AbortSignal): Promise<Model[]> {
    const silence = new Silence(signal, Math.min(this.#silenceMs, 15_000));
    try {
      const response = await this.#send("/models", { method: "GET" }, silence);
      const list = (await response.json()) as { data?: ModelEntry[] };
      return (list.data ?? []).map((entry) => ({
        id: entry.id,
        kind: entry.neuralinverse?.kind ?? "model",
        servedBy: entry.neuralinverse?.served_by ?? undefined,
        description: entry.neuralinverse?.description,
        windowTokens: entry.neuralinverse?.window ?? undefined,
      }));
    } catch (error) {
      throw this.#explain(error, "", silence, signal);
    } finally {
      silence.end();
    }
  }

  #post(path: string, body: object, silence: Silence): Promise<Response> {
    return this.#send(path, { method: "POST", body: JSON.stringify(body) }, silence);
  }

  async #send(path: string, init: { method: string; body?: string }, silence: Silence): Promise<Response> {
    if (!this.#url || !this.#token) {
      const missing = this.#url ? ENV_TOKEN : ENV_URL;
      throw new GatewayError("unconfigured", `AI is not set up in this workspace: ${missing} is not set. Restart the workspace from the hub.`);
    }
    const response = await fetch(this.#url + path, {
      ...init,
      headers: { Authorization: `Bearer ${this.#token}`, "Content-Type": "application/json", Accept: "text/event-stream, application/json" },
      signal: silence.signal,
    });
    silence.heard();
    if (!response.ok) throw await refusal(response);
    return response;
  }

  #explain(error: unknown, text: string, silence: Silence, signal: AbortSignal): unknown {
    if (error instanceof GatewayError) return error;
    if (signal.aborted) return error; // the person stopped it: not a failure
    if (silence.tooLong) {
      return new GatewayError("slow", `The AI gateway was silent for ${this.#silenceMs / 1000} s. Ask again.`, text, { cause: error });
    }
    if (text) {
      return new GatewayError("cut", "The connection broke before the answer was complete. What had arrived is kept; ask again for the rest.", text, { cause: error });
    }
    return new GatewayError("unreachable", `The AI gateway does not answer at ${this.#url}. Try again in a moment; if it stays away, restart the workspace from the hub.`, "", { cause: error });
  }
}

/** Aborts when the caller does, or when nothing was heard for `ms`. */
class Silence {
  readonly #controller = new AbortController();
  readonly #abort = () => this.#controller.abort();
  #timer: NodeJS.Timeout;
  tooLong = false;

  constructor(
    readonly outer: AbortSignal,
    readonly ms: number,
  ) {
    outer.addEventListener("abort", this.#abort);
    if (outer.aborted) this.#abort();
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.outer.removeEventListener("abort", this.#abort);
    this.#controller.abort(); // an answer nobody reads any more must not go on costing anything upstream
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.tooLong = true;
      this.#abort();
    }, this.ms);
  }
}

function redactCall(call: ToolCall, redact: (text: string) => string): ToolCall {
  return { ...call, function: { ...call.function, arguments: redact(call.function.arguments) } };
}

interface Delta {
  content?: string | null;
  reasoning_content?: string | null;
  tool_calls?: ToolPart[];
}

interface ToolPart {
  index?: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}

interface Chunk {
  model?: string;
  choices?: { delta?: Delta; text?: string; finish_reason?: string | null }[];
  error?: { message?: string };
}

interface ModelEntry {
  id: string;
  neuralinverse?: { kind?: string; served_by?: string | null; description?: string; window?: number };
}

/** Tool calls arrive in fragments, addressed by index. */
class ToolCalls {
  readonly #parts = new Map<number, { id: string; name: string; arguments: string }>();

  add(part: ToolPart): void {
    const index = part.index ?? this.#parts.size;
    const call = this.#parts.get(index) ?? { id: "", name: "", arguments: "" };
    call.id ||= part.id ?? "";
    call.name ||= part.function?.name ?? "";
    call.arguments += part.function?.arguments ?? "";
    this.#parts.set(index, call);
  }

  all(): ToolCall[] {
    return [...this.#parts.entries()]
      .sort(([a], [b]) => a - b)
      .map(([index, call]) => ({
        id: call.id || `call_${index}`,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      }));
  }
}

async function* events(response: Response, silence: Silence): AsyncGenerator<string> {
  if (!response.body) return;
  const parser = new SseParser();
  for await (const bytes of response.body) {
    silence.heard();
    yield* parser.push(bytes);
  }
  yield* parser.end();
}

function parse(data: string): Chunk {
  try {
    return JSON.parse(data) as Chunk;
  } catch (error) {
    throw new GatewayError("server", "The AI gateway sent something that is not JSON. Ask again; if it repeats, tell the operator.", "", { cause: error });
  }
}

async function refusal(response: Response): Promise<GatewayError> {
  let said = "";
  let code = "";
  try {
    const body = (await response.json()) as { error?: { message?: string; code?: string | number | null } };
    said = body.error?.message ?? "";
    code = String(body.error?.code ?? "");
  } catch {
    // Not JSON (a proxy's HTML page, an empty body): the status says enough.
  }
  const status = response.status;
  if (status === 401 || status === 403) {
    return new GatewayError("unauthorized", "The AI gateway does not accept this workspace's token. Restart the workspace from the hub to get a new one.");
  }
  if (status === 413 || code === "context_length_exceeded") {
    // The gateway's own sentence counts tokens; a person in an editor selects lines.
    return new GatewayError("too-long", "This is more text than the model can take. Select less and ask again.");
  }
  if (status === 404 || status === 405) return new GatewayError("not-found", sentence(said, "The AI gateway does not know this request."));
  if (status === 429) return new GatewayError("busy", sentence(said, "All models are busy. Ask again in a moment."));
  if (status >= 500) return new GatewayError("server", sentence(said, `The AI gateway failed (HTTP ${status}). Ask again in a moment.`));
  return new GatewayError("refused", sentence(said, `The AI gateway refused the request (HTTP ${status}).`));
}

/** `said` as a person should read it: one line, not a page; `otherwise` when nothing was said. */
function sentence(said: string | undefined, otherwise: string): string {
  const line = (said ?? "").replace(/\s+/g, " ").trim();
  if (!line) return otherwise;
  return line.length > 300 ? `${line.slice(0, 299)}…` : line;
}
