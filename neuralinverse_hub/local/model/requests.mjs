// From a request body to what the engine is asked for. Pure: knows no sockets and no model.

/** An error with OpenAI's shape; `status` is the HTTP status. */
export class ApiError extends Error {
  constructor(status, message, { type = "invalid_request_error", code = null, param = null } = {}) {
    super(message);
    this.status = status;
    this.body = { error: { message, type, code, param } };
  }
}

/** What an answer gets when the client names no `max_tokens`: a small model left alone goes on for minutes. */
export const DEFAULT_MAX_TOKENS = 400;

const bad = (message, param) => new ApiError(400, message, { param });

const number = (body, name, low, high) => {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !(value >= low && value <= high)) {
    throw bad(`${name} has to be a number from ${low} to ${high}, not ${JSON.stringify(value)}.`, name);
  }
  return value;
};

const text = (content, where) => {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) throw bad(`${where} has to be a string or a list of parts.`, where);
  return content
    .map((part) => {
      if (part?.type === "text" && typeof part.text === "string") return part.text;
      throw bad(`${where} holds a part of type ${JSON.stringify(part?.type)}: the demo model reads text only.`, where);
    })
    .join("");
};

const turn = (message, index) => {
  const said = text(message?.content, `messages[${index}].content`);
  switch (message?.role) {
    case "system":
    case "developer":
      return { role: "system", text: said };
    case "user":
    case "tool":
    case "function":
      return { role: "user", text: said };
    case "assistant":
      return { role: "assistant", text: said };
    default:
      throw bad(`messages[${index}].role is ${JSON.stringify(message?.role)}; known: system, user, assistant, tool.`, "messages");
  }
};

const options = (body) => {
  if ((body.n ?? 1) !== 1) throw bad(`n is ${JSON.stringify(body.n)}: the demo model gives one answer per request.`, "n");
  const stop = body.stop ?? [];
  const stops = Array.isArray(stop) ? stop : [stop];
  if (stops.length > 16 || stops.some((each) => typeof each !== "string" || each === "")) {
    throw bad("stop has to be a string or a list of up to 16 strings, none of them empty.", "stop");
  }
  const maxTokens = number(body, "max_completion_tokens", 1, 1e9) ?? number(body, "max_tokens", 1, 1e9);
  if (maxTokens !== undefined && !Number.isInteger(maxTokens)) throw bad("max_tokens has to be a whole number.", "max_tokens");
  return {
    stops,
    maxTokens: maxTokens ?? DEFAULT_MAX_TOKENS,
    temperature: number(body, "temperature", 0, 2) ?? 0.2,
    topP: number(body, "top_p", 0, 1) ?? 0.9,
    seed: number(body, "seed", -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    stream: body.stream === true,
    usageInStream: body.stream_options?.include_usage === true,
  };
};

const object = (body) => {
  if (body === null || typeof body !== "object" || Array.isArray(body)) throw bad("The body has to be a JSON object.");
  return body;
};

/** A `/v1/chat/completions` body as `{history, …options}`. Throws ApiError. */
export function chatRequest(body) {
  const { messages } = object(body);
  if (!Array.isArray(messages) || messages.length === 0) throw bad("messages has to be a list with at least one message.", "messages");
  return { history: messages.map(turn), ...options(body) };
}

/** A `/v1/completions` body as `{prompt, …options}`. Throws ApiError. */
export function completionRequest(body) {
  let { prompt } = object(body);
  if (Array.isArray(prompt) && prompt.length === 1) [prompt] = prompt;
  if (typeof prompt !== "string" || prompt === "") throw bad("prompt has to be a string that is not empty.", "prompt");
  if (body.suffix) throw bad("suffix is given: the demo model cannot fill gaps.", "suffix");
  return { prompt, ...options(body) };
}
