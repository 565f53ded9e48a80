/**
 * A program, not a test: what `Completer` adds to a completion over the bare HTTP call, before an upstream that
 * answers after exactly 100 ms. Prints one line of JSON. The rest of the keyboard is left out: it is meant to wait.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Gateway } from "../src/gateway";
import { Completer } from "../src/ghost";
import { redaction } from "../src/secrets";

const UPSTREAM_MS = 100;
const rounds = Number(process.argv[2] ?? 30);
const body = JSON.stringify({ model: "real-1", choices: [{ text: "return sum(item.price for item in items)", finish_reason: "stop" }] });
const source = "def total(items):\n    # adds prices\n    return items\n\n\n".repeat(400);

async function main(): Promise<void> {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => setTimeout(() => response.end(body), UPSTREAM_MS));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const { redact } = redaction(new Map([["API_KEY", "sk-123456789012"], ["OTHER_SECRET", "abcdefgh12345678"]]));
  const gateway = new Gateway({ NEURALINVERSE_GATEWAY_URL: url, JUPYTERHUB_API_TOKEN: "t" }, { guard: () => Promise.resolve(redact) });
  const completer = new Completer(gateway, { restMs: 0, longestRestMs: 0 });
  const neighbours = () => [1, 2, 3, 4, 5, 6].map((n) => ({ name: `n${n}.py`, text: source }));
  const bare: number[] = [];
  const ours: number[] = [];
  for (let round = -3; round < rounds; round++) {
    let start = performance.now();
    const response = await fetch(`${url}/completions`, { method: "POST", body: JSON.stringify({ model: "coding", prompt: source.slice(-3000), max_tokens: 48 }) });
    await response.json();
    const plain = performance.now() - start;
    start = performance.now();
    await completer.complete({ language: "python", before: `${source}x_${round} = `, after: "", explicit: false, neighbours }, new AbortController().signal);
    const whole = performance.now() - start;
    if (round < 0) continue; // the first calls open connections and compile code
    bare.push(plain);
    ours.push(whole);
  }
  server.closeAllConnections();
  server.close();
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  console.log(JSON.stringify({ bare_call_median_ms: median(bare), client_median_ms: median(ours), client_overhead_median_ms: median(ours.map((value, index) => value - (bare[index] ?? 0))) }));
}

void main();
