import { describe, expect, test } from "vitest";
import { Cache, Completer, Neighbourhood, type Place, Rhythm, multiline, replaced, tidy, wanted } from "../src/ghost";
import { type Handler, against, chunk } from "./server";

const at = (before: string, after = "", more: Partial<Place> = {}): Place => ({ language: "python", before, after, explicit: false, neighbours: () => [], ...more });
const never = new AbortController().signal;

describe("wanted", () => {
  test.each([["def add(a, b):\n    ", ""], ["foo(bar", ")"], ["x = [1, ", "]:\nmore"]])("%j before %j", (before, after) => {
    expect(wanted(at(before, after))).toBe(true);
  });
  test.each([["", ""], ["  \n", ""], ["val", "ue = 3"], ["x = ", "y + 1"]])("not at %j before %j", (before, after) => {
    expect(wanted(at(before, after))).toBe(false);
  });
  test("always when the person asks for it", () => {
    expect(wanted(at("", "", { explicit: true }))).toBe(true);
  });
});

test.each([
  ["def f(x):\n    ", "", true],
  ["def f(x):", "\n", true],
  ["if (a) {", "", true],
  ["x = fo", "", false],
  ["f(", ")", false],
])("several lines after %j before %j: %j", (before, after, expected) => {
  expect(multiline(before, after)).toBe(expected);
});

describe("tidy", () => {
  test.each([
    ["return a + b\n\ndef other():", "    ", "", false, "return a + b"],
    ["```python\nreturn a + b\n```", "    ", "", true, "return a + b"],
    ["x = foo(1)", "x = fo", "", false, "o(1)"],
    ["bar)", "foo(", ")", false, "bar"],
    ["bar):", "foo(", "):", false, "bar"],
    [" return a", "    ", "", true, "return a"],
    ["  \n ", "x", "", true, ""],
    ["a = 1\nb = 2\nreturn total", "", "\n\nreturn total\n", true, "a = 1\nb = 2"],
    ["again\r\nagain\r\nagain\r\nagain", "", "", true, "again\nagain"],
  ])("%j after %j before %j", (raw, before, after, several, expected) => {
    expect(tidy(raw, before, after, several)).toBe(expected);
  });
});

test.each([
  ["):", ")", 1],
  ["a, b):", ")\nmore", 1],
  ["a", ")", 0],
  ["a]", ")", 0],
  ["a", "", 0],
  ["a):\n  b", ")", 0],
])("%j before %j takes the place of %i characters", (text, after, count) => {
  expect(replaced(text, after)).toBe(count);
});

