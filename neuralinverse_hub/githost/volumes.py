"""How much disk each repository takes, once an hour, for the operator's ledger.

A measurement stands for the hour of the clock that it is made in, and is counted once however often the service starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from neuralinverse_hub import wire
from neuralinverse_hub.spool import Ledger, Spool

__all__ = ["Volumes", "held"]

HOUR_S: Final = 3600

_log = logging.getLogger(__name__)


def held(root: Path) -> Iterator[tuple[str, str, int]]:
    """(person, repository, bytes on the disk) of every repository below ``root``."""
    for home in sorted(root.iterdir()):
        # Ours begin with a dot; a person's folder never does.
        if home.name.startswith(".") or not home.is_dir():
            continue
        for repository in sorted(home.iterdir()):
            if repository.is_dir() and not repository.name.startswith("."):
                yield unquote(home.name), repository.name, _bytes(repository)


def _bytes(folder: Path) -> int:
    found = 0
    for place, _folders, files in os.walk(folder):
        for name in files:
            try:
                found += os.lstat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                # Git tidies up meanwhile.
                continue
    return found


class Volumes:
    """Measures at once, and then in every hour. ``clock`` is Unix time in seconds."""

    def __init__(self, root: Path, deliver: Ledger, region: str, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._region = region
        self._clock = clock
        self._spool = Spool(root / ".records", deliver)
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._spool.open()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Hand over what is left, once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._spool.close()

    async def _run(self) -> None:
        while True:
            try:
                await self.measure()
            except Exception:
                # Repositories are served all the same; the next hour is measured again.
                _log.exception("what repositories hold could not be measured")
            # A little into the next hour, so that a clock that lags a moment does not count this one twice.
            await asyncio.sleep(HOUR_S - self._clock() % HOUR_S + 5)

    async def measure(self) -> None:
        """Note what every repository holds now."""
        hour = int(self._clock()) // HOUR_S
        at = datetime.fromtimestamp(hour * HOUR_S, UTC)
        for person, repository, size in await asyncio.to_thread(lambda: list(held(self._root))):
            key = f"git:{self._region}:{hour}:{person}/{repository}"[:200]
            # Held for an hour, so bytes and byte-hours are the same number. Repositories are of people, not of workspaces.
            self._spool.add(wire.VolumeRecord(key, at, "storage", person, "", self._region, size))
