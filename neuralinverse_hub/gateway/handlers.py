"""The gateway's addresses: what each takes and gives. Everything they share is in `edge`, all deciding in pure modules."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final, Literal

from tornado import iostream, web

from neuralinverse_hub import wire
from neuralinverse_hub.gateway import metrics, sse
from neuralinverse_hub.gateway.answers import Answer
from neuralinverse_hub.gateway.asks import Ask, chat_ask, completion_ask, embedding_ask
from neuralinverse_hub.gateway.edge import ApiHandler, Parts
from neuralinverse_hub.gateway.errors import BadRequest, GatewayError, NotAllowed, NoUpstream, UnknownModel
from neuralinverse_hub.gateway.meter import Usage, usd
from neuralinverse_hub.gateway.relay import Journey
from neuralinverse_hub.gateway.responses import ResponseStream, chat_body, response_of
from neuralinverse_hub.gateway.router import AUTO, Route, Table, Way, route
from neuralinverse_hub.gateway.stream import as_events, compact
from neuralinverse_hub.gateway.tasks import TASKS, Classifier, Decision

__all__ = ["routes"]

log = logging.getLogger(__name__)

UNREAD_S: Final = 120
"""Seconds a streaming client may leave what was sent to it unread."""
NOTICE: Final = "X-NeuralInverse-Notice"
"""What the person should know about the answer: a retired model's successor, a fallback."""


def routes(prefix: str, parts: Parts) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The gateway's URLs below ``prefix`` (which ends in a slash)."""
    base = re.escape(prefix)
    given = {"parts": parts}
    return [
        (rf"{base}v1/chat/completions/?", AnswerHandler, {**given, "read": chat_ask}),
        (rf"{base}v1/completions/?", AnswerHandler, {**given, "read": completion_ask}),
        (rf"{base}v1/embeddings/?", AnswerHandler, {**given, "read": embedding_ask}),
        (rf"{base}v1/responses/?", ResponsesHandler, {**given, "read": chat_ask}),
        (rf"{base}v1/models/?", ModelsHandler, given),
        (rf"{base}v1/models/(.+)", ModelsHandler, given),
        (rf"{base}(healthz|readyz)", HealthHandler, given),
        (rf"{base}metrics", MetricsHandler, given),
        (r".*", UnknownHandler, given),
    ]


