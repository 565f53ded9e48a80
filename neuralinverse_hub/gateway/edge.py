"""The HTTP edge every handler shares: identity before the body is read, limits, OpenAI-shaped errors, a clean end."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

from tornado import web

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.asks import parse_json
from neuralinverse_hub.gateway.auth import Caller, HubIdentity, bearer
from neuralinverse_hub.gateway.directory import Directory
from neuralinverse_hub.gateway.errors import GatewayError, ShuttingDown, TooLarge
from neuralinverse_hub.gateway.metrics import Metrics
from neuralinverse_hub.gateway.relay import Relay
from neuralinverse_hub.gateway.tasks import Classifier

__all__ = ["BODY_LIMIT", "ApiHandler", "Parts"]

BODY_S: Final = 60
"""Seconds a request's body may take to arrive."""
BODY_LIMIT: Final = 32 * 1024 * 1024
"""Bytes a request's body may have: room for a few images."""

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Parts:
    """What the handlers work with, put together by the app."""

    identity: HubIdentity
    directory: Directory
    relay: Relay
    metrics: Metrics
    classifier: Classifier
    record: Callable[[wire.UsageRecord], None]
    heartbeat_s: float = 3.0
    draining: bool = False
    numbers: Iterator[int] = field(default_factory=itertools.count)
    identifier: str = field(default_factory=lambda: uuid.uuid4().hex[:20])
    works: set[asyncio.Task[Any]] = field(default_factory=set)
    """Answers under way: what a shutdown waits for."""

    def next_id(self) -> str:
        """A request id that no other gateway gives: random per process, then counted."""
        return f"{self.identifier}{next(self.numbers):012x}"


@web.stream_request_body
class ApiHandler(web.RequestHandler):
    """A handler of the API. ``self.caller`` is known before the body is read."""

    identified: ClassVar[bool] = True
    parts: Parts

    def initialize(self, parts: Parts) -> None:
        self.parts = parts
        self.caller = Caller("", "")
        self.request_id = parts.next_id()
        self._late: asyncio.TimerHandle | None = None
        self._body = bytearray()
        self._too_large = False
        self._work: asyncio.Task[Any] | None = None
        self._left = False

    async def prepare(self) -> None:
        self.set_header("x-request-id", self.request_id)
        # A client that sends its body drop by drop holds a connection, not for longer than this.
        self._late = asyncio.get_running_loop().call_later(BODY_S, self._give_up)
        if self.identified:
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
        self._body_is_here()
        if self._too_large:
            raise TooLarge(f"the request has more than {BODY_LIMIT // 2**20} MB; send less text or smaller images")
        body, self._body = bytes(self._body), bytearray()
        return parse_json(body)

    def on_finish(self) -> None:
        self._body_is_here()

    def _body_is_here(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        log.info("%s: the body did not arrive within %d s", self.request_id, BODY_S)
        self.detach().close()

    def answer_json(self, value: Any, status: int = 200) -> None:
        """Finish with ``value`` as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def refuse_while_draining(self) -> None:
        """Send new requests to another replica once this one is told to stop."""
        if self.parts.draining:
            self.set_header("Connection", "close")
            raise ShuttingDown("this gateway is shutting down; ask again, another one answers")

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, which is cancelled when the client leaves."""
        self._work = task = asyncio.create_task(work)
        self.parts.works.add(task)
        task.add_done_callback(self.parts.works.discard)
        if self._left:
            task.cancel()
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

    def trace(self) -> dict[str, str]:
        """The headers that go on to the upstream: the trace, if it is one, and nothing else of the client's."""
        parent = self.request.headers.get("traceparent", "")
        return {"traceparent": parent} if _TRACEPARENT.fullmatch(parent) else {}

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if not isinstance(error, GatewayError):
            reason = self._reason if isinstance(error, web.HTTPError) else "the gateway failed; its log says more"
            shown = GatewayError(f"{status_code}: {reason} (request {self.request_id})")
            shown.status = status_code
            if status_code < 500:
                shown.type = "invalid_request_error"
            error = shown
        elif not error.retry:
            # The official SDKs retry 5xx by themselves unless they are told that it cannot help.
            self.set_header("x-should-retry", "false")
        self.parts.metrics.failed(error.code or error.type)
        self.answer_json(error.body(), error.status)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, GatewayError):
            log.info("%s %s %s: %s", self.request_id, self.caller.person, value.status, value.code or value.type)
        else:
            super().log_exception(typ, value, tb)
