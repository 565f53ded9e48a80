"""What the gateway's server has in common for every address: its parts, its limits, who gets how long, OpenAI-shaped errors.

Most requests are for answers: those go to an `Exchange` each, right above tornado's HTTP connection. All others, the
pages and lists, are tornado's usual request handlers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from tornado import httputil, web
from tornado.http1connection import HTTP1Connection

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.auth import Caller, HubIdentity, bearer
from neuralinverse_hub.gateway.directory import Directory
from neuralinverse_hub.gateway.errors import GatewayError
from neuralinverse_hub.gateway.metrics import Metrics
from neuralinverse_hub.gateway.relay import Relay
from neuralinverse_hub.gateway.tasks import Classifier
from neuralinverse_hub.gateway.tracing import Tracing

__all__ = ["BODY_LIMIT", "ApiHandler", "Front", "Parts"]

HEADERS_S: Final = 120
"""Seconds a connection may idle, and headers may take to arrive."""
BODY_S: Final = 60
"""Seconds a request's body may take to arrive."""
LOOK_S: Final = 5
BODY_LIMIT: Final = 32 * 1024 * 1024
"""Bytes a request for an answer may have: room for a few images."""
PAGE_BODY_LIMIT: Final = 64 * 1024
"""Bytes a request for anything else may have."""

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
    tracing: Tracing | None = None
    draining: bool = False
    numbers: Iterator[int] = field(default_factory=itertools.count)
    identifier: str = field(default_factory=lambda: uuid.uuid4().hex[:20])
    works: set[asyncio.Task[None]] = field(default_factory=set)
    """Answers under way: what a shutdown waits for."""

    def next_id(self) -> str:
        """A request id that no other gateway gives: random per process, then counted."""
        return f"{self.identifier}{next(self.numbers):012x}"


class Front(httputil.HTTPServerConnectionDelegate):
    """Where every request arrives: those for ``exchanges``, by path, go there, all others to ``pages``.

    Connections on which nothing happens for `HEADERS_S`, or whose body takes longer than `BODY_S`, are closed: one look
    at all of them every few seconds instead of tornado's timer for each request.
    """

    def __init__(
        self,
        exchanges: Mapping[str, Callable[[HTTP1Connection], httputil.HTTPMessageDelegate]],
        pages: web.Application,
    ) -> None:
        self._exchanges = exchanges
        self._pages = pages
        self._loop = asyncio.get_running_loop()
        self._due: dict[HTTP1Connection, float] = {}
        self._alarm = self._loop.call_later(LOOK_S, self._look)

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        assert isinstance(request_conn, HTTP1Connection)
        self._due[request_conn] = self._loop.time() + HEADERS_S
        return _Arrival(self, server_conn, request_conn)

    def close(self) -> None:
        """Look no more."""
        self._alarm.cancel()

    def begun(self, path: str, server_conn: object, connection: HTTP1Connection) -> httputil.HTTPMessageDelegate:
        """Whom a request for ``path`` is for, now that its headers are here."""
        self._due[connection] = self._loop.time() + BODY_S
        if (exchange := self._exchanges.get(path)) is not None:
            return exchange(connection)
        connection.set_max_body_size(PAGE_BODY_LIMIT)
        return self._pages.start_request(server_conn, connection)

    def arrived(self, connection: HTTP1Connection) -> None:
        """All of a request is here, or nothing more of it comes."""
        self._due.pop(connection, None)

    def _look(self) -> None:
        now = self._loop.time()
        for connection, due in list(self._due.items()):
            if connection.stream is None or connection.stream.closed():
                del self._due[connection]
            elif due < now:
                log.info("a connection is closed: its request did not arrive in time")
                del self._due[connection]
                connection.close()
        self._alarm = self._loop.call_later(LOOK_S, self._look)


class _Arrival(httputil.HTTPMessageDelegate):
    """A request until it is clear whom it is for; then a window to them."""

    __slots__ = ("_connection", "_front", "_server_connection", "_target")

    def __init__(self, front: Front, server_connection: object, connection: HTTP1Connection) -> None:
        self._front = front
        self._server_connection = server_connection
        self._connection = connection
        self._target: httputil.HTTPMessageDelegate | None = None

    def headers_received(
        self, start_line: httputil.RequestStartLine | httputil.ResponseStartLine, headers: httputil.HTTPHeaders
    ) -> Any:
        assert isinstance(start_line, httputil.RequestStartLine)
        path = start_line.path.partition("?")[0].removesuffix("/")
        self._target = self._front.begun(path, self._server_connection, self._connection)
        return self._target.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Any:
        assert self._target is not None
        return self._target.data_received(chunk)

    def finish(self) -> None:
        self._front.arrived(self._connection)
        assert self._target is not None
        self._target.finish()

    def on_connection_close(self) -> None:
        self._front.arrived(self._connection)
        if self._target is not None:
            self._target.on_connection_close()


def failure(request_id: str, status: int, reason: str) -> GatewayError:
    """What a client sees of a mistake of ours, or of tornado's refusal."""
    error = GatewayError(f"{status}: {reason} (request {request_id})")
    error.status = status
    if status < 500:
        error.type = "invalid_request_error"
    return error


class ApiHandler(web.RequestHandler):
    """A handler of the API's lists. ``self.caller`` is known before anything is answered."""

    identified: ClassVar[bool] = True
    parts: Parts

    def initialize(self, parts: Parts) -> None:
        self.parts = parts
        self.caller = Caller("", "")
        self.request_id = parts.next_id()

    async def prepare(self) -> None:
        self.set_header("x-request-id", self.request_id)
        if self.identified:
            self.caller = await self.parts.identity.caller(bearer(self.request.headers.get("Authorization")))

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def answer_json(self, value: Any, status: int = 200) -> None:
        """Finish with ``value`` as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if not isinstance(error, GatewayError):
            reason = self._reason if isinstance(error, web.HTTPError) else "the gateway failed; its log says more"
            error = failure(self.request_id, status_code, reason)
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
