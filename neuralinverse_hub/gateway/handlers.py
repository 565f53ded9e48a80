"""HTTP in, status out. Each handler names what it needs, checks the caller, and leaves all deciding to pure modules."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal, TypeVar

from tornado import iostream, web

from neuralinverse_hub import wire
from neuralinverse_hub.gateway import sse
from neuralinverse_hub.gateway.asks import Ask, chat_ask, parse_json
from neuralinverse_hub.gateway.auth import Caller, HubIdentity, bearer
from neuralinverse_hub.gateway.directory import Directory
from neuralinverse_hub.gateway.errors import BadRequest, GatewayError, NoUpstream, ShuttingDown, TooLarge
from neuralinverse_hub.gateway.meter import usd
from neuralinverse_hub.gateway.relay import Answer, Relay
from neuralinverse_hub.gateway.router import AUTO, Route, Table, route
from neuralinverse_hub.gateway.stream import as_events
from neuralinverse_hub.gateway.tasks import TASKS, classify

__all__ = ["Parts", "routes"]

BODY_LIMIT: Final = 32 * 1024 * 1024
"""Bytes a request's body may have: room for a few images."""

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Parts:
    """What the handlers work with, put together by the app."""

    identity: HubIdentity
    directory: Directory
    relay: Relay
    record: Callable[[wire.UsageRecord], None]
    heartbeat_s: float = 3.0
    draining: bool = False
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)


def routes(prefix: str, parts: Parts) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The gateway's URLs below ``prefix`` (which ends in a slash)."""
    base = re.escape(prefix)
    given = {"parts": parts}
    return [
        (rf"{base}v1/chat/completions/?", ChatHandler, given),
        (rf"{base}v1/models/?", ModelsHandler, given),
        (rf"{base}v1/models/(.+)", ModelsHandler, given),
        (rf"{base}(?:healthz)", HealthHandler, given),
        (r".*", UnknownHandler, given),
    ]


@web.stream_request_body
class ApiHandler(web.RequestHandler):
    """Identity before the body is read, OpenAI-shaped errors, and an end for what the client left behind."""

    identified: ClassVar[bool] = True
    parts: Parts

    def initialize(self, parts: Parts) -> None:
        self.parts = parts
        self.caller = Caller("", "")
        self.request_id = uuid.uuid4().hex
        self._body = bytearray()
        self._too_large = False
        self._work: asyncio.Task[Any] | None = None
        self._left = False

    async def prepare(self) -> None:
        # The error of an unknown address must not depend on who asks, nor tell anything to nobody.
        if not self.identified:
            return
        self.caller = await self.parts.identity.caller(bearer(self.request.headers.get("Authorization")))

    def data_received(self, chunk: bytes) -> None:
        # A body that is too large is read to its end and thrown away, so that the client gets to read the answer.
        if len(self._body) + len(chunk) > BODY_LIMIT:
            self._too_large = True
            self._body.clear()
        if not self._too_large:
            self._body += chunk

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def body_json(self) -> dict[str, Any]:
        """The request's JSON object."""
        if self._too_large:
            raise TooLarge(f"the request has more than {BODY_LIMIT // 2**20} MB; send less text or smaller images")
        return parse_json(bytes(self._body))

    def answer_json(self, value: Any, status: int = 200) -> None:
        """Finish with ``value`` as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which is cancelled when the client leaves."""
        self._work = task = asyncio.create_task(work)
        self.parts.tasks.add(task)
        task.add_done_callback(self.parts.tasks.discard)
        try:
            return await task
        except asyncio.CancelledError:
            if self._left:
                raise web.Finish from None
            raise

    def on_connection_close(self) -> None:
        self._left = True
        if self._work is not None:
            self._work.cancel()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, GatewayError):
            self.set_status(error.status)
            if not error.retry:
                # The official SDKs retry 5xx by themselves unless they are told that it cannot help.
                self.set_header("x-should-retry", "false")
            self.answer_json(error.body(), error.status)
            return
        reason = self._reason if isinstance(error, web.HTTPError) else "the gateway failed; its log says more"
        shown = GatewayError(f"{status_code}: {reason} (request {self.request_id})")
        if status_code < 500:
            shown.type = "invalid_request_error"
        self.answer_json(shown.body(), status_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, GatewayError):
            log.info("%s %s %s: %s", self.request_id, self.caller.person, value.status, value.code or value.type)
        else:
            super().log_exception(typ, value, tb)


