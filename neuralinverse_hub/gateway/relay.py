"""The way of one request through its route: ask the ways in order until one begins to answer.

The one retry loop of the gateway. Guarantees, each with a test:
- nothing is tried again once the first byte of an answer went to the client;
- whoever leaves takes the upstream's request with them;
- a request fails only when every way is broken, and then the error names each cause.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from neuralinverse_hub.gateway import sse
from neuralinverse_hub.gateway.asks import Ask
from neuralinverse_hub.gateway.errors import GatewayError, UpstreamRefused, UpstreamsFailed
from neuralinverse_hub.gateway.failures import Failure
from neuralinverse_hub.gateway.meter import Usage, estimate_tokens
from neuralinverse_hub.gateway.router import Route, Way
from neuralinverse_hub.gateway.stream import AnswerStream, StreamError, normalise_answer
from neuralinverse_hub.gateway.upstreams import Failed, Reply, UpstreamClient

__all__ = ["Answer", "Relay"]


@dataclass(slots=True)
class Answer:
    """An answer that has begun. Iterate over `pieces` to the end, or `close` it."""

    way: Way
    retries: int
    whole: dict[str, Any] | None = None
    """The whole answer when it was not asked as a stream."""
    usage: Usage | None = None
    """Exact when the upstream said it, else an estimate; complete when the answer is."""
    complete: bool = False
    _stream: AnswerStream | None = None
    _reply: Reply | None = None
    _source: AsyncIterator[bytes] | None = None
    _first: bytes = field(default=b"", repr=False)
    _prompt_tokens: int = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """What goes to the client, event by event. A break becomes an error event, then the stream ends."""
        assert self._stream is not None and self._source is not None
        yield self._first
        try:
            async for piece in self._source:
                if out := self._stream.feed(piece):
                    yield out
            if last := self._stream.end():
                yield last
            self.complete = True
        except StreamError as error:
            yield sse.event(json.dumps({"error": broken_off(str(error), error.error)}).encode())
        except Failed as error:
            yield sse.event(json.dumps({"error": broken_off(f"the model's server {error.failure.cause}")}).encode())
        finally:
            self.close()

    def close(self) -> None:
        """End the upstream's request if it still runs, and settle what was used."""
        if self._stream is not None:
            output = self._stream.estimated_output()
            self.usage = self._stream.usage or Usage(self._prompt_tokens, output, exact=False)
        if self._reply is not None and not self.complete:
            self._reply.close()


class Relay:
    """Sends asks along their routes."""

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    async def answer(self, ask: Ask, route: Route, headers: dict[str, str]) -> Answer:
        """The first answer that begins along ``route``. Raises `UpstreamRefused` or `UpstreamsFailed`."""
        causes: list[str] = []
        refusal: UpstreamRefused | None = None
        for retries, way in enumerate(route.ways):
            try:
                return await self._try(ask, way, retries, headers)
            except Failed as error:
                failure = error.failure
            except StreamError as error:
                failure = Failure("broken", str(error))
            if failure.kind == "refused" and failure.refusal is not None:
                raise failure.refusal
            refusal = refusal or failure.refusal
            causes.append(f"{way.deployment.name} {failure.cause}")
        if refusal is not None:
            raise refusal
        raise UpstreamsFailed(f"no model could answer: {'; '.join(dict.fromkeys(causes))}. Try again in a moment")

    async def _try(self, ask: Ask, way: Way, retries: int, headers: dict[str, str]) -> Answer:
        row = way.deployment
        reply = await self._client.post(row, ask.api, ask.upstream_body(row.deployment), headers)
        try:
            if ask.stream and reply.streams:
                return await self._begin(ask, way, retries, reply)
            whole = await reply.json()
        except BaseException:
            reply.close()
            raise
        if not isinstance(whole, dict) or not isinstance(whole.get("choices"), list):
            raise Failed(Failure("broken", "answered with something that is no completion"))
        usage = normalise_answer(whole, label=row.label)
        answer = Answer(way, retries, whole=whole, complete=True)
        answer.usage = usage or Usage(ask.prompt_tokens, estimate_tokens(json.dumps(whole["choices"])), exact=False)
        return answer

    async def _begin(self, ask: Ask, way: Way, retries: int, reply: Reply) -> Answer:
        stream = AnswerStream(
            label=way.deployment.label,
            wants_usage=ask.wants_usage,
            choices=ask.choices,
            thinks=ask.api == "chat/completions",
        )
        source = reply.pieces()
        async for piece in source:
            if first := stream.feed(piece):
                return Answer(way, retries, None, None, False, stream, reply, source, first, ask.prompt_tokens)
        first = stream.end()
        if not stream.events:
            raise StreamError("answered with an empty stream")
        return Answer(way, retries, None, None, False, stream, reply, _nothing(), first, ask.prompt_tokens)


async def _nothing() -> AsyncIterator[bytes]:
    no_pieces: tuple[bytes, ...] = ()
    for piece in no_pieces:
        yield piece


def broken_off(sentence: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """The OpenAI-shaped error of an answer that broke off after it had begun."""
    shown = GatewayError(f"{sentence}; what came before is all there is. Ask again")
    body: dict[str, Any] = shown.body()["error"]
    body["code"] = "stream_broken"
    if error and isinstance(error.get("message"), str):
        body["message"] = f"{sentence}: {error['message'][:2000]}"
        body["code"] = error.get("code") if isinstance(error.get("code"), str) else "stream_broken"
    return body
