"""The gateway's addresses: what each takes and gives. What they share is in `edge` and
`exchange`, all deciding in pure modules."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from tornado import web

from neuralinverse_hub import wire
from neuralinverse_hub.gateway import codec, metrics, sse
from neuralinverse_hub.gateway.answers import Answer
from neuralinverse_hub.gateway.asks import Ask, chat_ask, completion_ask, embedding_ask
from neuralinverse_hub.gateway.connection import Connection
from neuralinverse_hub.gateway.edge import ApiHandler, Parts
from neuralinverse_hub.gateway.errors import BadRequest, GatewayError, NotAllowed, NoUpstream, UnknownModel
from neuralinverse_hub.gateway.exchange import Exchange
from neuralinverse_hub.gateway.meter import Usage, usd
from neuralinverse_hub.gateway.relay import Journey
from neuralinverse_hub.gateway.responses import ResponseStream, chat_body, response_of
from neuralinverse_hub.gateway.router import AUTO, Route, Table, Way, route
from neuralinverse_hub.gateway.stream import as_events
from neuralinverse_hub.gateway.tasks import TASKS, Classifier, Decision
from neuralinverse_hub.gateway.tracing import Trace, Tracing, passed_on

__all__ = ["exchanges", "routes"]

log = logging.getLogger(__name__)

NOTICE: Final = "X-NeuralInverse-Notice"
"""What the person should know about the answer: a retired model's successor, a fallback."""
_CLIENT_LENGTH: Final = 64


def exchanges(prefix: str, parts: Parts) -> dict[str, Callable[[Connection], Awaitable[None]]]:
    """Who answers below ``prefix`` (which ends in a slash), by path."""
    base = f"{prefix}v1/"
    return {
        f"{base}chat/completions": lambda connection: AnswerExchange(parts, chat_ask, connection).run(),
        f"{base}completions": lambda connection: AnswerExchange(parts, completion_ask, connection).run(),
        f"{base}embeddings": lambda connection: AnswerExchange(parts, embedding_ask, connection).run(),
        f"{base}responses": lambda connection: ResponsesExchange(parts, chat_ask, connection).run(),
    }


def routes(prefix: str, parts: Parts) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The gateway's other URLs below ``prefix``."""
    base = re.escape(prefix)
    given = {"parts": parts}
    return [
        (rf"{base}v1/models/?", ModelsHandler, given),
        (rf"{base}v1/models/(.+)", ModelsHandler, given),
        (rf"{base}(healthz|readyz)", HealthHandler, given),
        (rf"{base}metrics", MetricsHandler, given),
        (r".*", UnknownHandler, given),
    ]


def client_of(headers: Mapping[str, str]) -> str:
    """The program that asks, as it names itself; 64 characters at most, of those that can be shown."""
    named = headers.get("User-Agent", "")
    return (named if named.isprintable() else "".join(filter(str.isprintable, named)))[:_CLIENT_LENGTH]