class ChatHandler(ApiHandler):
    """``POST v1/chat/completions``."""

    async def post(self) -> None:
        if self.parts.draining:
            self.set_header("Connection", "close")
            raise ShuttingDown("this gateway is shutting down; ask again, another one answers")
        ask = chat_ask(self.body_json())
        path = await self._route(ask)
        await self.while_connected(self._answer(ask, path))

    async def _route(self, ask: Ask) -> Route:
        try:
            return find_route(self.parts.directory.table, ask)
        except NoUpstream:
            # A model that was started a second ago should be found now and not in a while.
            await self.parts.directory.look()
            return find_route(self.parts.directory.table, ask)

    async def _answer(self, ask: Ask, path: Route) -> None:
        started = time.monotonic()
        for note in path.notes:
            log.warning("%s: %s", self.request_id, note)
        answer = await self._heartbeat_until(self.parts.relay.answer(ask, path, self._trace()), ask)
        first = time.monotonic() - started
        status: Literal["complete", "partial"] = "partial"
        try:
            if not self._headers_written:
                self._disclose(path, answer)
            else:
                self.write(sse.comment(f"answered by {answer.way.deployment.name}"))
            await self._send(ask, answer)
            status = "complete" if answer.complete else "partial"
        except iostream.StreamClosedError:
            pass
        finally:
            answer.close()
            self._record(path, answer, status, first, time.monotonic() - started)
        if not self._finished:
            self.finish()

    async def _send(self, ask: Ask, answer: Answer) -> None:
        if not ask.stream:
            assert answer.whole is not None
            self.set_header("Content-Type", "application/json")
            self.write(json.dumps(answer.whole, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            return
        self._begin_events()
        if answer.whole is not None:
            self.write(as_events(answer.whole, wants_usage=ask.wants_usage))
            return
        async for piece in answer.pieces():
            self.write(piece)
            await self.flush()

    async def _heartbeat_until(self, work: Awaitable[T], ask: Ask) -> T:
        """The result of ``work``; a client that waits for a stream meanwhile gets comments that keep it waiting."""
        if not ask.stream:
            return await work
        task = asyncio.ensure_future(work)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=self.parts.heartbeat_s)
                if done:
                    break
                self._begin_events()
                self.write(sse.comment("busy, you are next"))
                await self.flush()
            return task.result()
        except GatewayError as error:
            if not self._headers_written:
                raise
            self.write(sse.event(json.dumps(error.body()).encode()))
            self.finish()
            raise web.Finish from error
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _begin_events(self) -> None:
        if not self._headers_written:
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
            self.set_header("X-Accel-Buffering", "no")

    def _disclose(self, path: Route, answer: Answer) -> None:
        self.set_header(wire.HEADER_TASK, path.task)
        self.set_header(wire.HEADER_REASON, path.reason)
        self.set_header(wire.HEADER_MODEL, answer.way.model.name)
        self.set_header(wire.HEADER_UPSTREAM, answer.way.deployment.name)
        self.set_header("x-request-id", self.request_id)
        if path.notes:
            self.set_header("X-NeuralInverse-Notice", "; ".join(path.notes))

    def _trace(self) -> dict[str, str]:
        """The headers that go on to the upstream: the trace, if it is one, and nothing else of the client's."""
        parent = self.request.headers.get("traceparent", "")
        return (
            {"traceparent": parent}
            if re.fullmatch(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", parent)
            else {}
        )

    def _record(
        self, path: Route, answer: Answer, status: Literal["complete", "partial"], first: float, duration: float
    ) -> None:
        usage = answer.usage
        if usage is None:
            return
        at = datetime.now(UTC)
        way = answer.way
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
                retries=answer.retries,
            )
        )


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
            raise web.HTTPError(404, reason="no such model")


class HealthHandler(web.RequestHandler):
    """``GET healthz``: the process runs. Says nothing else, to anyone."""

    def initialize(self, parts: Parts) -> None:
        self.parts = parts

    def get(self) -> None:
        self.finish({"status": "ok"})


class UnknownHandler(ApiHandler):
    """Every address that is none."""

    identified = False

    async def prepare(self) -> None:
        error = BadRequest(f"there is no {self.request.method} {self.request.path[:200]}; the API is below …/v1/")
        error.status = 404
        raise error


def find_route(table: Table, ask: Ask) -> Route:
    """The route of an ask, today."""
    return route(
        table,
        model=ask.model,
        decide=lambda: classify(ask.question),
        needs=ask.needs,
        prompt_tokens=ask.prompt_tokens,
        answer_tokens=ask.answer_tokens,
        today=datetime.now(UTC).date(),
    )


def model_cards(table: Table) -> list[dict[str, Any]]:
    """The entries of ``GET v1/models``: tasks, then logical models, each with who answers today."""
    today = datetime.now(UTC).date()

    def card(name: str, kind: Literal["task", "model"], description: str) -> dict[str, Any]:
        served_by = upstream = None
        try:
            path = route(
                table,
                model="general" if name == AUTO else name,
                decide=lambda: classify(""),
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
        shown: wire.ModelCard = {
            "kind": kind,
            "served_by": served_by,
            "upstream": upstream,
            "description": description,
        }
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
