import { describe, expect, test } from "vitest";
import { Gateway, GatewayError, type Outcome, type Piece } from "../src/gateway";
import { against, chunk } from "./server";

const ask = { model: "auto", messages: [{ role: "user", content: "hi" } as const] };

async function collect(answer: AsyncGenerator<Piece, Outcome>): Promise<{ pieces: Piece[]; outcome: Outcome }> {
  const pieces: Piece[] = [];
  for (;;) {
    const step = await answer.next();
    if (step.done) return { pieces, outcome: step.value };
    pieces.push(step.value);
  }
}

async function failure(answer: AsyncGenerator<Piece, Outcome>): Promise<GatewayError> {
  const error: unknown = await collect(answer).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof GatewayError)) throw new Error(`expected a GatewayError, got ${String(error)}`);
  return error;
}

const never = new AbortController().signal;

describe("chat", () => {
  test("streams pieces and says who answered", async () => {
    const gateway = await against((request, response) => {
      expect(request.headers.authorization).toBe("Bearer t");
      response.writeHead(200, { "X-NeuralInverse-Task": "coding" });
      response.end(chunk({ reasoning_content: "hm" }) + chunk({ content: "a" }) + chunk({ content: "b" }) + chunk({}, "stop") + "data: [DONE]\n\n");
    });
    const { pieces, outcome } = await collect(gateway.chat(ask, never));
    expect(pieces).toEqual([{ kind: "reasoning", text: "hm" }, { kind: "text", text: "a" }, { kind: "text", text: "b" }]);
    expect(outcome).toEqual({ model: "real-1", task: "coding", text: "ab", finish: "stop" });
  });

  test("joins the fragments of tool calls", async () => {
    const gateway = await against((_, response) => {
      response.end(
        chunk({ tool_calls: [{ index: 1, id: "b", function: { name: "two", arguments: "{}" } }] }) +
          chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "one", arguments: '{"x"' } }] }) +
          chunk({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }) +
          chunk({}, "tool_calls"),
      );
    });
    const { pieces } = await collect(gateway.chat(ask, never));
    expect(pieces).toEqual([
      {
        kind: "tools",
        calls: [
          { id: "a", type: "function", function: { name: "one", arguments: '{"x":1}' } },
          { id: "b", type: "function", function: { name: "two", arguments: "{}" } },
        ],
      },
    ]);
  });

  test("takes secrets out of everything that leaves", async () => {
    let sent = "";
    const gateway = await against(
      (request, response) => {
        sent = request.text;
        response.end(chunk({ content: "ok" }, "stop"));
      },
      { guard: () => Promise.resolve((text) => text.replaceAll("s3cret", "<gone>")) },
    );
    const calls = [{ id: "1", type: "function" as const, function: { name: "f", arguments: '{"k":"s3cret"}' } }];
    await collect(gateway.chat({ model: "auto", messages: [{ role: "user", content: "s3cret" }, { role: "assistant", content: null, tool_calls: calls }, { role: "tool", content: "s3cret", tool_call_id: "1" }] }, never));
    expect(sent).not.toContain("s3cret");
    expect(sent.match(/<gone>/g)).toHaveLength(3);
  });

  test.each([
    [401, "", "unauthorized", /token/],
    [403, "<html>", "unauthorized", /token/],
    [429, '{"error":{"message":"All are busy."}}', "busy", /^All are busy\.$/],
    [503, '{"error":{"message":"No model: set AZURE_AI_ENDPOINT."}}', "server", /^No model: set AZURE_AI_ENDPOINT\.$/],
    [502, "<html>Bad gateway</html>", "server", /HTTP 502/],
    [400, `{"error":{"message":"about 5,000 tokens","code":"context_length_exceeded"}}`, "too-long", /^(?!.*tokens).*Select less/],
    [413, "", "too-long", /Select less/],
    [404, "", "not-found", /./],
    [400, '{"error":{"message":"unknown model"}}', "refused", /unknown model/],
  ])("HTTP %i %s is %s", async (status, body, kind, words) => {
    const gateway = await against((_, response) => {
      response.writeHead(status).end(body);
    });
    const error = await failure(gateway.chat(ask, never));
    expect(error.failure).toBe(kind);
    expect(error.message).toMatch(words);
  });

  test("keeps what was received when the stream is cut", async () => {
    const gateway = await against((_, response) => {
      response.write(chunk({ content: "half an " }), () => response.destroy());
    });
    const error = await failure(gateway.chat(ask, never));
    expect(error).toMatchObject({ failure: "cut", received: "half an " });
  });

  test("an end without a reason to end is a cut too", async () => {
    const gateway = await against((_, response) => {
      response.end(chunk({ content: "half" }));
    });
    expect(await failure(gateway.chat(ask, never))).toMatchObject({ failure: "cut", received: "half" });
  });

  test("an error inside the stream is shown with its own words", async () => {
    const gateway = await against((_, response) => {
      response.end(chunk({ content: "half" }) + 'data: {"error":{"message":"The upstream went away."}}\n\n');
    });
    expect(await failure(gateway.chat(ask, never))).toMatchObject({ message: "The upstream went away.", received: "half" });
  });

  test("an empty answer is an error with the model's name", async () => {
    const gateway = await against((_, response) => {
      response.end(chunk({ content: " \n" }, "stop"));
    });
    expect(await failure(gateway.chat(ask, never))).toMatchObject({ failure: "empty", message: expect.stringContaining("real-1") as string });
  });

  test("a gateway that is silent for too long is given up", async () => {
    const gateway = await against((_, response) => void response.write(chunk({ content: "a" })), { silenceS: 0.2 });
    expect(await failure(gateway.chat(ask, never))).toMatchObject({ failure: "slow", received: "a" });
  });

  test("nobody listening is one sentence with the address", async () => {
    const gateway = new Gateway({ NEURALINVERSE_GATEWAY_URL: "http://127.0.0.1:9/v1", JUPYTERHUB_API_TOKEN: "t" });
    expect(await failure(gateway.chat(ask, never))).toMatchObject({ failure: "unreachable", message: expect.stringContaining("http://127.0.0.1:9/v1") as string });
  });

  test("a workspace without the variables says which is missing", async () => {
    expect((await failure(new Gateway({}).chat(ask, never))).message).toContain("NEURALINVERSE_GATEWAY_URL");
    expect((await failure(new Gateway({ NEURALINVERSE_GATEWAY_URL: "http://127.0.0.1:9/v1" }).chat(ask, never))).message).toContain("JUPYTERHUB_API_TOKEN");
  });

  test("stopping closes the connection, so that the upstream stops too", async () => {
    let gone: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      gone = resolve;
    });
    const gateway = await against((request, response) => {
      request.socket.on("close", gone);
      response.write(chunk({ content: "a" }));
    });
    const abort = new AbortController();
    const answer = gateway.chat(ask, abort.signal);
    await answer.next();
    abort.abort();
    await expect(answer.next()).rejects.not.toBeInstanceOf(GatewayError);
    await closed;
  });

  test("an answer that nobody reads to its end is closed too", async () => {
    let gone: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      gone = resolve;
    });
    const gateway = await against((request, response) => {
      request.socket.on("close", gone);
      response.write(chunk({ content: "a" }));
    });
    for await (const _ of gateway.chat(ask, never)) break;
    await closed;
  });
});

test("models are listed with who serves them", async () => {
  const gateway = await against((_, response) => {
    response.end(JSON.stringify({ data: [{ id: "auto", neuralinverse: { kind: "task", served_by: "real-1", upstream: "x", window: 8192 } }, { id: "plain" }] }));
  });
  expect(await gateway.models(never)).toEqual([
    { id: "auto", kind: "task", servedBy: "real-1", description: undefined, windowTokens: 8192 },
    { id: "plain", kind: "model", servedBy: undefined, description: undefined, windowTokens: undefined },
  ]);
});
