import { describe, expect, test } from "vitest";
import { budgetFor, fit, fitAll, tokens, words } from "../src/trim";

const long = {
  name: "app.py",
  language: "python",
  text: ["import re", ...Array.from({ length: 400 }, (_, i) => `    value_${i} = ${i}`), "def far_away(email):", "    return email", ...Array.from({ length: 400 }, (_, i) => `    other_${i} = ${i}`)].join("\n"),
};

describe("fit", () => {
  test("what fits stays as it is", () => {
    const result = fit(long, long.text.length);
    expect(result.text).toBe(long.text);
    expect(result.keptLines).toBe(result.lines);
  });

  test("never keeps more than the budget, apart from the marks", () => {
    for (const budget of [0, 1, 50, 500, 5000]) {
      const kept = fit(long, budget).text.split("\n").filter((line) => !/^\[\d+ lines? left out\]$/.test(line));
      expect(kept.reduce((sum, line) => sum + line.length + 1, 0)).toBeLessThanOrEqual(budget);
    }
  });

  test("the focus and its neighbours come first", () => {
    const result = fit({ ...long, focus: { first: 200, last: 202 } }, 400);
    expect(result.text).toContain("value_199 = 199\n    value_200 = 200\n    value_201 = 201");
    expect(result.text).not.toContain("other_300");
  });

  test("lines that share words with the question are found far away", () => {
    const result = fit({ ...long, focus: { first: 5, last: 6 } }, 600, words("what does far_away do with an email?"));
    expect(result.text).toContain("def far_away(email):");
  });

  test("lines keep their order and gaps say how many lines are missing", () => {
    const result = fit(long, 300);
    const left = [...result.text.matchAll(/\[(\d+) lines? left out\]/g)].reduce((sum, match) => sum + Number(match[1]), 0);
    expect(left + result.keptLines).toBe(result.lines);
  });
});

describe("fitAll", () => {
  test("small sources all fit and nothing is said", () => {
    const { fitted, notes } = fitAll([{ name: "a", language: "", text: "one" }, { name: "b", language: "", text: "two" }], 100, "");
    expect(fitted.map((source) => source.text)).toEqual(["one", "two"]);
    expect(notes).toEqual([]);
  });

  test("a shortened source is told to the person, and the later ones get their share", () => {
    const { fitted, notes } = fitAll([long, { name: "small.py", language: "python", text: "x = 1" }], 2000, "");
    expect(fitted.map((source) => source.name)).toEqual(["app.py", "small.py"]);
    expect(fitted[1]?.text).toBe("x = 1");
    expect(notes).toEqual([expect.stringMatching(/^app\.py is long: \d+ of its 803 lines were sent/)]);
  });

  test("without room for a source it is dropped and told", () => {
    const { fitted, notes } = fitAll([{ name: "wide.txt", language: "", text: "x".repeat(1000) }], 100, "");
    expect(fitted).toEqual([]);
    expect(notes).toEqual(["wide.txt did not fit and was left out."]);
  });
});

test("of one endless line the beginning is sent", () => {
  const { fitted, notes } = fitAll([{ name: "min.js", language: "", text: "x".repeat(1000) }], 300, "");
  expect(fitted[0]?.text).toBe(`${"x".repeat(300)}\n[the rest is left out]`);
  expect(notes).toEqual(["min.js is long: only its beginning was sent."]);
});

test("a budget leaves room for the answer", () => {
  expect(tokens(budgetFor(8192))).toBeLessThanOrEqual(8192 * 0.75);
});
