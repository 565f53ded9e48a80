"""A small real gateway: the OpenAI-compatible API over HTTP, with answers that a test decides.

It checks the bearer, streams word by word with the delays and the faults it was told, and keeps what it was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "workspace-token"
MODEL = "Stand-in-1B (test model)"


@dataclass
class Answer:
    """What the next request gets. ``fault``: ``status:503``, ``away``, ``cut``, ``length``, ``empty``, ``too-long:<bytes>`` or nothing."""

    text: str = "It **checks** an address. The pattern is simple on purpose."
    fault: str = ""
    word_s: float = 0.03
    wait_s: float = 0.0
    """Silence before the first word, as of a model that is busy."""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Gateway:
    """The running stand-in: set ``answer``, read ``asked``; ``reply`` decides per request when it is set."""

    url: str = ""
    answer: Answer = field(default_factory=Answer)
    reply: Callable[[dict[str, Any]], Answer] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    completions: list[dict[str, Any]] = field(default_factory=list)
    completion: str = ""
    line: str = ""
    """A whole line: a completion is what of it is not typed yet, as a model goes on from what is there."""
    completion_s: float = 0.0
    """How long a completion takes, like an upstream that thinks that long."""
    has_completions: bool = True
    unauthorized: int = 0
    dropped: int = 0
    """Requests whose client went away before the answer was complete."""

    def reset(self) -> None:
        """Forgets what was asked and what was to be answered; the address stays."""
        for name, value in vars(Gateway(url=self.url)).items():
            setattr(self, name, value)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._complete)
        return app

    def last(self) -> str:
        """All text of the last question, as it left the workspace."""
        return json.dumps(self.asked[-1], ensure_ascii=False)

    def _check(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.unauthorized += 1
            raise web.HTTPUnauthorized(text=json.dumps({"error": {"message": "unknown token"}}))

    async def _models(self, request: web.Request) -> web.Response:
        self._check(request)
        kinds = {"auto": "task", "coding": "task", "llama-4": "model"}
        return web.json_response(
            {
                "object": "list",
                "data": [
                    {
                        "id": name,
                        "object": "model",
                        "neuralinverse": {"kind": kind, "served_by": MODEL, "upstream": "stand-in"},
                    }
                    for name, kind in kinds.items()
                ],
            }
        )

    async def _complete(self, request: web.Request) -> web.Response:
        self._check(request)
        if not self.has_completions:
            return web.json_response({"error": {"message": "no such path"}}, status=404)
        self.completions.append(await request.json())
        try:
            await asyncio.sleep(self.completion_s)
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        typed = self.completions[-1]["prompt"].rpartition("\n")[2].lstrip()
        text = self.line.removeprefix(typed) if self.line else self.completion
        return web.json_response({"model": MODEL, "choices": [{"index": 0, "text": text, "finish_reason": "stop"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        body = await request.json()
        self.asked.append(body)
        answer = self.reply(body) if self.reply else self.answer
        kind, _, detail = answer.fault.partition(":")
        if kind == "away":  # to the client it is the same as nobody listening: no byte comes back
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if kind == "status":
            message = f"No model is set up: the operator has to name one (HTTP {detail})."
            return web.json_response({"error": {"message": message, "code": None}}, status=int(detail))
        if kind == "too-long" and len(json.dumps(body)) > int(detail):
            error = {"message": "too many tokens", "code": "context_length_exceeded"}
            return web.json_response({"error": error}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-NeuralInverse-Task": "coding"})
        await response.prepare(request)
        try:
            await self._stream(response, request, answer)
        except ConnectionError:
            self.dropped += 1
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        return response

    async def _stream(self, response: web.StreamResponse, request: web.Request, answer: Answer) -> None:
        async def send(delta: dict[str, Any], finish: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            await response.write(f"data: {json.dumps({'model': MODEL, 'choices': [choice]})}\n\n".encode())

        await asyncio.sleep(answer.wait_s)
        words = [] if answer.fault == "empty" else [word + " " for word in answer.text.split(" ")]
        for index, word in enumerate(words):
            if answer.fault == "cut" and index == len(words) // 2:
                assert request.transport is not None
                request.transport.abort()
                return
            await send({"content": word})
            await asyncio.sleep(answer.word_s)
        for index, call in enumerate(answer.tool_calls):
            await send({"tool_calls": [{"index": index, **call}]})
        await send({}, "tool_calls" if answer.tool_calls else "length" if answer.fault == "length" else "stop")
        await response.write(b"data: [DONE]\n\n")


@contextlib.asynccontextmanager
async def serve() -> AsyncIterator[Gateway]:
    """A stand-in on a free port of the loopback interface, gone at the end."""
    gateway = Gateway()
    runner = web.AppRunner(gateway.app(), handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield gateway
    finally:
        await runner.cleanup()
