"""One streaming client for every upstream: a body goes out, an answer or a `Failure` comes back.

Knows rows, HTTP and timeouts; nothing of people, routes or queues. An answer that is closed, or whose reader is
cancelled, closes its connection, which is how an upstream learns that nobody listens any more.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from neuralinverse_hub.gateway import codec
from neuralinverse_hub.gateway.catalogue import forbidden_host
from neuralinverse_hub.gateway.entra import EntraRefused
from neuralinverse_hub.gateway.failures import Failure, failure_from
from neuralinverse_hub.gateway.router import Deployment, Upstream

__all__ = ["Failed", "Patience", "Reply", "UpstreamClient", "upstream_session"]

ERROR_BODY: Final = 64 * 1024
"""Bytes of an error's body that are read."""
LARGE_BODY: Final = 512 * 1024
ANSWER_BODY: Final = 64 * 1024 * 1024
"""Bytes a whole answer may have."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: for the connection, for the first byte of an answer, between two pieces of it."""

    connect_s: float = 10.0
    first_s: float = 300.0
    gap_s: float = 90.0


class Failed(Exception):
    """An upstream did not answer; ``failure`` says what that means."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


class Reply:
    """A 2xx answer whose body is still to come."""

    def __init__(self, response: aiohttp.ClientResponse, gap_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self._response = response
        self._gap_s = gap_s
        self._taken = 0
        self._loop = loop
        self._silent_at: float | None = None
        """When what is waited for now is given up; None while nothing is."""
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def streams(self) -> bool:
        """Whether the upstream really answered with events, and not with one JSON object."""
        return self._response.content_type == "text/event-stream"

    @property
    def remaining(self) -> int | None:
        """Requests left by the rate-limit header; None when it is missing or says nothing usable (-1, 0)."""
        text = self._response.headers.get("x-ratelimit-remaining-requests", "")
        return int(text) if text.isdigit() and text != "0" else None

    async def next(self) -> bytes:
        """What has arrived, waiting for something if need be; empty at the end.

        Raises `Failed` when the body breaks off or pauses for longer than the gap allowed.
        """
        content = self._response.content
        try:
            if content.is_eof() or content.total_bytes > self._taken:
                # It is here already: no clock is needed to wait for it.
                piece = await content.readany()
            else:
                # Only our own waiting counts: a client that reads slowly is not the upstream's silence.
                self._silent_at = self._loop.time() + self._gap_s
                if self._alarm is None:
                    self._alarm = self._loop.call_at(self._silent_at, self._listen)
                try:
                    piece = await content.readany()
                finally:
                    self._silent_at = None
        except TimeoutError as error:
            raise Failed(Failure("broken", f"fell silent for {self._gap_s:g} s in the middle of an answer")) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Failed(Failure("broken", f"broke the connection off ({type(error).__name__})")) from error
        self._taken += len(piece)
        return piece

    def _listen(self) -> None:
        # One alarm that is set anew when it rings costs much less than one for every piece.
        self._alarm = None
        if self._silent_at is None:
            return
        if self._loop.time() < self._silent_at:
            self._alarm = self._loop.call_at(self._silent_at, self._listen)
        else:
            self._response.content.set_exception(TimeoutError())

    async def json(self) -> tuple[bytes, Any]:
        """The whole body, as it came and read. Raises `Failed` when it is not JSON."""
        body = await self.next()
        if not self._response.content.at_eof():
            whole = bytearray(body)
            while piece := await self.next():
                whole += piece
                if len(whole) > ANSWER_BODY:
                    raise Failed(Failure("broken", f"sent more than {ANSWER_BODY} bytes"))
            body = bytes(whole)
        try:
            return body, codec.read(body)
        except ValueError as error:
            raise Failed(Failure("broken", "answered with something that is not JSON")) from error

    def close(self) -> None:
        """Give the connection up at once, unless the body is complete."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._response.close()