describe("similar", () => {
  const similar = (...given: Parameters<Neighbourhood["similar"]>) => new Neighbourhood().similar(...given);
  const place = at("def total_price(items):\n    return sum(item.price for item in items)\n\ndef total_weight(items):\n    ");
  test("finds the window that shares words, as comments of the language", () => {
    const text = similar(place, [
      { name: "a.py", text: "import os\nprint(os.getcwd())\n" },
      { name: "b.py", text: "class Item:\n    price: float\n    weight: float\n\nitems: list[Item] = []\n" },
    ]);
    expect(text).toMatch(/^# From b\.py:\n# class Item:/);
    expect(text).not.toContain("getcwd");
  });
  test("sees that a file changed", () => {
    const neighbourhood = new Neighbourhood();
    const file = (text: string) => [{ name: "b.py", text }];
    expect(neighbourhood.similar(place, file("nothing alike here"))).toBe("");
    expect(neighbourhood.similar(place, file("total_price items price"))).toContain("total_price items price");
  });
  test("never takes more than its budget", () => {
    const text = similar(place, Array.from({ length: 9 }, (_, n) => ({ name: `${n}.py`, text: "total_price items price weight\n".repeat(20) })), 700);
    expect(text.length).toBeGreaterThan(0);
    expect(text.length).toBeLessThanOrEqual(710);
  });
});

describe("Cache", () => {
  test("what is left of an answer that is typed needs no request", () => {
    const cache = new Cache();
    cache.put("ret", "\n", "urn a + b");
    expect(cache.get("ret", "\n")).toBe("urn a + b");
    expect(cache.get("return", "\n")).toBe(" a + b");
    expect(cache.get("retx", "\n")).toBeUndefined();
    expect(cache.get("return a + b", "\n")).toBeUndefined();
    expect(cache.get("return", "other")).toBeUndefined();
  });
  test("brackets that the editor closed by itself do not count as a change", () => {
    const cache = new Cache();
    cache.put("x = ", "\n", "sum(a[0])");
    expect(cache.get("x = sum(", ")\n")).toBe("a[0]");
    expect(cache.get("x = sum(a[", "])\n")).toBe("0");
    expect(cache.get("x = sum(", "foo)\n")).toBeUndefined();
  });
  test("that there is nothing to show is known, too", () => {
    const cache = new Cache();
    cache.put("x", "", "");
    expect(cache.get("x", "")).toBe("");
    expect(cache.get("xy", "")).toBeUndefined();
  });
  test("keeps the newest", () => {
    const cache = new Cache(2);
    for (const word of ["a", "b", "c"]) cache.put(word, "", "x");
    expect(["a", "b", "c"].map((word) => cache.get(word, ""))).toEqual([undefined, "x", "x"]);
  });
});

describe("Rhythm", () => {
  /** The rest after the last of `count` keys, `gap` ms apart. */
  function rest(gap: number, count = 40): number {
    let now = 1_000;
    const rhythm = new Rhythm({ restMs: 75, longestRestMs: 200, pauseMs: 0, now: () => now });
    let wait = 0;
    for (let key = 0; key < count; key++) {
      now += gap;
      wait = rhythm.key();
    }
    return wait;
  }
  test("fast fingers wait the shortest rest", () => {
    expect(rest(20)).toBe(75);
  });
  test("slower fingers wait a little longer than their next key takes", () => {
    expect(rest(120)).toBeGreaterThan(120);
    expect(rest(120)).toBeLessThan(160);
  });
  test("nobody waits longer than the limit", () => {
    expect(rest(400)).toBe(200);
  });
  test("a pause for thought says nothing about the fingers", () => {
    expect(rest(5_000)).toBe(90);
  });
});

describe("Completer", () => {
  interface Seen {
    url: string | undefined;
    body: { prompt?: string; suffix?: string; stop?: string[] };
  }
  /** A completer before a server that answers `reply`, and what the server was asked. */
  async function before(reply: (seen: Seen, ...rest: Parameters<Handler>) => void, timing = {}): Promise<{ completer: Completer; seen: Seen[] }> {
    const seen: Seen[] = [];
    const gateway = await against((request, response) => {
      const one = { url: request.url, body: JSON.parse(request.text) as Seen["body"] };
      seen.push(one);
      reply(one, request, response);
    });
    return { completer: new Completer(gateway, { restMs: 5, longestRestMs: 5, ...timing }), seen };
  }
  const says = (text: string) => JSON.stringify({ model: "real-1", choices: [{ text, finish_reason: "stop" }] });

  test("asks for what follows and shows it", async () => {
    const { completer, seen } = await before((_, __, response) => response.end(says("urn 1\nmore")));
    expect(await completer.complete(at("def f():\n    ret"), never)).toEqual({ text: "urn 1", replaces: 0, model: "real-1" });
    expect(seen).toMatchObject([{ url: "/v1/completions", body: { model: "coding", prompt: "def f():\n    ret", stop: ["\n"] } }]);
    expect(seen[0]?.body).not.toHaveProperty("suffix");
  });

  test("the same place again, and typing on, cost no request", async () => {
    const { completer, seen } = await before((_, __, response) => response.end(says("urn 1")));
    await completer.complete(at("ret"), never);
    expect(await completer.complete(at("ret"), never)).toEqual({ text: "urn 1", replaces: 0, model: undefined });
    expect(await completer.complete(at("retu"), never)).toEqual({ text: "rn 1", replaces: 0, model: undefined });
    expect(seen).toHaveLength(1);
  });

  test("a call that is cancelled while the keyboard is not at rest sends nothing", async () => {
    const { completer, seen } = await before((_, __, response) => response.end(says("x")), { restMs: 50, longestRestMs: 50 });
    const abort = new AbortController();
    const first = completer.complete(at("ret"), abort.signal);
    abort.abort();
    expect(await first).toBeUndefined();
    await completer.complete(at("retu"), never);
    expect(seen.map((one) => one.body.prompt)).toEqual(["retu"]);
  });

  test("a call that is cancelled after it was sent closes its connection", async () => {
    const abort = new AbortController();
    let gone: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      gone = resolve;
    });
    const { completer } = await before((_, request) => {
      request.socket.on("close", gone);
      abort.abort();
    });
    expect(await completer.complete(at("ret"), abort.signal)).toBeUndefined();
    await closed;
  });

  test("models that cannot fill gaps are asked to go on, those that cannot go on are asked in chat; both is learned", async () => {
    const { completer, seen } = await before(({ url, body }, _, response) => {
      if (url === "/v1/completions") response.writeHead(400).end(JSON.stringify({ error: { message: "cannot" } }));
      else response.end(chunk({ content: body.suffix ?? "answer" }, "stop"));
    });
    expect(await completer.complete(at("foo(", ")"), never)).toMatchObject({ text: "answer" });
    expect(seen.map(({ url, body }) => [url, "suffix" in body])).toEqual([["/v1/completions", true], ["/v1/completions", false], ["/v1/chat/completions", false]]);
    seen.length = 0;
    await completer.complete(at("goo(", ")"), never);
    expect(seen.map(({ url }) => url)).toEqual(["/v1/chat/completions"]);
  });

  test("after a failure nothing is asked for a while, and the failure stays known until an answer comes", async () => {
    let now = 1_000_000;
    let away = true;
    const { completer, seen } = await before((_, __, response) => (away ? response.writeHead(503).end() : response.end(says("x"))), { now: () => now, pauseMs: 1_000 });
    expect(await completer.complete(at("ret"), never)).toBeUndefined();
    expect(completer.failure?.message).toContain("HTTP 503");
    expect(await completer.complete(at("retu"), never)).toBeUndefined();
    expect(completer.failure?.message).toContain("HTTP 503");
    expect(seen).toHaveLength(1);
    now += 1_001;
    away = false;
    expect(await completer.complete(at("retur"), never)).toMatchObject({ text: "x" });
    expect(completer.failure).toBeUndefined();
  });
});
