import { describe, expect, test } from "vitest";
import { describe as inWords, parseStatus } from "../src/sync";

const whole = { version: 1, state: "protected", generation: 3, protected_at: "2026-01-02T03:04:05Z", pending: 0, not_protected: [], error: null, updated_at: "2026-01-02T03:04:06Z" };
const parsed = (change: object) => parseStatus(JSON.stringify({ ...whole, ...change }));

describe("parseStatus", () => {
  test("reads a whole status", () => {
    expect(parsed({ not_protected: [{ path: "big.bin", reason: "larger than 100 MB" }] })).toEqual({
      state: "protected",
      protectedAt: new Date("2026-01-02T03:04:05Z"),
      pending: 0,
      notProtected: [{ path: "big.bin", reason: "larger than 100 MB" }],
      error: undefined,
    });
  });
  test.each(["", "{", "null", "3", '"protected"', "{}", '{"version":2,"state":"protected"}', '{"version":1,"state":"fine"}'])("%s is no status", (text) => {
    expect(parseStatus(text)).toBeUndefined();
  });
  test("a status before the first push has no time", () => {
    expect(parsed({ state: "saving", protected_at: null })?.protectedAt).toBeUndefined();
  });
});

describe("words", () => {
  test("behind shows the sentence of the error and warns", () => {
    const words = inWords(parsed({ state: "behind", error: "The git host is away; trying again in 5 s." }));
    expect(words).toMatchObject({ icon: "warning", label: "Behind", warning: true });
    expect(words.sentence).toContain("The git host is away; trying again in 5 s.");
  });
  test("protected with exceptions says so", () => {
    expect(inWords(parsed({ not_protected: [{ path: "a", reason: "b" }] })).sentence).toContain("except 1 path");
  });
  test("protected keeps a sentence that still matters", () => {
    const error = "These files come from a mirror, as they were 14 minutes ago.";
    expect(inWords(parsed({ error })).sentence).toContain(error);
    expect(inWords(parsed({ error, not_protected: [{ path: "a", reason: "b" }] })).sentence).toContain(error);
  });
  test.each([["protected", "Protected"], ["saving", "Saving"], ["restoring", "Restoring"], ["stopped", "Not saving"]])("%s is called %s", (state, label) => {
    expect(inWords(parsed({ state })).label).toBe(label);
  });
  test("no label holds a number: it is no counter", () => {
    for (const state of ["protected", "saving", "behind", "restoring", "stopped"]) expect(inWords(parsed({ state, pending: 7 })).label).not.toMatch(/\d/);
  });
});
