import { expect, test } from "vitest";
import { isActive } from "../src/moment";

const quiet = { used: false, tasks: 0, commands: 0, debugging: false };

test("a window that nobody uses and where nothing runs is not active", () => {
  expect(isActive(quiet)).toBe(false);
});
test.each([{ used: true }, { tasks: 1 }, { commands: 1 }, { debugging: true }])("%o is", (change) => {
  expect(isActive({ ...quiet, ...change })).toBe(true);
});
