"""How the restore of a start goes, asked of the workspace itself while its person waits.

The workspace is hostile territory: what it answers is a few numbers, or nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from neuralinverse_hub import wire

__all__ = ["Restore", "follow", "parse", "words"]

_LARGEST: Final = 4096
"""Bytes of an answer."""
_STEP_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Restore:
    """What a workspace says of its restore."""

    state: str
    files: int = 0
    seconds: float = 0.0

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.state in ("done", "none")


def parse(body: bytes) -> Restore | None:
    """``body`` as a `wire.Restore`; None when it is none."""
    try:
        said = json.loads(body)
        state, files, seconds = said["state"], said["files"], said["seconds"]
    except (ValueError, KeyError, TypeError):
        return None
    if state not in ("none", "fetching", "writing", "done"):
        return None
    if (
        type(files) is not int
        or not 0 <= files < 10**9
        or type(seconds) not in (int, float)
        or not 0 <= seconds < 10**6
    ):
        return None
    return Restore(state, files, float(seconds))


def words(restore: Restore) -> str:
    """A sentence for the person; empty when there is nothing to say."""
    files = f"{restore.files:,} {'file' if restore.files == 1 else 'files'}"
    if restore.state == "fetching":
        return "Bringing your work back from Git"
    if restore.state == "writing":
        return f"Restoring {files}"
    return f"Restored {files}" if restore.files else ""


async def follow(
    session: aiohttp.ClientSession, url: str, token: str, tell: Callable[[Restore], None], patience_s: float
) -> Restore | None:
    """Ask the server at ``url`` (ending in ``/``) until its restore is over, for ``patience_s`` at most.

    ``tell`` hears of every change. The last that was said; None when the server says nothing of the kind.
    """
    deadline = time.monotonic() + patience_s
    seen: Restore | None = None
    while True:
        said = await _ask(session, f"{url}{wire.RESTORE_PATH}", token)
        if said is None:
            return seen
        if said != seen:
            tell(said)
        seen = said
        if said.over or time.monotonic() > deadline:
            return seen
        await asyncio.sleep(_STEP_S)


async def _ask(session: aiohttp.ClientSession, url: str, token: str) -> Restore | None:
    try:
        async with session.get(
            url,
            headers={"Authorization": f"token {token}"},
            timeout=aiohttp.ClientTimeout(total=5),
            allow_redirects=False,
        ) as answer:
            return parse(await answer.content.read(_LARGEST)) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None
