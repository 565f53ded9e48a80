import { describe, expect, test } from "vitest";
import { closeFence, escape, footer } from "../src/markdown";
import { addressed, fence, messages, recent } from "../src/prompts";

test("a fence is longer than any run of backticks inside it", () => {
  expect(fence("a ``` b", "md")).toBe("````md\na ``` b\n````");
  expect(fence("plain", "")).toBe("```\nplain\n```");
});

test("a question carries its code, its problems and its words", () => {
  const [system, user] = messages({ intent: "fix", text: "please", context: [{ name: "a.py", language: "python", text: "x", lines: 1, keptLines: 1, keptChars: 1 }], problems: ["line 1: undefined x"], history: [] });
  expect(system?.role).toBe("system");
  expect(user?.content).toContain("a.py:\n```python\nx\n```");
  expect(user?.content).toContain("- line 1: undefined x");
  expect(user?.content).toMatch(/please$/);
});

test("braces in a question stay as they are", () => {
  expect(messages({ intent: "ask", text: "{x} {{y}} ${z}", context: [], problems: [], history: [] })[1]?.content).toBe("{x} {{y}} ${z}");
});

describe("recent", () => {
  const turn = (role: "user" | "assistant", text: string) => ({ role, text });
  test("keeps the newest turns that fit and starts with the person", () => {
    const history = [turn("user", "1111"), turn("assistant", "2222"), turn("user", "33"), turn("assistant", "44")];
    expect(recent(history, 8)).toEqual([turn("user", "33"), turn("assistant", "44")]);
    expect(recent(history, 100)).toEqual(history);
    expect(recent(history, 3)).toEqual([]);
  });
});

test.each([
  ["text", ""],
  ["```py\nx", "\n```"],
  ["```py\nx\n```", ""],
  ["````md\n```\nx", "\n````"],
  ["~~~\nx\n```", "\n~~~"],
])("%j is closed with %j", (text, closing) => {
  expect(closeFence(text)).toBe(closing);
});

test("the footer names the model as it is, whatever is in its name", () => {
  expect(footer({ model: "a_b*c (demo)", task: "coding", text: "", finish: "stop" })).toBe("\n\n*a\\_b\\*c (demo) · coding*");
  expect(footer({ model: "m", task: undefined, text: "", finish: "length" })).toContain("length limit");
  expect(escape("<b>")).toBe("\\<b\\>");
});

test("whoever is named in a question that VS Code writes, it is put to us", () => {
  expect(addressed("")).toBe("@neuralinverse ");
  expect(addressed("@neuralinverse /fix it")).toBe("@neuralinverse /fix it");
  expect(addressed("@workspace /explain this")).toBe("@neuralinverse /explain this");
  expect(addressed("mail @workspace.org")).toBe("@neuralinverse mail @workspace.org");
});