class AnswerHandler(ApiHandler):
    """``POST v1/chat/completions``, ``v1/completions`` and ``v1/embeddings``: a body in, a model's answer out."""

    def initialize(self, parts: Parts, read: Callable[[dict[str, Any]], Ask]) -> None:  # type: ignore[override]  # tornado passes the route's own arguments
        super().initialize(parts)
        self._read = read
        self._sent = 0

    async def post(self) -> None:
        self.refuse_while_draining()
        ask = self.read_ask()
        path = await self._route(ask)
        await self.while_connected(self._answer(ask, path))

    def read_ask(self) -> Ask:
        """The ask in the body."""
        return self._read(self.body_json())

    def whole(self, answer: Answer) -> bytes:
        """A whole answer as this address gives it."""
        return answer.body or compact(answer.whole)

    def event(self, piece: bytes) -> bytes:
        """Some events of a stream as this address gives them."""
        return piece

    async def _route(self, ask: Ask) -> Route:
        directory = self.parts.directory
        try:
            return find_route(directory.table, self.parts.classifier, ask)
        except NoUpstream:
            # A model that was started a second ago should be found now and not in a while.
            await directory.look()
            return find_route(directory.table, self.parts.classifier, ask)

    async def _answer(self, ask: Ask, path: Route) -> None:
        started = time.monotonic()
        journey = Journey()
        work = self.parts.relay.answer(ask, path, self.caller.person, self.trace(), journey)
        try:
            answer = await (self._with_heartbeats(work, journey) if ask.stream else work)
        except BaseException as error:
            self._record_nothing(path, journey, ask, time.monotonic() - started, error)
            raise
        first = time.monotonic() - started
        try:
            self._disclose(path, answer)
            await self._send(ask, answer)
        except iostream.StreamClosedError:
            pass
        except TimeoutError:
            log.info("%s: the client did not read for %d s", self.request_id, UNREAD_S)
            self.detach().close()
            raise web.Finish from None
        finally:
            answer.close()
            self._record(path, answer, first, time.monotonic() - started)
        if not self._finished:
            self.finish()

    async def _send(self, ask: Ask, answer: Answer) -> None:
        if not ask.stream:
            self.set_header("Content-Type", "application/json")
            self.write(self.whole(answer))
            return
        self._begin_events()
        if answer.whole is not None:
            self.write(self.event(as_events(answer.whole, wants_usage=ask.wants_usage)))
            return
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                self.write(self.event(piece))
                if not (sent := self.flush()).done():
                    # A client that stops reading must not keep its place for ever.
                    async with asyncio.timeout(UNREAD_S):
                        await sent

    async def _with_heartbeats(self, work: Coroutine[Any, Any, Answer], journey: Journey) -> Answer:
        """The answer that ``work`` gives; meanwhile the client gets comments that keep it waiting and say for what."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=self.parts.heartbeat_s))[0]:
                self._begin_events()
                self.write(waiting_comment(journey.place()))
                await self.flush()
        except BaseException:
            # The client left, perhaps in the moment the answer came: then nobody else will close it.
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, Answer):
                result.close()
            raise
        try:
            return task.result()
        except GatewayError as error:
            if not self._headers_written:
                raise
            # The status is sent: what is left is an event, which the official SDKs raise as an error too.
            self.parts.metrics.failed(error.code or error.type)
            self.write(self.event(sse.event(json.dumps(error.body()).encode())))
            self.finish()
            raise web.Finish from error

    def _begin_events(self) -> None:
        if not self._headers_written:
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
            self.set_header("X-Accel-Buffering", "no")
            # Tornado lets the kernel hold small writes back until the answer is over: every event would wait for an
            # acknowledgement, up to 40 ms.
            stream = getattr(self.request.connection, "stream", None)
            if stream is not None:
                stream.set_nodelay(True)

    def _disclose(self, path: Route, answer: Answer) -> None:
        shown = {
            wire.HEADER_TASK: path.task,
            wire.HEADER_REASON: path.reason,
            wire.HEADER_MODEL: answer.way.model.name,
            wire.HEADER_UPSTREAM: answer.way.deployment.name,
        }
        notes = list(path.notes)
        first = path.ways[0]
        if answer.way.model is not first.model:
            notes.append(f"{first.model.name} could not answer in time; {answer.way.model.name} did")
        if notes:
            shown[NOTICE] = "; ".join(notes)
            log.warning("%s: %s", self.request_id, shown[NOTICE])
        if self._headers_written:
            self.write(sse.comment(" ".join(f"{name}={value}" for name, value in shown.items())))
            return
        for name, value in shown.items():
            self.set_header(name, value)

    def _record(self, path: Route, answer: Answer, first: float, duration: float) -> None:
        assert answer.usage is not None
        status: Literal["complete", "partial"] = "complete" if answer.complete else "partial"
        self._hand_over(path, answer.way, answer.usage, status, first, duration, answer.retries)

    def _record_nothing(self, path: Route, journey: Journey, ask: Ask, duration: float, error: BaseException) -> None:
        """The record of a request that got no answer, if an upstream was asked at all.

        A client that left while the upstream was at work is billed for its prompt all the same; a failure is free.
        """
        if journey.way is None:
            return
        left = isinstance(error, asyncio.CancelledError)
        usage = Usage(ask.prompt_tokens if left else 0, 0, exact=False)
        self._hand_over(path, journey.way, usage, "partial" if left else "failed", None, duration, journey.retries)

    def _hand_over(
        self,
        path: Route,
        way: Way,
        usage: Usage,
        status: Literal["complete", "partial", "failed"],
        first: float | None,
        duration: float,
        retries: int,
    ) -> None:
        at = datetime.now(UTC)
        self.parts.record(
            wire.UsageRecord(
                request_id=self.request_id,
                at=at,
                person=self.caller.person,
                workspace=self.caller.workspace,
                task=path.task,
                model=way.model.name,
                upstream=way.deployment.upstream.name,
                deployment=way.deployment.deployment,
                input_tokens=usage.input,
                cached_tokens=usage.cached,
                output_tokens=usage.output,
                reasoning_tokens=usage.reasoning,
                usd=usd(way.deployment.prices_for(way.model), usage, at.date()),
                first_token_s=first,
                duration_s=duration,
                status=status,
                retries=retries,
            )
        )


class ResponsesHandler(AnswerHandler):
    """``POST v1/responses``: the same answers in the Responses API's clothes."""

    def read_ask(self) -> Ask:
        self._asked = self.body_json()
        body = chat_body(self._asked)
        if body.get("stream"):
            body["stream_options"] = {"include_usage": True}
        self._stream = ResponseStream(self._asked, self.request_id, int(time.time()))
        return self._read(body)

    def whole(self, answer: Answer) -> bytes:
        assert answer.whole is not None
        return compact(response_of(answer.whole, self._asked, self.request_id, int(time.time())))

    def event(self, piece: bytes) -> bytes:
        return self._stream.feed(piece)


