"""The git host, spoken to in Git's own HTTP protocol: read refs, push a pack, fetch a snapshot.

One connection is kept open and no git process is started for a push: that is what makes a save arrive in a fraction of
a second. Every ref update carries the value we believe the ref has, so the host refuses it when somebody else wrote
in between. Protocol: gitprotocol-http(5), gitprotocol-pack(5).
"""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from . import gitcmd
from .credentials import Credentials
from .errors import HostAway, HostRefused, RefMoved, Superseded, TokenRefused
from .pack import Pack

__all__ = ["NOTHING", "GitHost", "Update"]

NOTHING: Final = bytes(20)
"""The object id that means: the ref does not exist."""

_AGENT: Final = "agent=neuralinverse-sync"
_CHUNK: Final = 1 << 16
_CONNECT_S: Final = 10.0
_MOVED = re.compile(
    r"failed to update ref|cannot lock ref|fetch first|non-fast-forward|already exists|is at .* but expected|incorrect old value|reference is missing"
)
_HOOK_SAYS: Final = "neuralinverse: "
_SUPERSEDED: Final = "is newer"
"""Prefix and end of what the embedded host's hook says about a push of an older generation."""


@dataclass(frozen=True, slots=True)
class Update:
    """Move ``ref`` from ``old`` to ``new``; `NOTHING` stands for "does not exist"."""

    ref: str
    old: bytes
    new: bytes


def _packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


