"""One request for an answer, from its headers to the last byte back, right above its connection.

Knows HTTP and whose request it is; nothing of models. Guarantees, each with a test:
- who asks is known before the body is read;
- a body that is too large, or comes drop by drop, holds neither memory nor a connection for long;
- whoever leaves cancels the work that was done for them;
- every error is OpenAI-shaped: as the answer, or as an event where an answer has begun.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from abc import abstractmethod
from functools import lru_cache
from http.client import responses
from typing import Any, Final

from tornado import httputil, iostream

from neuralinverse_hub.gateway import sse
from neuralinverse_hub.gateway.asks import parse_json
from neuralinverse_hub.gateway.auth import Caller, bearer
from neuralinverse_hub.gateway.connection import BodyTooLarge, Connection
from neuralinverse_hub.gateway.edge import BODY_LIMIT, Parts, failure
from neuralinverse_hub.gateway.errors import BadRequest, GatewayError, ShuttingDown, TooLarge

__all__ = ["Exchange"]

_OK: Final = httputil.ResponseStartLine("HTTP/1.1", 200, "OK")
_ALWAYS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_STEADY: Final = "".join(f"{name}: {value}\r\n" for name, value in _ALWAYS.items())

log = logging.getLogger(__name__)


class Exchange:
    """A request and its response. Subclasses `respond`; then ``self.caller`` is known and all of the body is here."""

    def __init__(self, parts: Parts, connection: Connection) -> None:
        self.parts = parts
        self.connection = connection
        self.headers = connection.headers
        self.caller = Caller("", "")
        self.request_id = parts.next_id()
        self.begun = False
        """Whether the response's headers are sent."""
        self.shown: dict[str, str] = {}
        """Headers that the response gets beside those that all have."""
        self._body = b""
        self._finished = False

    @abstractmethod
    async def respond(self) -> None:
        """Answer the request. A `GatewayError` that is raised becomes the answer."""

    def body_json(self) -> dict[str, Any]:
        """The request's JSON object."""
        body, self._body = self._body, b""
        return parse_json(body)

    # -- the request comes --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Answer the request, whatever happens, unless it never arrives."""
        try:
            await self._arrive()
            await self._work()
        except asyncio.CancelledError:
            self.hang_up()
            raise
        except iostream.StreamClosedError:
            self.hang_up()
        except GatewayError as error:
            self.fail(error)

    async def _arrive(self) -> None:
        if self.connection.method != "POST":
            error = BadRequest(f"{self.connection.method} is not possible here; POST is")
            error.status = 405
            self.shown["Allow"] = "POST"
            raise error
        token = bearer(self.headers.get("Authorization"))
        self.caller = self.parts.identity.known(token) or await self.parts.identity.caller(token)
        try:
            self._body = await self.connection.body(BODY_LIMIT)
        except BodyTooLarge:
            raise TooLarge(
                f"the request has more than {BODY_LIMIT // 2**20} MB; send less text or smaller images"
            ) from None

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.parts.works.add(task)
        try:
            if self.parts.draining:
                # Its next request goes to another replica.
                self.connection.lasting = False
                raise ShuttingDown("this gateway is shutting down; ask again, another one answers")
            await self.respond()
        except (GatewayError, iostream.StreamClosedError):
            raise
        except Exception:
            log.exception("%s failed", self.request_id)
            self.fail(failure(self.request_id, 500, "the gateway failed; its log says more"))
        finally:
            self.parts.works.discard(task)

    # -- the response goes --------------------------------------------------------------------------------------------

    def answer(self, body: bytes) -> None:
        """Finish with a body of JSON."""
        self._begin(_OK, "application/json", body)
        self.end()

    def begin_events(self) -> None:
        """Begin a response of events, if that is not done."""
        if not self.begun:
            self.shown["X-Accel-Buffering"] = "no"
            self._begin(_OK, "text/event-stream; charset=utf-8", None)

    async def send(self, piece: bytes) -> None:
        """Send some events. Raises StreamClosedError, or TimeoutError when the client has stopped to read."""
        sent = self.connection.write(piece)
        if not sent.done():
            # A client that stops reading must not keep its place for ever.
            await self.connection.taken(sent)

    def end(self) -> None:
        """The response is complete."""
        self._finished = True
        self.connection.finish()

    def hang_up(self) -> None:
        """Close the connection in the middle of a response."""
        self._finished = True
        self.connection.close()

    def fail(self, error: GatewayError) -> None:
        """Finish with an error: as the response, or as its last event, which the official SDKs raise as an error too."""
        if self._finished:
            return
        log.info("%s %s %s: %s", self.request_id, self.caller.person, error.status, error.code or error.type)
        self.parts.metrics.failed(error.code or error.type)
        body = json.dumps(error.body(), ensure_ascii=False).encode("utf-8", "surrogatepass")
        if self.begun:
            self.connection.write(sse.event(body))
        else:
            if not error.retry:
                # The official SDKs retry 5xx by themselves unless they are told that it cannot help.
                self.shown["x-should-retry"] = "false"
            reason = responses.get(error.status, "Unknown")
            self._begin(httputil.ResponseStartLine("HTTP/1.1", error.status, reason), "application/json", body)
        self.end()

    def _begin(self, start_line: httputil.ResponseStartLine, content_type: str, body: bytes | None) -> None:
        self.begun = True
        connection = self.connection
        if body is not None and connection.lasting and connection.version == "HTTP/1.1" and connection.method != "HEAD":
            self._send_whole(start_line, content_type, body)
            return
        shown = {name: _plain(value) for name, value in self.shown.items()}
        headers = httputil.HTTPHeaders({"Content-Type": content_type, **_ALWAYS, **shown})
        headers["Date"] = _date(int(time.time()))
        headers["x-request-id"] = self.request_id
        if body is not None:
            headers["Content-Length"] = str(len(body))
        connection.write_headers(start_line, headers, body)

    def _send_whole(self, start_line: httputil.ResponseStartLine, content_type: str, body: bytes) -> None:
        """A response in one piece, on a connection that goes on: ready-made, for a tenth of a small answer's CPU."""
        shown = "".join([f"{name}: {value}\r\n" for name, value in self.shown.items()])
        if not shown.isascii() or not shown.count("\r") == shown.count("\n") == len(self.shown):
            shown = "".join([f"{name}: {_plain(value)}\r\n" for name, value in self.shown.items()])
        head = (
            f"HTTP/1.1 {start_line.code} {start_line.reason}\r\nContent-Type: {content_type}\r\n{_STEADY}"
            f"Date: {_date(int(time.time()))}\r\nx-request-id: {self.request_id}\r\n{shown}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.connection.write(head.encode("latin1") + body)


def _plain(text: str) -> str:
    """``text`` as a header can hold it: in one line, and with question marks for what Latin-1 has not."""
    return " ".join(text.split()).encode("latin1", "replace").decode("latin1")


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return httputil.format_timestamp(second)
