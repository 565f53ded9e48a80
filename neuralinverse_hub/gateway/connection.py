"""One HTTP request and the way of its response back: aiohttp's request below, tornado's interface to write with above.

So tornado's request handlers run on it, and whoever is in more of a hurry writes to it directly.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from http.client import responses
from typing import Final

from aiohttp import web
from tornado import httputil, iostream

from neuralinverse_hub.gateway.errors import GatewayError

__all__ = ["BodyTooLarge", "Connection"]

BODY_S: Final = 60
"""Seconds a request's body may take to arrive, and a client may go on sending one that was refused."""
UNSENT: Final = 64 * 1024
"""Bytes that may wait for a client to read them before a writer has to wait, too."""
UNREAD_S: Final = 120
"""Seconds in which a client has to read something of what waits for it."""


class BodyTooLarge(Exception):
    """A request has more bytes than can be taken."""


class Connection(httputil.HTTPConnection):
    """A request, and the way of its response back to the client."""

    def __init__(self, request: web.BaseRequest, transport: asyncio.Transport, sent: asyncio.Future[None]) -> None:
        self.method = request.method
        self.headers: Mapping[str, str] = request.headers
        """The request's headers, whatever case their names are asked in."""
        self.version = "HTTP/1.1" if request.version.minor else "HTTP/1.0"
        # Before an older client may be a proxy that takes what comes in chunks for its next request (RFC 9112, 6.1).
        self._keep = request.keep_alive and (self.version == "HTTP/1.1" or "Transfer-Encoding" not in self.headers)
        self.lasting = self._keep and request.content.is_eof()
        """Whether the next request may come over the same connection. Never while a body is still to come: who answers
        without reading it cannot know whether the client sends it, and what follows would be taken for it."""
        self.finished = False
        self._request = request
        self._transport = transport
        self._sent = sent
        self._chunked = False
        self._over: asyncio.Future[None] | None = None
        self._on_close: Callable[[], None] | None = None

    # -- the request --------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The path with its query, as it was sent."""
        address = self._request.raw_path
        # Every server has to understand what is usually sent to proxies only (RFC 9112, 3.2.2).
        return self._request.rel_url.raw_path_qs if address.startswith(("http://", "https://")) else address

    async def body(self, limit: int) -> bytes:
        """All of the request's body. Raises `BodyTooLarge`, TimeoutError after `BODY_S`, or what aiohttp says of a wrong one."""
        content = self._request.content
        if content.is_eof():
            body = content.read_nowait()
            if len(body) > limit:
                raise BodyTooLarge
            self.lasting = self._keep
            return body
        if (self._request.content_length or 0) > limit:
            raise BodyTooLarge
        if self.headers.get("Expect", "").lower() == "100-continue" and self.version == "HTTP/1.1":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces = bytearray()
        async with asyncio.timeout(BODY_S):
            while piece := await content.readany():
                pieces += piece
                if len(pieces) > limit:
                    raise BodyTooLarge
        self.lasting = self._keep
        return bytes(pieces)

    # -- the response -------------------------------------------------------------------------------------------------

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Call this when the client leaves before the response is finished."""
        self._on_close = callback

    def writing(self) -> bool:
        """Whether the client has not read yet what was sent to it."""
        return self._unsent() > 0

    def write_headers(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        assert isinstance(start_line, httputil.ResponseStartLine)
        bodiless = self.method == "HEAD" or start_line.code in (204, 304)
        if headers.get("Connection", "").lower() == "close":
            self.lasting = False
        elif not self.lasting:
            headers["Connection"] = "close"
        elif self.version == "HTTP/1.0":
            headers["Connection"] = "keep-alive"
        if not bodiless and "Content-Length" not in headers:
            if self.version == "HTTP/1.1":
                headers["Transfer-Encoding"] = "chunked"
                self._chunked = True
            else:
                # Only its end tells such a client that the body is complete.
                headers["Connection"] = "close"
                self.lasting = False
        lines = [
            f"HTTP/1.1 {start_line.code} {start_line.reason}",
            *(f"{name}: {value}" for name, value in headers.get_all()),
        ]
        head = "\r\n".join(lines)
        if not head.count("\r") == head.count("\n") == len(lines) - 1:
            raise ValueError(f"a header of the response has more than one line: {lines}")
        data = f"{head}\r\n\r\n".encode("latin1")
        return self._send(data + self._framed(chunk) if chunk and not bodiless else data)

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        return self._send(self._framed(chunk))

    async def taken(self, sent: asyncio.Future[None] | None = None) -> None:
        """Wait for what `write` gave, or until the client has read nearly all of what was sent to it.

        Raises StreamClosedError when it leaves, TimeoutError when it reads nothing for `UNREAD_S`.
        """
        left = self._unsent()
        if sent is None:
            if left <= UNSENT:
                return
            sent = self._send(b"")
        while not sent.done():
            await asyncio.wait([sent], timeout=UNREAD_S)
            if not sent.done() and self._unsent() >= left:
                raise TimeoutError
            left = self._unsent()
        sent.result()

    def finish(self) -> None:
        if self._chunked and self._open():
            self._transport.write(b"0\r\n\r\n")
        self._end()

    def close(self) -> None:
        """Break the connection off, whatever is still to be sent."""
        self.lasting = False
        self._transport.abort()
        self._end()

    def lost(self) -> None:
        """The client left."""
        callback, self._on_close = self._on_close, None
        if callback is not None:
            callback()

    def refuse(self, error: GatewayError) -> None:
        """Answer with an error, and take nothing more from this client."""
        if not self.finished:
            body = json.dumps(error.body()).encode()
            headers = httputil.HTTPHeaders({"Content-Type": "application/json", "Content-Length": str(len(body))})
            headers["Connection"] = "close"
            self.write_headers(
                httputil.ResponseStartLine("HTTP/1.1", error.status, responses[error.status]), headers, body
            )
            self.finish()

    async def over(self) -> None:
        """Wait until the response is finished."""
        if not self.finished:
            self._over = asyncio.get_running_loop().create_future()
            await self._over

    # -- how it is sent -----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self.finished = True
        self._on_close = None
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def _framed(self, chunk: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked and chunk else chunk

    def _open(self) -> bool:
        # A transport that is closing is not asked: uvloop's raises an error then, asyncio's keeps what nobody will read.
        return not self._transport.is_closing()

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size()

    def _send(self, data: bytes) -> asyncio.Future[None]:
        if self._open():
            self._transport.write(data)
            if self._unsent() <= UNSENT:
                return self._sent
        sent = asyncio.ensure_future(self._drained())
        sent.add_done_callback(_heard)
        return sent

    async def _drained(self) -> None:
        try:
            if self._open():
                await self._request.writer.drain()
                return
        except ConnectionError as error:
            raise iostream.StreamClosedError(real_error=error) from error
        raise iostream.StreamClosedError


def _heard(sent: asyncio.Future[None]) -> None:
    """Who wrote need not look whether it arrived."""
    if not sent.cancelled():
        sent.exception()
