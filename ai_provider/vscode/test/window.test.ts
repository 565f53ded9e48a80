import { expect, test } from "vitest";
import { budgetFor } from "../src/trim";
import { Window } from "../src/window";

const never = new AbortController().signal;
const model = (id: string, windowTokens: number | undefined) => ({ id, kind: "task", servedBy: undefined, description: undefined, windowTokens });

test("a budget follows the window of the model that is asked, is refreshed, and never fails", async () => {
  let now = 0;
  const answers: (() => Promise<ReturnType<typeof model>[]>)[] = [
    () => Promise.resolve([model("auto", 2_000), model("coding", 4_000), model("plain", undefined)]),
    () => Promise.reject(new Error("away")),
    () => Promise.resolve([model("auto", 3_000)]),
  ];
  const window = new Window({ models: () => (answers.shift() ?? (() => Promise.reject(new Error("asked too often"))))() }, () => now);
  expect(await window.budget("auto", never)).toBe(budgetFor(2_000));
  expect(await window.budget("coding", never)).toBe(budgetFor(4_000));
  expect(await window.budget("plain", never)).toBe(budgetFor(8_192));
  now += 60_000;
  expect(await window.budget("auto", never)).toBe(budgetFor(2_000));
  window.shrink(1_000);
  expect(await window.budget("coding", never)).toBe(1_000);
  now += 60_000;
  expect(await window.budget("auto", never)).toBe(budgetFor(3_000));
  expect(answers).toEqual([]);
});
