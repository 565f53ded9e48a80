import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isDotenv, isSecretPath, isSecretValue, parseDotenv, redaction } from "../src/secrets";

interface Cases {
  kept_back_whole: string[];
  may_be_sent: string[];
  read_for_values: string[];
  not_read_for_values: string[];
  assignments: { text: string; values: Record<string, string> }[];
  secret: [string, string][];
  no_secret: [string, string][];
  texts: { dotenv: string; text: string; sent: string }[];
}

/** What holds for Python, too. */
const cases = JSON.parse(readFileSync(new URL("../../../tests/ai_provider/secrets.json", import.meta.url), "utf8")) as Cases;

test.each(cases.kept_back_whole)("%s is kept back", (path) => expect(isSecretPath(path)).toBe(true));
test.each(cases.may_be_sent)("%s may be sent", (path) => expect(isSecretPath(path)).toBe(false));
test.each(cases.read_for_values)("%s is read for values", (path) => expect(isDotenv(path)).toBe(true));
test.each(cases.not_read_for_values)("%s is not read for values", (path) => expect(isDotenv(path)).toBe(false));
test.each(cases.assignments)("the values of $text", ({ text, values }) => expect(Object.fromEntries(parseDotenv(text))).toEqual(values));
test.each(cases.secret)("%s=%s is secret", (name, value) => expect(isSecretValue(name, value)).toBe(true));
test.each(cases.no_secret)("%s=%s is not secret", (name, value) => expect(isSecretValue(name, value)).toBe(false));
test.each(cases.texts)("of $text goes $sent", ({ dotenv, text, sent }) => expect(redaction(parseDotenv(dotenv)).redact(text)).toBe(sent));

test("a path of Windows is a path", () => expect(isSecretPath("C:\\x\\.env")).toBe(true));

describe("what was taken out", () => {
  const { redact, restore } = redaction(new Map([["API_KEY", "sk-12345678"], ["LONGER_KEY", "sk-12345678-more"], ["URL_TOKEN_ISH", "abc123def456ghi789"]]));

  test("is put back", () => {
    const text = "a sk-12345678 b sk-12345678-more c abc123def456ghi789";
    expect(restore(redact(text))).toBe(text);
  });
});
