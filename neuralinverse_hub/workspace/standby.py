"""A workspace that does not know yet whose it will be: it answers one POST, once, from who knows its nonce.

Started with ``NEURALINVERSE_CLAIM_SHA256`` in its environment: the SHA-256 of the nonce, so that who reads the pod's
description cannot claim it. On the server's own port, until then:

- ``GET /standby`` is 200 when all there is to load is loaded, else 503: the pod's readiness probe;
- ``POST /claim`` with ``Authorization: Bearer <nonce>`` and ``{"environment": {name: value}}`` gives the workspace its
  environment. 200: taken; the port then belongs to the person's server. 401: another nonce. 409: taken before.
  400, 413, 408: no such object, too large, too slow; the workspace stays as it was.

Guarantees, each with a test: an environment is taken once; a wrong nonce is compared in constant time and changes
nothing; nothing of a request is logged; a slow or oversized request neither ends nor delays anybody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from neuralinverse_hub import wire

__all__ = ["Standby", "digest_of"]

LARGEST_BODY: Final = 256 * 1024
LARGEST_HEADER: Final = 8 * 1024
SLOWEST_S: Final = 10.0

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def digest_of(nonce: str) -> str:
    """What the pod's environment holds of ``nonce``: its SHA-256, in hexadecimal."""
    return hashlib.sha256(nonce.encode()).hexdigest()


class Standby:
    """Waits on ``port`` for the claim. ``loaded`` says whether the workspace is ready for one."""

    def __init__(self, digest: str, loaded: Callable[[], bool], slowest_s: float = SLOWEST_S) -> None:
        self._digest = digest
        self._loaded = loaded
        self._given: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        application = Application(
            [(wire.STANDBY_PATH, _Ready, {"standby": self}), (wire.CLAIM_PATH, _Claim, {"standby": self})],
            # Whoever knocks, and with what, is nobody's business here.
            log_function=lambda handler: None,
        )
        self._server = HTTPServer(
            application,
            max_body_size=LARGEST_BODY,
            max_buffer_size=LARGEST_BODY + LARGEST_HEADER,
            max_header_size=LARGEST_HEADER,
            body_timeout=slowest_s,
            idle_connection_timeout=slowest_s,
        )

    @property
    def loaded(self) -> bool:
        return self._loaded()

    def listen(self, port: int, address: str = "") -> None:
        """Answer on ``port`` of every interface, as the person's server will. Raises OSError when it is taken."""
        self._server.listen(port, address=address or None)

    async def claimed(self) -> dict[str, str]:
        """The environment, once it came. The port is free again then."""
        try:
            return await self._given
        finally:
            self._server.stop()
            await self._server.close_all_connections()

    def accepts(self, authorization: str) -> bool:
        nonce = authorization.removeprefix("Bearer ").strip()
        return bool(self._digest) and hmac.compare_digest(digest_of(nonce), self._digest)

    def take(self, environment: dict[str, str]) -> bool:
        """Whether it was the first one."""
        if self._given.done():
            return False
        self._given.set_result(environment)
        return True


class _Handler(RequestHandler):
    def initialize(self, standby: Standby) -> None:
        self.standby = standby

    def say(self, status: int, message: str) -> None:
        self.set_status(status)
        self.set_header("Connection", "close")
        self.finish({"message": message})

    def write_error(self, status_code: int, **more: Any) -> None:
        self.finish({"message": self._reason})


class _Ready(_Handler):
    def get(self) -> None:
        if self.standby.loaded:
            self.say(200, "ready to be claimed")
        else:
            self.say(503, "still loading")


class _Claim(_Handler):
    async def post(self) -> None:
        if not self.standby.accepts(self.request.headers.get("Authorization", "")):
            return self.say(401, "this is not the nonce of this workspace")
        environment = _environment(self.request.body)
        if environment is None:
            return self.say(400, 'send {"environment": {name: value}}, names and values as strings')
        if not self.standby.loaded:
            return self.say(503, "still loading; try again")
        if self.standby._given.done():
            return self.say(409, "this workspace is somebody's already")
        self.set_header("Connection", "close")
        # Taken only now that the answer is on its way: taking it closes the port.
        await self.finish({"message": "taken"})
        self.standby.take(environment)
        return None


def _environment(body: bytes) -> dict[str, str] | None:
    try:
        given = json.loads(body)["environment"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(given, dict) or not given:
        return None
    for name, value in given.items():
        if not _NAME.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            return None
    return given
