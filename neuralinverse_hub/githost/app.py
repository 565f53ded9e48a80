"""The web application: whose request, for which repository, handed to git.

Three addresses per repository exist, those of Git's smart HTTP protocol; everything else below it is not served, so
no file of a repository can be read but through git.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from tornado import iostream, web

from .backend import Backend, http_backend
from .errors import GitHostError, NoSuchRepository, NotAllowed, NotSignedIn
from .following import Follower
from .identity import Identity, sign_in_of
from .repositories import Repositories

__all__ = ["LARGEST_BODY", "make_app"]

LARGEST_BODY: Final = 1 << 40
"""Bytes; bodies are streamed, so this is no more than a stop for nonsense."""

_log = logging.getLogger(__name__)
_ADDRESS: Final = re.compile(r"([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)")


def make_app(
    prefix: str, identity: Identity, repositories: Repositories, follower: Follower | None = None
) -> web.Application:
    """The application to be served below ``prefix``, as ``/services/git/``; with a ``follower``, its copies, for reading."""
    prefix = "/" + prefix.strip("/") + "/" if prefix.strip("/") else "/"
    shared = {
        "prefix": prefix,
        "identity": identity,
        "repositories": repositories,
        "follower": follower,
        "program": http_backend(),
    }
    return web.Application(
        [
            (re.escape(prefix) + "health", HealthHandler),
            (".*", GitHandler, shared),
        ],
        log_function=_log_request,
    )


def _log_request(handler: web.RequestHandler) -> None:
    # The query is left out: nothing in it is worth a line, and tokens have been seen in worse places.
    took_ms = 1000 * handler.request.request_time()
    _log.info("%s %s %s %.0f ms", handler.get_status(), handler.request.method, handler.request.path, took_ms)


class HealthHandler(web.RequestHandler):
    """Says that the service answers."""

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.write({"status": "ok"})


@web.stream_request_body
class GitHandler(web.RequestHandler):
    """One request of Git's smart HTTP protocol."""

    SUPPORTED_METHODS = ("GET", "POST")

    def initialize(
        self, prefix: str, identity: Identity, repositories: Repositories, follower: Follower | None, program: str
    ) -> None:
        self._prefix = prefix
        self._program = program
        self._identity = identity
        self._repositories = repositories
        self._follower = follower
        self._backend: Backend | None = None

    async def prepare(self) -> None:
        """Everything is decided before the first byte of the body is read."""
        caller = await self._identity.caller(sign_in_of(self.request.headers.get("Authorization")))
        # As it was sent: each part is unquoted by itself, so a quoted slash never separates anything.
        match = _ADDRESS.fullmatch(self.request.path.removeprefix(self._prefix))
        if match is None or not self.request.path.startswith(self._prefix):
            raise NoSuchRepository(
                f"There is nothing at {self.request.path}; repositories are at {self._prefix}{caller.name}/<name>.git."
            )
        owner, name, action = unquote(match[1]), unquote(match[2]), match[3]
        # What is asked first, before a push, names the push in its query.
        writes = "git-receive-pack" in f"{action} {unquote(self.request.query)}"
        if not caller.reaches(owner, writes=writes):
            how = "only reads" if caller.reaches(owner, writes=False) else "does not reach"
            raise NotAllowed(f"This token belongs to {caller.name}; it {how} the repositories of {owner}.")
        if (self.request.method == "GET") != (action == "info/refs"):
            raise NoSuchRepository(f"{self.request.method} is not how {action} is used.")
        self._place = owner, name
        repository = await self._open(owner, name, action, writes, make=caller.kind != "mirror")
        self._repository = repository
        self._backend = await Backend.start(
            self._program,
            repository,
            action,
            method=self.request.method or "GET",
            query=self.request.query,
            person=caller.name,
            headers=self.request.headers,
        )

    async def _open(self, owner: str, name: str, action: str, writes: bool, *, make: bool) -> Path:
        if self._follower is None:
            return await self._repositories.open(owner, name, make=make)
        if writes:
            raise NotAllowed(self._follower.refusal(owner, name))
        if action == "info/refs":
            return await self._follower.open(owner, name)
        return self._follower.held(owner, name)

    async def data_received(self, chunk: bytes) -> None:
        if self._backend is not None:
            await self._backend.write(chunk)

    async def get(self, *_: str) -> None:
        await self._answer()

    async def post(self, *_: str) -> None:
        await self._answer()

    async def _answer(self) -> None:
        assert self._backend is not None
        self._backend.end_of_body()
        status, headers = await self._backend.head()
        self.set_status(status)
        for name, value in headers:
            self.set_header(name, value)
        try:
            while chunk := await self._backend.read():
                self.write(chunk)
                await self.flush()
        except iostream.StreamClosedError:
            self._backend.abandon()
        said = await self._backend.finish()
        if self.request.path.endswith("/git-receive-pack"):
            self._repositories.pushed(self._repository)
        if said:
            _log.warning("git said: %s", said[-500:])

    def on_finish(self) -> None:
        if self._follower is not None and self._backend is not None and self._backend.failed:
            self._follower.doubt(*self._place)

    def on_connection_close(self) -> None:
        if self._backend is not None:
            self._backend.abandon()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        said = self._reason
        if isinstance(error, GitHostError):
            self.set_status(error.status)
            said = str(error)
            if isinstance(error, NotSignedIn):
                self.set_header("WWW-Authenticate", 'Basic realm="JupyterHub token as password"')
        elif status_code >= 500:
            said = "The git host failed; its log says why."
        # What is left of a body that nobody will read must not be taken for the next request.
        self.set_header("Connection", "close")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(said + "\n")

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, GitHostError) and error.status != 500:
            _log.info("%s %s: %s", error.status, self.request.path, error)
        else:
            super().log_exception(kind, error, trace)
