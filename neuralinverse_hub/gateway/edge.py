"""What the gateway's server has in common for every address: its parts, its limits, OpenAI-shaped errors.

Most requests are for answers: those go to an `Exchange` each, right above the HTTP connection. All others, the pages
and lists, are tornado's usual request handlers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from tornado import httputil, web

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.auth import Caller, HubIdentity, bearer
from neuralinverse_hub.gateway.connection import Connection
from neuralinverse_hub.gateway.directory import Directory
from neuralinverse_hub.gateway.errors import GatewayError
from neuralinverse_hub.gateway.metrics import Metrics
from neuralinverse_hub.gateway.relay import Relay
from neuralinverse_hub.gateway.tasks import Classifier
from neuralinverse_hub.gateway.tracing import Tracing

__all__ = ["BODY_LIMIT", "ApiHandler", "Front", "Parts"]

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


class Front:
    """Where every request arrives: those for ``exchanges``, by path, are answered there, all others by tornado's ``pages``."""

    def __init__(
        self, exchanges: Mapping[str, Callable[[Connection], Awaitable[None]]], pages: web.Application
    ) -> None:
        self._exchanges = exchanges
        self._pages = pages

    async def answer(self, connection: Connection) -> None:
        """Have the connection's request answered."""
        path = connection.address.partition("?")[0].removesuffix("/")
        if (exchange := self._exchanges.get(path)) is not None:
            await exchange(connection)
        else:
            await self._show(connection)

    async def _show(self, connection: Connection) -> None:
        delegate = self._pages.start_request(self, connection)
        headers = httputil.HTTPHeaders()
        for name, value in connection.headers.items():
            headers.add(name, value)
        start_line = httputil.RequestStartLine(connection.method, connection.address, connection.version)
        delegate.headers_received(start_line, headers)
        if body := await connection.body(PAGE_BODY_LIMIT):
            delegate.data_received(body)
        delegate.finish()


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
