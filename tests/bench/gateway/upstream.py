"""The upstream of the benchmarks: as little work per request as Python allows, so that what is measured is in front.

Usage: ``python upstream.py`` prints its port. POST anything ending in ``/completions``; with ``"stream":true`` it sends
as many events, as fast, as the prompt says (``events=N rate=R``). It also is the hub that knows every token: the person is
the token without ``-token``. With ``--capacity`` it answers 429 beyond so many requests at once and takes ``--service-s``
seconds for each; ``GET /busy`` then says how it was used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
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
USER = {"kind": "user", "name": "ada", "scopes": ["access:services!service=ai-gateway", "admin-ui"]}


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
BUSY_BODY = b'{"error":{"code":"429","message":"Requests have exceeded the rate limit."}}'
REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nretry-after-ms: 50\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BUSY_BODY), BUSY_BODY)
)
TOKEN = re.compile(rb"authorization:\s*\w+\s+([\w-]+)-token", re.IGNORECASE)
LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
SAID = re.compile(rb"events=(\d+) rate=(\d+)")


class Capacity:
    """How many requests are worked on at once, and for how long each."""

    def __init__(self, most: int, service_s: float) -> None:
        self.most = most
        self.service_s = service_s
        self.active = self.refused = self.served = 0
        self.busy_s = self.changed = 0.0

    def change(self, by: int) -> None:
        now = asyncio.get_running_loop().time()
        self.busy_s += self.active * (now - self.changed)
        self.changed = now
        self.active += by

    def report(self) -> dict[str, float]:
        self.change(0)
        return {"busy_s": self.busy_s, "now": self.changed, "refused": self.refused, "served": self.served}


class Upstream(asyncio.Protocol):
    def __init__(self, capacity: Capacity | None = None) -> None:
        self.capacity = capacity
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
            self.transport.write(self.look_up(head))
        elif self.capacity is not None:
            self.task = asyncio.create_task(self.work(self.capacity))
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.task = asyncio.create_task(self.stream(body))
        else:
            self.transport.write(WHOLE_ANSWER)

    def look_up(self, head: bytes) -> bytes:
        line = head.split(b"\r\n", 1)[0]
        if b"/user" in line:
            token = TOKEN.search(head)
            return answer({**USER, "name": token[1].decode()}) if token else USER_ANSWER
        if b"/busy" in line and self.capacity is not None:
            return answer(self.capacity.report())
        return MODELS_ANSWER

    async def work(self, capacity: Capacity) -> None:
        if capacity.active >= capacity.most:
            capacity.refused += 1
            self.transport.write(REFUSAL)
            return
        capacity.change(+1)
        try:
            await asyncio.sleep(capacity.service_s * random.uniform(0.5, 1.5))
        finally:
            capacity.change(-1)
        capacity.served += 1
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--capacity", type=int, default=0)
    parser.add_argument("--service-s", type=float, default=0.2)
    asked = parser.parse_args()
    capacity = Capacity(asked.capacity, asked.service_s) if asked.capacity else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(capacity), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
