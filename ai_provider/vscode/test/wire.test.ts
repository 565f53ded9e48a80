import { describe, expect, test } from "vitest";
import { inputOf, toMessages, toTools } from "../src/wire";

const USER = 1;
const ASSISTANT = 2;

test("a tool call and its result go to the gateway as a call and a tool message, before what the person says next", () => {
  const messages = toMessages([
    { role: USER, content: [{ value: "read a.py" }] },
    { role: ASSISTANT, content: [{ value: "I look. " }, { callId: "1", name: "read", input: { path: "a.py" } }] },
    { role: USER, content: [{ value: "and now?" }, { callId: "1", content: [{ value: "print(1)" }] }] },
  ]);
  expect(messages).toEqual([
    { role: "user", content: "read a.py" },
    { role: "assistant", content: "I look. ", tool_calls: [{ id: "1", type: "function", function: { name: "read", arguments: '{"path":"a.py"}' } }] },
    { role: "tool", tool_call_id: "1", content: "print(1)" },
    { role: "user", content: "and now?" },
  ]);
});

test("other roles are the system; an assistant who said nothing is left out", () => {
  expect(toMessages([{ role: 3, content: [{ value: "be brief" }] }, { role: ASSISTANT, content: [] }])).toEqual([{ role: "system", content: "be brief" }]);
});

test("a call without text has no content", () => {
  expect(toMessages([{ role: ASSISTANT, content: [{ callId: "1", name: "f", input: {} }] }])[0]).toMatchObject({ content: null });
});

test("text data is text, an image is not", () => {
  const data = new TextEncoder().encode("words");
  expect(toMessages([{ role: USER, content: [{ data, mimeType: "text/plain" }, { data, mimeType: "image/png" }] }])).toEqual([{ role: "user", content: "words" }]);
});

test("a tool without a schema takes no arguments", () => {
  expect(toTools([{ name: "f", description: "d" }])).toEqual([{ type: "function", function: { name: "f", description: "d", parameters: { type: "object", properties: {} } } }]);
});

describe("inputOf", () => {
  const call = (text: string) => ({ id: "1", type: "function" as const, function: { name: "f", arguments: text } });
  test.each([['{"a":1}', { a: 1 }], ["", {}], [" ", {}]])("%j is %j", (text, expected) => {
    expect(inputOf(call(text))).toEqual(expected);
  });
  test.each(['{"a":', "[1]", "null", "3", "text"])("%j is no input", (text) => {
    expect(inputOf(call(text))).toBeUndefined();
  });
});
