/**
 * Server-sent events out of a byte stream, whatever way the network cut it.
 *
 * Knows the framing only (`data:` lines, an empty line ends an event, CR, LF or CRLF); what the data means is
 * the caller's business. A chunk may end anywhere, also within a UTF-8 character or between CR and LF.
 */
export class SseParser {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #data: string[] = [];
  #afterCr = false;

  /** The data of every event that `bytes` completed, in order. */
  push(bytes: Uint8Array): string[] {
    return this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  /** What is left when the stream ends: servers that forget the last empty line still get their event through. */
  end(): string[] {
    const events = this.#take(this.#decoder.decode());
    if (this.#rest) {
      this.#line(this.#rest);
      this.#rest = "";
    }
    if (this.#data.length > 0) events.push(this.#flush());
    return events;
  }

  #take(text: string): string[] {
    const events: string[] = [];
    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (c === "\n" && this.#afterCr) {
        this.#afterCr = false;
        start = i + 1;
        continue;
      }
      this.#afterCr = c === "\r";
      if (c !== "\n" && c !== "\r") continue;
      const line = this.#rest + text.slice(start, i);
      this.#rest = "";
      start = i + 1;
      if (line === "") {
        if (this.#data.length > 0) events.push(this.#flush());
      } else {
        this.#line(line);
      }
    }
    this.#rest += text.slice(start);
    return events;
  }

  #line(line: string): void {
    if (!line.startsWith("data:")) return; // comments (keep-alives), event names, ids: nothing we need
    this.#data.push(line.startsWith("data: ") ? line.slice(6) : line.slice(5));
  }

  #flush(): string {
    const data = this.#data.join("\n");
    this.#data = [];
    return data;
  }
}
