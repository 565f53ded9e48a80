import { expect, test } from "vitest";
import { SseParser } from "../src/sse";

const STREAM = 'data: {"a":"é→😀"}\n\n: keep-alive\n\nevent: x\r\ndata: one\r\ndata: two\r\n\r\ndata:tight\r\rdata: [DONE]\n\n';
const EVENTS = ['{"a":"é→😀"}', "one\ntwo", "tight", "[DONE]"];

function parse(bytes: Uint8Array, cuts: readonly number[]): string[] {
  const parser = new SseParser();
  const events: string[] = [];
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    events.push(...parser.push(bytes.subarray(from, to)));
    from = to;
  }
  return [...events, ...parser.end()];
}

const bytes = new TextEncoder().encode(STREAM);

test("every cut in two gives the same events", () => {
  for (let cut = 0; cut <= bytes.length; cut++) expect(parse(bytes, [cut]), `cut at ${cut}`).toEqual(EVENTS);
});

test("every cut in three gives the same events", () => {
  for (let a = 0; a <= bytes.length; a++) for (let b = a; b <= bytes.length; b++) expect(parse(bytes, [a, b])).toEqual(EVENTS);
});

test("byte by byte gives the same events", () => {
  expect(parse(bytes, [...bytes.keys()])).toEqual(EVENTS);
});

test("an event comes out as soon as its empty line is there", () => {
  const parser = new SseParser();
  expect(parser.push(new TextEncoder().encode("data: now\n"))).toEqual([]);
  expect(parser.push(new TextEncoder().encode("\n"))).toEqual(["now"]);
});

test("a last event without its empty line is not lost", () => {
  expect(parse(new TextEncoder().encode("data: last"), [])).toEqual(["last"]);
});
