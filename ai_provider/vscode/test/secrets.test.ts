import { describe, expect, test } from "vitest";
import { isSecretPath, parseDotenv, redaction } from "../src/secrets";

test.each([".env", "/w/.env", "a/.env.local", "prod.env", ".envrc", "server.key", "cert.pem", "id_ed25519", ".netrc", "C:\\x\\.env"])("%s is kept back", (path) => {
  expect(isSecretPath(path)).toBe(true);
});

test.each([".env.example", ".env.sample", "environment.py", "keyboard.ts", "env.py", "monkey.py"])("%s may be sent", (path) => {
  expect(isSecretPath(path)).toBe(false);
});

describe("parseDotenv", () => {
  test("reads plain, quoted, exported and commented values", () => {
    const text = "# comment\nA=one\nexport B='two # not a comment'\nC=\"th\\\"ree\" \nD=four # comment\r\nEMPTY=\nnot a line\n";
    expect(Object.fromEntries(parseDotenv(text))).toEqual({ A: "one", B: "two # not a comment", C: 'th"ree', D: "four" });
  });
});

describe("redaction", () => {
  const { redact, restore } = redaction(new Map([["API_KEY", "sk-12345678"], ["LONGER_KEY", "sk-12345678-more"], ["DEBUG", "true"], ["MODE", "development"], ["QUOTED_SECRET", 'pa"ss\nword'], ["URL_TOKEN_ISH", "abc123def456ghi789"]]));

  test("takes a value out wherever it stands", () => {
    expect(redact("key = 'sk-12345678'; again sk-12345678")).toBe("key = '<API_KEY from .env>'; again <API_KEY from .env>");
  });
  test("takes the longer of two values that begin alike", () => {
    expect(redact("sk-12345678-more")).toBe("<LONGER_KEY from .env>");
  });
  test("takes a value out as it looks inside JSON", () => {
    expect(redact(JSON.stringify({ p: 'pa"ss\nword' }))).toBe('{"p":"<QUOTED_SECRET from .env>"}');
  });
  test("puts back what it took out", () => {
    const text = "a sk-12345678 b sk-12345678-more c abc123def456ghi789";
    expect(restore(redact(text))).toBe(text);
  });
  test("leaves ordinary words alone", () => {
    expect(redact("if debug is true in development")).toBe("if debug is true in development");
  });
  test("takes out what looks like a secret under any name", () => {
    expect(redact("abc123def456ghi789")).toBe("<URL_TOKEN_ISH from .env>");
  });
});