class UpstreamClient:
    """Sends requests to deployments over one shared session."""

    def __init__(
        self, session: aiohttp.ClientSession, patience: Patience, token: Callable[[], Awaitable[str]] | None = None
    ) -> None:
        self._session = session
        self._token = token
        self._loop = asyncio.get_running_loop()
        self.patience = patience
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=patience.connect_s)
        self._first = _Limits(patience.first_s, self._loop)

    async def post(self, row: Deployment, path: str, body: dict[str, Any], headers: dict[str, str]) -> Reply:
        """The reply of ``row`` to ``body`` at ``path`` (``chat/completions``). Raises `Failed`."""
        data = codec.compact(body)
        limit = self._first.begin()
        try:
            async with limit:
                key = await self._authorization(row.upstream)
                response = await self._session.post(
                    _address(row.upstream, path),
                    # As a file, a large body is written piece by piece and does not hold up everybody else.
                    data=data if len(data) < LARGE_BODY else io.BytesIO(data),
                    headers={"Content-Type": "application/json", **key, **headers},
                    allow_redirects=False,
                    timeout=self._timeout,
                )
                if response.status == 200:
                    return Reply(response, self.patience.gap_s, self._loop)
                try:
                    text = await response.content.read(ERROR_BODY)
                finally:
                    response.close()
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                raise Failed(Failure("broken", f"could not be reached in {self.patience.connect_s:g} s")) from error
            raise Failed(Failure("broken", f"did not begin to answer in {self.patience.first_s:g} s")) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failed(Failure("broken", connection_problem(error))) from error
        finally:
            self._first.over(limit)
        raise Failed(failure_from(response.status, response.headers, text, now=datetime.now(UTC)))

    async def models(self, upstream: Upstream, *, timeout_s: float) -> list[str]:
        """Names of the models an upstream has. Raises `Failed`."""
        try:
            async with self._session.get(
                upstream.url + "models" + upstream.query,
                headers=await self._authorization(upstream),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                if response.status != 200:
                    text = await response.content.read(ERROR_BODY)
                    raise Failed(failure_from(response.status, response.headers, text, now=datetime.now(UTC)))
                listing = await response.json(content_type=None)
        except TimeoutError as error:
            raise Failed(Failure("broken", f"does not answer within {timeout_s:g} s")) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failed(Failure("broken", connection_problem(error))) from error
        rows = listing.get("data") if isinstance(listing, dict) else None
        return [str(row["id"]) for row in rows or () if isinstance(row, dict) and row.get("id")]

    async def _authorization(self, upstream: Upstream) -> dict[str, str]:
        """The header that carries an upstream's key or token; none when it has neither. Raises `Failed`."""
        if upstream.entra and self._token is not None:
            try:
                return {"Authorization": f"Bearer {await self._token()}"}
            except EntraRefused as error:
                raise Failed(Failure("broken", str(error))) from error
        if not upstream.key:
            return {}
        return {upstream.key_header: upstream.key if upstream.key_header == "api-key" else f"Bearer {upstream.key}"}


class _Limits:
    """Timeouts of one length, up to a tenth of it late: one look at all of them costs less than an alarm for each."""

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self._seconds = seconds
        self._loop = loop
        self._every_s = min(seconds / 10, 1.0)
        self._due: dict[asyncio.Timeout, float] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Timeout:
        """A timeout to enter at once, and to say `over` of."""
        limit = asyncio.timeout(None)
        self._due[limit] = self._loop.time() + self._seconds
        if self._alarm is None:
            self._alarm = self._loop.call_later(self._every_s, self._look)
        return limit

    def over(self, limit: asyncio.Timeout) -> None:
        """What was limited has ended, however it did."""
        self._due.pop(limit, None)

    def _look(self) -> None:
        now = self._loop.time()
        for limit in [limit for limit, due in self._due.items() if due <= now]:
            del self._due[limit]
            limit.reschedule(now)
        self._alarm = self._loop.call_later(self._every_s, self._look) if self._due else None


@lru_cache(maxsize=1024)
def _address(upstream: Upstream, path: str) -> URL:
    return URL(upstream.url + path + upstream.query, encoded=True)


def upstream_session() -> aiohttp.ClientSession:
    """A session for upstreams: unlimited, kept-alive connections, and never to a metadata address."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, resolver=_CarefulResolver())
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        # Compressed events would have to be unpacked to be read, and save nothing worth it.
        headers={"Accept-Encoding": "identity", "User-Agent": "neuralinverse-hub"},
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=256 * 1024,
    )


def connection_problem(error: Exception) -> str:
    """What went wrong with a connection, in words that name no secret."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        return "has a TLS certificate that cannot be trusted, or speaks no TLS"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "has a host name that cannot be found"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "refuses connections or cannot be reached"
    return f"broke the connection off ({type(error).__name__})"


class _CarefulResolver(AbstractResolver):
    """The usual resolver, which finds nothing when a name leads to a cloud's metadata address."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if any(forbidden_host(answer["host"]) for answer in found):
            raise OSError(None, f"{host} leads to a metadata address")
        return found

    async def close(self) -> None:
        await self._resolver.close()