class AnswerExchange(Exchange):
    """``POST v1/chat/completions``, ``v1/completions`` and ``v1/embeddings``: a body in, a model's answer out."""

    def __init__(self, parts: Parts, read: Callable[[dict[str, Any]], Ask], connection: Connection) -> None:
        super().__init__(parts, connection)
        self._read = read
        self._trace: Trace | None = None
        self._beat: asyncio.TimerHandle | None = None

    async def respond(self) -> None:
        ask = self.read_ask()
        directory = self.parts.directory
        try:
            path = find_route(directory.table, self.parts.classifier, ask, self.caller.person)
        except NoUpstream:
            # A model that was started a second ago should be found now and not in a while.
            await directory.look()
            path = find_route(directory.table, self.parts.classifier, ask, self.caller.person)
        if self.parts.tracing is None:
            await self._relay(ask, path, passed_on(self.headers))
        else:
            await self._relay_traced(self.parts.tracing, ask, path)

    def read_ask(self) -> Ask:
        """The ask in the body."""
        return self._read(self.body_json())

    def whole(self, answer: Answer) -> bytes:
        """A whole answer as this address gives it."""
        return answer.body or codec.compact(answer.whole)

    def event(self, piece: bytes) -> bytes:
        """Some events of a stream as this address gives them."""
        return piece

    async def _relay_traced(self, tracing: Tracing, ask: Ask, path: Route) -> None:
        self._trace = trace = tracing.begin(self.headers, ask.api, ask.model)
        try:
            await self._relay(ask, path, trace.headers())
        except BaseException as error:
            trace.end(error)
            raise
        trace.end()

    async def _relay(self, ask: Ask, path: Route, headers: dict[str, str]) -> None:
        started = time.monotonic()
        journey = Journey()
        if ask.stream:
            self._beat_later(journey)
        try:
            answer = await self.parts.relay.answer(ask, path, self.caller.person, headers, journey)
        except BaseException as error:
            self._record_nothing(path, journey, ask, time.monotonic() - started, error)
            self._record_slower(path, journey, ask, time.monotonic() - started)
            raise
        finally:
            if self._beat is not None:
                self._beat.cancel()
        first = time.monotonic() - started
        self._record_slower(path, journey, ask, first)
        try:
            self._disclose(path, answer)
            if ask.stream:
                await self._send_events(ask, answer)
                self.end()
            else:
                self.answer(self.whole(answer))
            await self.connection.taken()
        except TimeoutError:
            log.info("%s: the client has stopped to read", self.request_id)
            self.hang_up()
        finally:
            answer.close()
            self._record(path, answer, first, time.monotonic() - started)

    async def _send_events(self, ask: Ask, answer: Answer) -> None:
        self.begin_events()
        if answer.whole is not None:
            await self.send(self.event(as_events(answer.whole, wants_usage=ask.wants_usage)))
            return
        while piece := await answer.next():
            await self.send(self.event(piece))

    def _beat_later(self, journey: Journey) -> None:
        self._beat = asyncio.get_running_loop().call_later(self.parts.heartbeat_s, self._heartbeat, journey)

    def _heartbeat(self, journey: Journey) -> None:
        """Tell a client that waits what for, in a comment that keeps the connection alive."""
        self.begin_events()
        if not self.connection.writing():
            self.connection.write(waiting_comment(journey.place()))
        self._beat_later(journey)

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
        elif answer.way.distance > first.distance:
            notes.append(f"{first.model.name} could not answer here in time; region {answer.way.deployment.region} did")
        if notes:
            shown[NOTICE] = "; ".join(notes)
            log.warning("%s: %s", self.request_id, shown[NOTICE])
        if self.begun:
            self.connection.write(sse.comment(" ".join(f"{name}={value}" for name, value in shown.items())))
        else:
            self.shown.update(shown)

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

    def _record_slower(self, path: Route, journey: Journey, ask: Ask, duration: float) -> None:
        """The record of a deployment that was asked beside the one that answered: its prompt is billed like an answered one."""
        if journey.lost is not None:
            usage = Usage(ask.prompt_tokens, 0, exact=False)
            self._hand_over(path, journey.lost, usage, "partial", None, duration, 0, suffix="-slower")

    def _hand_over(
        self,
        path: Route,
        way: Way,
        usage: Usage,
        status: Literal["complete", "partial", "failed"],
        first: float | None,
        duration: float,
        retries: int,
        suffix: str = "",
    ) -> None:
        at = datetime.now(UTC)
        record = wire.UsageRecord(
            request_id=self.request_id + suffix,
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
            client=client_of(self.headers),
        )
        self.parts.record(record)
        if self._trace is not None and not suffix:
            self._trace.used(record)


class ResponsesExchange(AnswerExchange):
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
        return codec.compact(response_of(answer.whole, self._asked, self.request_id, int(time.time())))

    def event(self, piece: bytes) -> bytes:
        return self._stream.feed(piece)


class ModelsHandler(ApiHandler):
    """``GET v1/models`` and ``GET v1/models/<name>``."""

    async def get(self, name: str | None = None) -> None:
        if not self.parts.directory.table.deployments:
            await self.parts.directory.look()
        cards = {card["id"]: card for card in model_cards(self.parts.directory.table, self.caller.person)}
        if name is None:
            self.answer_json({"object": "list", "data": list(cards.values())})
        elif name in cards:
            self.answer_json(cards[name])
        else:
            raise UnknownModel(f"no model or task {name[:100]!r}; known: {', '.join(cards)}", param="model")


class HealthHandler(ApiHandler):
    """``GET healthz``: the process runs. ``GET readyz``: new requests are welcome, and something could answer them.

    ``readyz?without=upstream`` asks for the first of the two only: a cluster sends requests to ready pods, and where no model
    is set up yet the gateway's own words are better than nobody's.
    """

    identified = False

    def get(self, which: str) -> None:
        if which == "healthz":
            self.finish({"status": "ok"})
            return
        table = self.parts.directory.table
        alone = self.get_query_argument("without", "") == "upstream"
        if self.parts.draining or not (table.deployments or alone):
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


def find_route(table: Table, classifier: Classifier, ask: Ask, person: str) -> Route:
    """The route of an ask of a person's, today."""
    return route(
        table,
        model=ask.model,
        decide=lambda: classifier.decide(ask.question, ask.context),
        needs=ask.needs,
        prompt_tokens=ask.prompt_tokens,
        answer_tokens=ask.answer_tokens,
        today=datetime.now(UTC).date(),
        person=person,
    )


def model_cards(table: Table, person: str) -> list[dict[str, Any]]:
    """The entries of ``GET v1/models`` for a person: tasks, then logical models, each with who answers today."""
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
                person=person,
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
