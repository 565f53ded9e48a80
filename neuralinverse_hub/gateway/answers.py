"""An answer that has begun: what goes to the client, and what it used in the end, however it ends."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from neuralinverse_hub.gateway import sse
from neuralinverse_hub.gateway.errors import GatewayError
from neuralinverse_hub.gateway.gate import Turn
from neuralinverse_hub.gateway.meter import Usage
from neuralinverse_hub.gateway.router import Way
from neuralinverse_hub.gateway.stream import AnswerStream, StreamError
from neuralinverse_hub.gateway.turns import cost
from neuralinverse_hub.gateway.upstreams import Failed, Reply

__all__ = ["Answer"]


@dataclass(slots=True)
class Answer:
    """An answer that has begun. Iterate over `pieces` to the end; `close` it in any case."""

    way: Way
    turn: Turn
    retries: int = 0
    whole: dict[str, Any] | None = None
    """The whole answer when the upstream did not stream it."""
    body: bytes | None = field(default=None, repr=False)
    """The whole answer as the upstream wrote it, when nothing in it had to be changed."""
    usage: Usage | None = None
    """Exact when the upstream said it, else an estimate; set when the answer is closed."""
    complete: bool = False
    stream: AnswerStream | None = None
    reply: Reply | None = None
    source: AsyncGenerator[bytes, None] | None = None
    first: bytes = field(default=b"", repr=False)
    prompt_tokens: int = 0
    _closed: bool = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """What goes to the client, event by event. A break becomes an error event, then the stream ends."""
        assert self.stream is not None and self.source is not None
        yield self.first
        try:
            async with aclosing(self.source) as source:
                async for piece in source:
                    if out := self.stream.feed(piece):
                        yield out
            if last := self.stream.end():
                yield last
            self.complete = True
        except StreamError as error:
            self._broke(str(error))
            yield sse.event(json.dumps({"error": broken_off(str(error), error.error)}).encode())
        except Failed as error:
            self._broke(error.failure.cause)
            yield sse.event(json.dumps({"error": broken_off(f"the model's server {error.failure.cause}")}).encode())

    def close(self) -> None:
        """End the upstream's request if it still runs, give the turn back, and settle what was used."""
        if self._closed:
            return
        self._closed = True
        if self.stream is not None:
            estimate = Usage(self.prompt_tokens, self.stream.estimated_output(), exact=False)
            self.usage = self.stream.usage or estimate
        if self.reply is not None and not self.complete:
            self.reply.close()
        used = self.usage or Usage(self.prompt_tokens, 0, exact=False)
        self.turn.settle(cost(used.input, used.output))

    def _broke(self, cause: str) -> None:
        self.turn.broke(cause)


def broken_off(sentence: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """The OpenAI-shaped error of an answer that broke off after it had begun."""
    shown = GatewayError(f"{sentence}; what came before is all there is. Ask again", code="stream_broken")
    body: dict[str, Any] = shown.body()["error"]
    if error and isinstance(error.get("message"), str):
        body["message"] = f"{sentence}: {error['message'][:2000]}"
        body["code"] = error.get("code") if isinstance(error.get("code"), str) else "stream_broken"
    return body
