"""An answer that has begun: what goes to the client, and what it used in the end, however it ends."""

from __future__ import annotations

import json
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
    """An answer that has begun. Ask for its `next` piece to the end; `close` it in any case."""

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
    first: bytes = field(default=b"", repr=False)
    prompt_tokens: int = 0
    _ended: bool = False
    _closed: bool = False

    async def next(self) -> bytes:
        """The next events for the client, empty at the end. A break becomes an error event, and then the stream ends."""
        if self.first:
            first, self.first = self.first, b""
            return first
        if self._ended:
            return b""
        assert self.stream is not None and self.reply is not None
        try:
            while piece := await self.reply.next():
                if out := self.stream.feed(piece):
                    return out
            self._ended = True
            last = self.stream.end()
            self.complete = True
            return last
        except StreamError as error:
            return self._broke(str(error), broken_off(str(error), error.error))
        except Failed as error:
            cause = error.failure.cause
            return self._broke(cause, broken_off(f"the model's server {cause}"))

    def close(self) -> None:
        """End the upstream's request if it still runs, give the turn back, and settle what was used."""
        if self._closed:
            return
        self._closed = True
        if self.stream is not None:
            estimate = Usage(self.prompt_tokens, self.stream.estimated_output(), exact=False)
            self.usage = self.stream.usage or estimate
        if self.reply is not None:
            self.reply.close()
        used = self.usage or Usage(self.prompt_tokens, 0, exact=False)
        self.turn.settle(cost(used.input, used.output))

    def _broke(self, cause: str, error: dict[str, Any]) -> bytes:
        self._ended = True
        self.turn.broke(cause)
        return sse.event(json.dumps({"error": error}).encode())


def broken_off(sentence: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """The OpenAI-shaped error of an answer that broke off after it had begun."""
    shown = GatewayError(f"{sentence}; what came before is all there is. Ask again", code="stream_broken")
    body: dict[str, Any] = shown.body()["error"]
    if error and isinstance(error.get("message"), str):
        body["message"] = f"{sentence}: {error['message'][:2000]}"
        body["code"] = error.get("code") if isinstance(error.get("code"), str) else "stream_broken"
    return body
