"""The upstream of the benchmarks: as little work per request as Python allows, so that what is measured is in front.

Usage: ``python upstream.py`` prints its port. POST anything ending in ``/completions``; with ``"stream":true`` it sends
``?events=N`` events, ``rate`` per second. It also is the hub that knows every token.
"""

from __future__ import annotations

import asyncio
import json
import re

CHUNK = {
    "id": "chatcmpl-bench",
    "object": "chat.completion.chunk",
    "created": 1790000000,
    "model": "bench-model",
    "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}],
}
FIRST = {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
LAST = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42}
WHOLE = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "bench-model",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "word " * 30},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": USAGE,
}
USER = {"kind": "user", "name": "ada", "scopes": ["access:services!service=ai-gateway", "access:servers!server=ada/"]}


def answer(value: object) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def event(value: object) -> bytes:
    data = b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


WHOLE_ANSWER, USER_ANSWER = answer(WHOLE), answer(USER)
MODELS_ANSWER = answer({"object": "list", "data": [{"id": "bench-model", "object": "model"}]})
FIRST_EVENT, EVENT, LAST_EVENT = event(FIRST), event(CHUNK), event(LAST)
USAGE_EVENT = event({**CHUNK, "choices": [], "usage": USAGE})
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
SAID = re.compile(rb"events=(\d+) rate=(\d+)")


class Upstream(asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = b""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end]
            found = LENGTH.search(head)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < size:
                return
            body, self.buffer = self.buffer[end + 4 : size], self.buffer[size:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            self.transport.write(USER_ANSWER if b"/user" in head.split(b"\r\n", 1)[0] else MODELS_ANSWER)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.task = asyncio.create_task(self.stream(body))
        else:
            self.transport.write(WHOLE_ANSWER)

    async def stream(self, body: bytes) -> None:
        said = SAID.search(body)
        events, rate = (int(said[1]), int(said[2])) if said else (30, 10_000)
        loop = asyncio.get_running_loop()
        self.transport.write(HEAD)
        self.transport.write(FIRST_EVENT)
        start = loop.time()
        for number in range(events):
            due = start + number / rate
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            self.transport.write(EVENT)
        self.transport.write(LAST_EVENT)
        if b"include_usage" in body:
            self.transport.write(USAGE_EVENT)
        self.transport.write(DONE)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
