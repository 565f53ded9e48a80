"""Small facts on the shared git host: a ref per fact, read in one request, changed by compare-and-swap.

A fact is a word. Its ref names a commit that follows from the word alone, so that reading the list of refs is reading
the facts, and whoever looks with Git sees the word as the commit's message. Protocol: gitprotocol-http(5),
gitprotocol-pack(5); no git process is started and nothing is kept on the hub's disk.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from neuralinverse_hub import wire

from .errors import GitHostAway, RefMoved

__all__ = ["NOTHING", "Change", "GitRefs", "fact_id", "words"]

NOTHING: Final = "0" * 40
"""The object id that means: the ref does not exist."""

_AGENT: Final = "neuralinverse-regions"
_TREE: Final = 2
_COMMIT: Final = 1
_LARGEST_ANSWER: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """Let ``ref`` say ``word`` if it names ``old`` now; an empty word removes the ref."""

    ref: str
    old: str
    word: str


def _commit(word: str) -> bytes:
    who = "neuralinverse <regions@neuralinverse.invalid> 0 +0000"
    tree = _object_id("tree", b"")
    return f"tree {tree}\nauthor {who}\ncommitter {who}\n\n{word}\n".encode()


def _object_id(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def fact_id(word: str) -> str:
    """The object id of the commit that says ``word``."""
    return _object_id("commit", _commit(word))


class GitRefs:
    """The refs of people's snapshot repositories, in the name of the hub itself.

    ``base_url`` is the git host's, ``user`` and ``secret`` what the hub signs in with. Every method raises
    `GitHostAway` when there is no proper answer within ``timeout_s``.
    """

    def __init__(self, base_url: str, user: str, secret: str, *, timeout_s: float = 5.0) -> None:
        self._base_url = base_url.rstrip("/")
        self._header = "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(timeout_s, 3.0))
        self._session: aiohttp.ClientSession | None = None

    async def read(self, person: str) -> dict[str, str]:
        """All refs of the person's repository, by their full names, and the ids of the objects they name."""
        body = await self._ask("GET", person, "/info/refs?service=git-upload-pack")
        found = {}
        for line in _packets(body):
            oid, _, name = line.rstrip(b"\n").partition(b"\0")[0].partition(b" ")
            if len(oid) == 40 and not name.endswith(b"^{}") and name.startswith(b"refs/"):
                found[name.decode(errors="surrogateescape")] = oid.decode()
        return found

    async def change(self, person: str, changes: Sequence[Change]) -> None:
        """All changes or none.

        Raises:
            RefMoved: a ref was not what its change expected.
        """
        commands, capabilities = b"", "\0 report-status atomic quiet object-format=sha1"
        for each in changes:
            new = fact_id(each.word) if each.word else NOTHING
            commands += _packet(f"{each.old} {new} {each.ref}{capabilities}".encode())
            capabilities = ""
        said = [_commit(word) for word in dict.fromkeys(each.word for each in changes) if word]
        pack = _pack([(_TREE, b""), *((_COMMIT, commit) for commit in said)]) if said else b""
        answer = await self._ask("POST", person, "/git-receive-pack", commands + b"0000" + pack)
        report = [line.decode(errors="replace").strip() for line in _packets(answer)]
        if not report or report[0] != "unpack ok":
            raise GitHostAway(f"The git host could not take a change; it said {report[:1]}.")
        if refused := [line.partition(" ")[2] for line in report[1:] if line.startswith("ng ")]:
            raise RefMoved(f"The git host refused: {'; '.join(refused)}.")

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, person: str, path: str, body: bytes | None = None) -> bytes:
        url = f"{self._base_url}/{quote(person, safe='')}/{wire.WORKSPACE_REPOSITORY}.git{path}"
        headers = {"Authorization": self._header, "User-Agent": _AGENT}
        if body is not None:
            headers |= {"Content-Type": "application/x-git-receive-pack-request"}
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            # A name is sent as it was quoted: a slash in it separates nothing.
            async with self._session.request(method, URL(url, encoded=True), headers=headers, data=body) as answer:
                said = b""
                async for part in answer.content.iter_any():
                    said += part
                    if len(said) > _LARGEST_ANSWER:
                        raise GitHostAway(f"The git host's list of {person}'s refs is too long to be read.")
                if answer.status != 200:
                    first = said[:200].decode(errors="replace").strip()
                    raise GitHostAway(f"The git host answered {answer.status}: {first or answer.reason}")
                return said
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise GitHostAway(f"The git host at {self._base_url} does not answer: {reason}.") from error


def _packet(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


def _packets(body: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(body):
        try:
            size = int(body[at : at + 4], 16)
        except ValueError:
            raise GitHostAway("The git host's answer is not one of Git's protocol.") from None
        if size > 4:
            yield body[at + 4 : at + size]
        at += max(size, 4)


def _pack(objects: Sequence[tuple[int, bytes]]) -> bytes:
    packed = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, content in objects:
        size = len(content)
        head, size = (kind << 4) | (size & 15), size >> 4
        while size:
            packed += bytes([head | 128])
            head, size = size & 127, size >> 7
        packed += bytes([head]) + zlib.compress(content)
    return packed + hashlib.sha1(packed, usedforsecurity=False).digest()


def words(refs: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Which of ``names`` each ref says; refs that say none of them are left out."""
    known = {fact_id(name): name for name in names}
    return {ref: known[oid] for ref, oid in refs.items() if oid in known}
