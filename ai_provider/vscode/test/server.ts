/** A real HTTP server for a test, gone when the test is over. */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import { Gateway } from "../src/gateway";

export type Handler = (request: IncomingMessage & { text: string }, response: ServerResponse) => void | Promise<void>;

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** A real HTTP server on a free port, and the gateway client for it. */
export async function against(handler: Handler, options: ConstructorParameters<typeof Gateway>[1] = {}): Promise<Gateway> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => void handler(Object.assign(request, { text: Buffer.concat(parts).toString() }), response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  return new Gateway({ NEURALINVERSE_GATEWAY_URL: url, JUPYTERHUB_API_TOKEN: "t" }, options);
}

export const chunk = (delta: object, finish: string | null = null) => `data: ${JSON.stringify({ model: "real-1", choices: [{ delta, finish_reason: finish }] })}\n\n`;
