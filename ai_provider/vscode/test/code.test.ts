import { describe, expect, test } from "vitest";
import { codeOf, commitMessage, fitted, withoutSecretFiles } from "../src/code";
import { isSecretPath } from "../src/secrets";

describe("codeOf", () => {
  test.each([
    ["```python\nx = 1\n```", "x = 1"],
    ["Here it is:\n\n```\nx = 1\ny = 2\n```\nDone.", "x = 1\ny = 2"],
    ["x = 1\n", "x = 1\n"],
    ["````md\n```\ninner\n```\n````", "```\ninner\n```"],
    ["~~~\nx\n~~~", "x"],
  ])("%j holds %j", (answer, code) => {
    expect(codeOf(answer)).toBe(code);
  });

  test("while it streams the code only grows, and no fence shows", () => {
    const answer = "```python\nx = 1\ny = 2\n```\n";
    let shown = "";
    for (let end = 0; end <= answer.length; end++) {
      const code = codeOf(answer.slice(0, end));
      expect(code).not.toContain("`");
      expect(code.trimEnd().startsWith(shown.trimEnd()) || shown.trimEnd().startsWith(code.trimEnd()), `at ${end}`).toBe(true);
      shown = code;
    }
    expect(shown).toBe("x = 1\ny = 2");
  });
});

describe("fitted", () => {
  test("gets the indentation back that the model took away", () => {
    expect(fitted("if x:\n    y()\n", "    a()\n    b()\n")).toBe("    if x:\n        y()\n");
  });
  test("takes away indentation that was added", () => {
    expect(fitted("    a = 1\n\n    b = 2", "x = 1")).toBe("a = 1\n\nb = 2");
  });
  test("keeps Windows line ends and a missing newline at the end", () => {
    expect(fitted("a\nb\n", "x\r\ny")).toBe("a\r\nb");
  });
});

describe("commitMessage", () => {
  test.each([
    ["```\nAdd a test\n```", "Add a test"],
    ['"Add a test"', "Add a test"],
    ["Commit message: Add a test\nIt checks the sum.", "Add a test\n\nIt checks the sum."],
  ])("%j is %j", (answer, message) => {
    expect(commitMessage(answer)).toBe(message);
  });
});

test("secret files are taken out of a diff", () => {
  const file = (name: string) => `diff --git a/${name} b/${name}\nindex 1..2 100644\n--- a/${name}\n+++ b/${name}\n@@ -1 +1 @@\n-old\n+new of ${name}\n`;
  expect(withoutSecretFiles(file("a.py") + file("conf/.env") + file("b.py"), isSecretPath)).toEqual({ diff: file("a.py") + file("b.py"), left: 1 });
});