class ModelsHandler(ApiHandler):
    """``GET v1/models`` and ``GET v1/models/<name>``."""

    async def get(self, name: str | None = None) -> None:
        if not self.parts.directory.table.deployments:
            await self.parts.directory.look()
        cards = {card["id"]: card for card in model_cards(self.parts.directory.table)}
        if name is None:
            self.answer_json({"object": "list", "data": list(cards.values())})
        elif name in cards:
            self.answer_json(cards[name])
        else:
            raise UnknownModel(f"no model or task {name[:100]!r}; known: {', '.join(cards)}", param="model")


class HealthHandler(web.RequestHandler):
    """``GET healthz``: the process runs. ``GET readyz``: new requests are welcome, and something could answer them."""

    def initialize(self, parts: Parts) -> None:
        self.parts = parts

    def get(self, which: str) -> None:
        if which == "healthz":
            self.finish({"status": "ok"})
            return
        table = self.parts.directory.table
        if self.parts.draining or not table.deployments:
            self.set_status(503)
            self.finish({"status": "draining" if self.parts.draining else "no upstream"})
            return
        self.finish({"status": "ready", "deployments": len(table.deployments)})


class MetricsHandler(ApiHandler):
    """``GET metrics`` for Prometheus, with the token of a hub service or an administrator."""

    async def get(self) -> None:
        if not self.caller.admin:
            raise NotAllowed("metrics are for operators: use the token of a hub service that has the gateway's scope")
        self.set_header("Content-Type", metrics.CONTENT_TYPE)
        self.finish(self.parts.metrics.text())


class UnknownHandler(ApiHandler):
    """Every address that is none."""

    identified = False

    async def prepare(self) -> None:
        error = BadRequest(f"there is no {self.request.method} {self.request.path[:200]}; the API is below …/v1/")
        error.status = 404
        raise error


def waiting_comment(place: tuple[int, float] | None) -> bytes:
    """What a waiting client is told: how many are before it and about how long that takes."""
    if place is None:
        return sse.comment("asked, waiting for the first word")
    before, wait_s = place
    words = "you are next" if before == 0 else f"{before} before you"
    return sse.comment(f"busy, {words} position={before + 1} wait_s={max(1, round(wait_s))}")


def find_route(table: Table, classifier: Classifier, ask: Ask) -> Route:
    """The route of an ask, today."""
    return route(
        table,
        model=ask.model,
        decide=lambda: classifier.decide(ask.question, ask.context),
        needs=ask.needs,
        prompt_tokens=ask.prompt_tokens,
        answer_tokens=ask.answer_tokens,
        today=datetime.now(UTC).date(),
    )


def model_cards(table: Table) -> list[dict[str, Any]]:
    """The entries of ``GET v1/models``: tasks, then logical models, each with who answers today."""
    today = datetime.now(UTC).date()

    def card(name: str, kind: Literal["task", "model"], description: str) -> dict[str, Any]:
        served_by = upstream = window = None
        try:
            path = route(
                table,
                model="general" if name == AUTO else name,
                decide=lambda: Decision("general", ""),
                needs=frozenset({"chat"}),
                prompt_tokens=1,
                answer_tokens=1,
                today=today,
            )
        except GatewayError:
            pass
        else:
            way = path.ways[0]
            served_by = way.deployment.label or way.model.title
            upstream = way.deployment.name
            window = way.deployment.window_for(way.model)
        shown: wire.ModelCard = {
            "kind": kind,
            "served_by": served_by,
            "upstream": upstream,
            "description": description,
        }
        if window is not None:
            shown["window"] = window
        return {"id": name, "object": "model", "created": 0, "owned_by": "neuralinverse-hub", "neuralinverse": shown}

    words = {
        AUTO: "chooses the task by itself",
        "reasoning": "for problems that need thinking",
        "coding": "for writing and changing code",
        "general": "for everything else",
    }
    return [
        *(card(name, "task", words[name]) for name in (AUTO, *TASKS)),
        *(card(model.name, "model", model.title) for model in table.models.values()),
    ]
