"""One request through ``git http-backend``: the body streams in, the answer streams out, nothing is held whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .errors import GitHostError

__all__ = ["Backend", "http_backend"]

_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")
_CHUNK: Final = 1 << 16


def http_backend() -> str:
    """Path of ``git http-backend`` itself: one process less for each request than by way of ``git``.

    Raises:
        GitHostError: git, or this part of it, is not installed.
    """
    try:
        done = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise GitHostError("git is not installed; install it and start again.") from error
    program = os.path.join(done.stdout.strip(), "git-http-backend")
    if not os.access(program, os.X_OK):
        raise GitHostError(f"This git has no http-backend ({program}); install git with its HTTP server part.")
    return program


class Backend:
    """A running ``git http-backend`` (CGI, RFC 3875) for one request."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._abandoned = False
        self._said: asyncio.Task[bytes] = asyncio.create_task(self._errors())

    @classmethod
    async def start(
        cls,
        program: str,
        repository: Path,
        service_path: str,
        *,
        method: str,
        query: str,
        person: str,
        headers: Mapping[str, str],
    ) -> Backend:
        """Start ``program``, see `http_backend`, for ``/<service_path>`` of the repository at ``repository``, in the name of ``person``."""
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        env |= {
            "GIT_PROJECT_ROOT": str(repository.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{repository.name}/{service_path}",
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "REMOTE_USER": person,
            "REMOTE_ADDR": "hub",
            # Every reflog and hook sees the person, not the account the service runs as.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": str(repository),
        }
        for header, variable in (
            ("Content-Type", "CONTENT_TYPE"),
            ("Content-Length", "CONTENT_LENGTH"),
            ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
            ("Git-Protocol", "GIT_PROTOCOL"),
        ):
            if header in headers:
                env[variable] = headers[header]
        process = await asyncio.create_subprocess_exec(
            program,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_CHUNK * 4,
            start_new_session=True,
        )
        return cls(process)

    async def write(self, chunk: bytes) -> None:
        """Pass on a part of the body; waits while git is slower than the client."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(chunk)
            await self._process.stdin.drain()

    def end_of_body(self) -> None:
        """The body is complete."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        """Status and headers of the answer.

        Raises:
            GitHostError: git ended without an answer; the text is what it said.
        """
        assert self._process.stdout is not None
        status = 200
        headers: list[tuple[str, str]] = []
        while line := (await self._process.stdout.readline()).decode("latin-1"):
            if line in ("\r\n", "\n"):
                return status, headers
            name, _, value = line.partition(":")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name.strip(), value.strip()))
        said = (await self._said).decode(errors="replace").strip().splitlines()
        raise GitHostError(said[-1] if said else "git ended without an answer.")

    async def read(self) -> bytes:
        """The next part of the answer's body; empty at its end."""
        assert self._process.stdout is not None
        return await self._process.stdout.read(_CHUNK)

    async def finish(self) -> str:
        """Wait for the end; what git said on its error channel."""
        await self._process.wait()
        return (await self._said).decode(errors="replace").strip()

    @property
    def failed(self) -> bool:
        """Whether git ended by itself, and not well: what it was asked for cannot be had, or what it reads is damaged."""
        return not self._abandoned and self._process.returncode not in (None, 0)

    def abandon(self) -> None:
        """The client is gone: end git and what it started. A push that has not been accepted by now never is."""
        if self._process.returncode is None:
            self._abandoned = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    async def _errors(self) -> bytes:
        assert self._process.stderr is not None
        said = b""
        while chunk := await self._process.stderr.read(_CHUNK):
            said = (said + chunk)[-_CHUNK:]
        return said