class GitHost:
    """One repository on a git host.

    Every method raises HostAway when the host cannot be reached, is broken or slower than ``timeout_s`` per read or
    write, and TokenRefused when it does not accept ``credentials``.
    """

    def __init__(self, remote: str, credentials: Credentials, *, timeout_s: float = 20.0) -> None:
        parts = urlsplit(remote)
        self._secure = parts.scheme == "https"
        self._place = parts.netloc
        self._path = parts.path.rstrip("/")
        self._credentials = credentials
        self.timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- the three things one can ask ------------------------------------------------------------------------------

    def refs(self) -> dict[str, bytes]:
        """All refs of the repository and the objects they name."""
        response = self._request("GET", "/info/refs?service=git-upload-pack")
        lines = _packets(response)
        found: dict[str, bytes] = {}
        for line in lines:
            if line.startswith(b"#"):
                continue
            oid, _, name = line.rstrip(b"\n").partition(b"\0")[0].partition(b" ")
            if len(oid) == 40 and not name.endswith((b"^{}",)):
                found[name.decode(errors="surrogateescape")] = bytes.fromhex(oid.decode())
        self._finish(response)
        return found

    def push(self, updates: Iterable[Update], pack: Pack | None) -> None:
        """All updates or none, with the objects they need; ``pack`` None when refs are only deleted.

        Raises:
            RefMoved: a ref was not what its update expected.
            Superseded: a newer generation of the workspace exists.
            HostRefused: the host said no for another reason, given in the text.
        """
        commands = b""
        capabilities = f"\0 report-status side-band-64k atomic quiet object-format=sha1 {_AGENT}"
        for update in updates:
            line = f"{update.old.hex()} {update.new.hex()} {update.ref}{capabilities}".encode()
            commands += _packet(line)
            capabilities = ""
        commands += b"0000"
        size = pack.stream()[0] if pack is not None else 0
        response = self._request(
            "POST",
            "/git-receive-pack",
            {
                "Content-Type": "application/x-git-receive-pack-request",
                "Accept": "application/x-git-receive-pack-result",
                "Content-Length": str(len(commands) + size),
            },
            lambda: _both(commands, pack.stream()[1] if pack is not None else iter(())),
        )
        answer, remarks = b"", b""
        for line in _packets(response):
            if line[:1] == b"\1":
                answer += line[1:]
            else:
                remarks = (remarks + line[1:])[-4000:]
        report = [line.decode(errors="replace").rstrip("\n") for line in _inner_packets(answer)]
        self._finish(response)
        if not report:
            said = (remarks.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise HostAway(f"The git host ended a push without saying how it went; its last words: {said}.")
        if not report[0].startswith("unpack "):
            raise HostAway(f"The git host answered a push with {report[0][:100]!r}.")
        refused = [line for line in report[1:] if line.startswith("ng ")]
        if report[0] != "unpack ok":
            raise HostRefused(f"The git host could not store what was sent: {report[0][7:]}.")
        if refused:
            said = "; ".join(dict.fromkeys(line.split(" ", 2)[2] for line in refused))
            hook = [line for line in remarks.decode(errors="replace").splitlines() if line.startswith(_HOOK_SAYS)]
            if hook:
                said = hook[0].removeprefix(_HOOK_SAYS)
            if said.endswith(_SUPERSEDED):
                raise Superseded(
                    "This workspace has been started again elsewhere; what is saved here is not kept any more."
                )
            if _MOVED.search(said) or _MOVED.search(remarks.decode(errors="replace")):
                raise RefMoved(f"The git host's refs have moved: {said}.")
            raise HostRefused(f"The git host refused to store the snapshot: {said}.")

    def fetch(
        self,
        commits: Sequence[bytes],
        into: Path,
        *,
        leave_out: str | None = None,
        depth: int | None = None,
        have: Sequence[bytes] = (),
    ) -> None:
        """Bring ``commits`` into the bare repository ``into``: with ``depth`` 1 without their history, without what the
        object filter ``leave_out`` names, as ``blob:none`` or ``tree:0``, and without what the commits it can ``have``
        from elsewhere hold themselves.

        Raises:
            HostRefused: the host cannot give it, or what it gave is damaged.
        """
        options = ("shallow " if depth else "") + ("filter " if leave_out else "") + ("thin-pack " if have else "")
        names = ", ".join(commit.hex()[:12] for commit in commits)
        body = b""
        for commit in commits:
            first = "" if body else f" side-band-64k ofs-delta no-progress {options}{_AGENT}"
            body += _packet(f"want {commit.hex()}{first}\n".encode())
        for commit in have:
            body += _packet(f"shallow {commit.hex()}\n".encode())
        if depth:
            body += _packet(b"deepen %d\n" % depth)
        if leave_out:
            body += _packet(f"filter {leave_out}\n".encode())
        body += b"0000" + b"".join(_packet(f"have {commit.hex()}\n".encode()) for commit in have) + _packet(b"done\n")
        response = self._request(
            "POST",
            "/git-upload-pack",
            {
                "Content-Type": "application/x-git-upload-pack-request",
                "Accept": "application/x-git-upload-pack-result",
                "Content-Length": str(len(body)),
            },
            lambda: iter((body,)),
        )
        if depth:
            (into / "shallow").write_text("".join(commit.hex() + "\n" for commit in commits))
        indexer = subprocess.Popen(
            [
                *("git", "--git-dir", str(into), "index-pack", "--stdin"),
                *(["--promisor"] if leave_out else []),
                *(["--fix-thin"] if have else []),
            ],
            env=gitcmd.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert indexer.stdin and indexer.stderr
        failure: HostRefused | None = None
        try:
            for line in _packets(response):
                if line[:1] == b"\1":
                    indexer.stdin.write(line[1:])
                elif line[:1] == b"\3" or line.startswith(b"ERR "):
                    said = line.lstrip(b"\3").decode(errors="replace").strip()
                    failure = HostRefused(f"The git host cannot give the snapshot {names}: {said}.")
        except BrokenPipeError:
            self.close()
        finally:
            try:
                indexer.stdin.close()
            except BrokenPipeError:
                pass
            said = indexer.stderr.read().decode(errors="replace").strip()
            indexer.stderr.close()
            ended = indexer.wait()
        self._finish(response)
        if failure is not None:
            raise failure
        if ended != 0:
            last = said.splitlines()[-1] if said else f"index-pack ended with {ended}"
            raise HostRefused(f"The snapshot {names} did not arrive whole: {last}.")

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Iterator[bytes]] | None = None,
        may_renew: bool = True,
    ) -> http.client.HTTPResponse:
        fresh = self._connection is None
        try:
            response = self._send(
                method, self._path + path, {**(headers or {}), "Authorization": self._credentials.header}, body
            )
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            # A kept connection may have been closed by the other side while idle; a new one tells the truth. Pushing
            # twice does no harm: the second one is refused if the first arrived.
            self.close()
            if fresh:
                raise HostAway(f"The git host at {self._place} closed the connection.") from error
            return self._request(method, path, headers, body, may_renew)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise HostAway(f"The git host at {self._place} cannot be reached: {_reason(error)}.") from error
        if response.status == 200:
            return response
        if response.status == 401 and may_renew and (renewed := self._credentials.renewed()):
            response.read()
            self._credentials = renewed
            return self._request(method, path, headers, body, may_renew=False)
        said = response.read(2000).decode(errors="replace").strip().splitlines()
        status = response.status
        self.close()
        first = said[0][:200] if said else response.reason
        if status in (401, 403):
            raise TokenRefused(
                f"The git host does not let this workspace in ({status}: {first}); its credentials may have expired. "
                "What you save stays in this workspace and waits, so do not stop it before they are good again."
            )
        if status in (400, 404, 405, 413, 422):
            raise HostRefused(f"The git host answered {status} for {self._path}: {first}")
        raise HostAway(f"The git host at {self._place} is out of order ({status}): {first}")

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: Callable[[], Iterator[bytes]] | None
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._place, timeout=min(self.timeout_s, _CONNECT_S))
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sock.settimeout(self.timeout_s)
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        for chunk in body() if body is not None else ():
            self._connection.send(chunk)
        return self._connection.getresponse()

    def _finish(self, response: http.client.HTTPResponse) -> None:
        try:
            response.read()
        except (OSError, http.client.HTTPException):
            self.close()


def _both(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _packets(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The pkt-lines of an answer, flush packets left out; HostAway when it breaks off."""
    while True:
        try:
            head = _exactly(response, 4)
            if not head:
                return
            size = int(head, 16)
            if size <= 4:
                continue
            yield _exactly(response, size - 4)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise HostAway(f"The git host's answer broke off: {_reason(error)}.") from error


def _inner_packets(data: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        size = int(data[at : at + 4], 16)
        if size > 4:
            yield data[at + 4 : at + size]
        at += max(size, 4)


def _exactly(response: http.client.HTTPResponse, size: int) -> bytes:
    data = response.read(size)
    if data and len(data) < size:
        raise ValueError("it is shorter than it says")
    return data
