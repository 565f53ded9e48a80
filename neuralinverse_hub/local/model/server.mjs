// The demo model behind OpenAI's API, for this machine only: chat/completions, completions, models, healthz.
//
//   node server.mjs --runtime <node-llama-cpp/dist/index.js> --weights <file.gguf> [--port 0] [--threads 1]
//                   [--context 4096] [--exit-with-stdin]
//
// Listens on 127.0.0.1, then loads; requests that come meanwhile wait. Prints one JSON line, {"port": …}, once it
// listens. The bearer key comes from the environment variable NEURALINVERSE_DEMO_MODEL_KEY.

import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { Engine } from "./engine.mjs";
import { ApiError, chatRequest, completionRequest } from "./requests.mjs";

const MODEL = "SmolLM2-135M-Instruct (demo model)";
const MAX_BODY_BYTES = 16 * 1024 * 1024;

const { values: settings } = parseArgs({
  options: {
    runtime: { type: "string" },
    weights: { type: "string" },
    port: { type: "string", default: "0" },
    threads: { type: "string", default: "1" },
    context: { type: "string", default: "4096" },
    "exit-with-stdin": { type: "boolean", default: false },
  },
});
const key = process.env.NEURALINVERSE_DEMO_MODEL_KEY;
if (!settings.runtime || !settings.weights || !key) {
  console.error("server.mjs needs --runtime, --weights and NEURALINVERSE_DEMO_MODEL_KEY in its environment.");
  process.exit(2);
}

const digest = (text) => createHash("sha256").update(text).digest();
const expected = digest(`Bearer ${key}`);
const started = Math.floor(Date.now() / 1000);
let state = "loading";

const engine = new Engine({
  library: pathToFileURL(settings.runtime).href,
  weights: settings.weights,
  threads: Number(settings.threads),
  contextSize: Number(settings.context),
});
engine.ready.then(
  () => (state = "ready"),
  (error) => {
    console.error(`The demo model did not load: ${error.stack ?? error}`);
    process.exit(3);
  },
);

const sendJson = (response, status, body, headers = {}) => {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": bytes.length, ...headers });
  response.end(bytes);
};

const readJson = async (request) => {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    size += piece.length;
    // Read on without keeping: an answer to a half-read request looks like a broken connection to most clients.
    if (size <= MAX_BODY_BYTES) pieces.push(piece);
  }
  if (size > MAX_BODY_BYTES) throw new ApiError(413, `The body has ${size} bytes; the limit is ${MAX_BODY_BYTES}.`);
  try {
    return JSON.parse(Buffer.concat(pieces).toString("utf8"));
  } catch (error) {
    throw new ApiError(400, `The body is not JSON: ${error.message}.`);
  }
};

// How the two APIs differ: names in the answers, and nothing else.
const CHAT = {
  parse: chatRequest,
  id: "chatcmpl",
  whole: "chat.completion",
  piece: "chat.completion.chunk",
  choice: (text) => ({ message: { role: "assistant", content: text } }),
  opening: { delta: { role: "assistant", content: "" } },
  delta: (text) => ({ delta: { content: text } }),
  closing: { delta: {} },
};
const COMPLETION = {
  parse: completionRequest,
  id: "cmpl",
  whole: "text_completion",
  piece: "text_completion",
  choice: (text) => ({ text }),
  opening: null,
  delta: (text) => ({ text }),
  closing: { text: "" },
};

const usage = ({ promptTokens, completionTokens }) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
});

const answer = async (api, request, response) => {
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) gone.abort(new Error("the client is gone"));
  });
  const asked = api.parse(await readJson(request));
  const head = { id: `${api.id}-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model: MODEL };
  const entry = (choice, finish) => ({ index: 0, ...choice, logprobs: null, finish_reason: finish });
  if (!asked.stream) {
    const done = await engine.answer(asked, gone.signal);
    const choices = [entry(api.choice(done.text), done.finish)];
    return sendJson(response, 200, { ...head, object: api.whole, choices, usage: usage(done) });
  }
  const send = (body) => response.write(`data: ${JSON.stringify({ ...head, object: api.piece, ...body })}\n\n`);
  const open = () => {
    if (response.headersSent) return;
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache" });
    if (api.opening) send({ choices: [entry(api.opening, null)] });
  };
  const done = await engine.answer(asked, gone.signal, (text) => {
    open();
    send({ choices: [entry(api.delta(text), null)] });
  });
  open();
  send({ choices: [entry(api.closing, done.finish)] });
  if (asked.usageInStream) send({ choices: [], usage: usage(done) });
  response.end("data: [DONE]\n\n");
};

const card = { id: MODEL, object: "model", created: started, owned_by: "HuggingFaceTB" };

const route = async (request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/healthz") return sendJson(response, 200, { status: state, model: MODEL });
  if (!timingSafeEqual(digest(request.headers.authorization ?? ""), expected)) {
    throw new ApiError(401, "The bearer key is missing or wrong.", { type: "authentication_error", code: "invalid_api_key" });
  }
  switch (`${request.method} ${pathname}`) {
    case "POST /v1/chat/completions":
      return answer(CHAT, request, response);
    case "POST /v1/completions":
      return answer(COMPLETION, request, response);
    case "GET /v1/models":
      return sendJson(response, 200, { object: "list", data: [card] });
    default:
      throw new ApiError(404, `There is no ${request.method} ${pathname}.`, { code: "not_found" });
  }
};

const fail = (response, error) => {
  if (response.destroyed) return;
  const known = error instanceof ApiError;
  if (!known) console.error(error.stack ?? error);
  const failure = known ? error : new ApiError(500, "The demo model failed to answer; its log says why.", { type: "server_error" });
  if (response.headersSent) response.end(`data: ${JSON.stringify(failure.body)}\n\n`);
  else sendJson(response, failure.status, failure.body);
};

const server = createServer((request, response) => {
  route(request, response).catch((error) => fail(response, error));
});
server.requestTimeout = 0;
server.on("error", (error) => {
  console.error(`The demo model cannot listen on port ${settings.port}: ${error.message}`);
  process.exit(4);
});
server.listen(Number(settings.port), "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));

const leave = () => process.exit(0);
process.on("SIGTERM", leave);
process.on("SIGINT", leave);
if (settings["exit-with-stdin"]) process.stdin.on("end", leave).on("error", leave).resume();
