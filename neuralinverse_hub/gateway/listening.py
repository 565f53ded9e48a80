"""HTTP below everything the gateway answers: aiohttp's server, whose parser is C (llhttp). On tornado's own a small request costs
a fifth more CPU.

aiohttp reads requests, keeps connections alive and ends those on which nothing happens; whoever answers gets a `Connection`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web
from tornado import httputil, iostream

from neuralinverse_hub.gateway import connection as connections
from neuralinverse_hub.gateway.connection import BodyTooLarge, Connection
from neuralinverse_hub.gateway.errors import BadRequest, TooLarge

__all__ = ["Server"]

IDLE_S: Final = 120
"""Seconds a connection may idle, and a request's headers may take to arrive."""
BACKLOG: Final = 1024
"""Clients that may wait to be let in: when everybody comes back at once, nobody should have to knock again a second later."""
HEADER_LIMIT: Final = 16 * 1024
"""Bytes that the address, or one header, of a request may have: what Node, and so the hub's proxy, takes of all of them."""
HEADERS: Final = 100
"""Headers that a request may have."""

log = logging.getLogger(__name__)
_SILENT: Final = logging.Logger(f"{__name__}.silent", logging.CRITICAL + 1)
"""aiohttp writes down what of a request was no HTTP, which may be half a token. The client is told in any case."""


class _Written(web.StreamResponse):
    """What aiohttp gets to see of a response: it is written, and nothing is left to do but to keep the connection or not."""

    def __init__(self, *, lasting: bool) -> None:
        super().__init__()
        if not lasting:
            self.force_close()

    @property
    def keep_alive(self) -> bool:
        return super().keep_alive is None

    async def prepare(self, request: web.BaseRequest) -> None:
        pass

    async def write_eof(self, data: bytes = b"") -> None:
        pass


class _Protocol(web.RequestHandler):
    """One client's connection, as aiohttp sees it."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to what is no HTTP: an error like all others, which does not say what serves here."""
        if self.transport is not None:
            words = (message or "").partition("\n")[0].rstrip(":.")
            connection = Connection(request, self.transport, self._loop.create_future())
            connection.refuse(BadRequest(f"this is not HTTP as it should be: {words}"))
        return _Written(lasting=False)


class Server:
    """Has every request answered by ``answer``, in a task that is cancelled when the client leaves."""

    def __init__(self, answer: Callable[[Connection], Awaitable[None]]) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._sent: asyncio.Future[None] = self._loop.create_future()
        self._sent.set_result(None)
        self._kept, self._closed = _Written(lasting=True), _Written(lasting=False)
        self._listening: list[asyncio.Server] = []
        self._server = web.Server(self._serve, handler_cancellation=True)

    async def listen(self, sockets: Iterable[socket.socket]) -> None:
        """Serve whoever connects to these."""
        for each in sockets:
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                # Also for the last bytes of an answer, on a connection that nobody waits for any more.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(connections.UNREAD_S * 1000))
            self._listening.append(await self._loop.create_server(self._connected, sock=each, backlog=BACKLOG))

    def stop(self) -> None:
        """Take no new connections; those that are open go on."""
        for each in self._listening:
            each.close()

    async def close(self) -> None:
        """End every connection; what is being answered gets a second more."""
        self.stop()
        self._server.pre_shutdown()
        await self._server.shutdown(1.0)

    def _connected(self) -> _Protocol:
        return _Protocol(
            self._server,
            loop=self._loop,
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own server passes it for: no log
            logger=_SILENT,
            keepalive_timeout=IDLE_S,
            lingering_time=connections.BODY_S,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
            max_headers=HEADERS,
            # A few bytes could become gigabytes.
            auto_decompress=False,
        )

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            return self._closed
        connection = Connection(request, transport, self._sent)
        try:
            await self._answer(connection)
            await connection.over()
            # Or else requests would go on to be answered whose answers nobody reads.
            await connection.taken()
        except asyncio.CancelledError:
            connection.lost()
            raise
        except BodyTooLarge:
            connection.refuse(TooLarge("the request has more bytes than this address takes"))
        except (httputil.HTTPInputError, web.RequestPayloadError):
            connection.refuse(BadRequest("this is not HTTP as it should be"))
        except TimeoutError:
            log.info("a connection is closed: its request did not arrive, or its answer was not read, in time")
            connection.close()
        except (ConnectionError, iostream.StreamClosedError):
            connection.close()
        except Exception:
            log.exception("a request was not answered")
            connection.close()
        return self._kept if connection.lasting else self._closed
