"""How much each repository takes, once an hour, for the operator's ledger; where that is seen is for others to know.

A measurement stands for the hour of the clock that it is made in, and is counted once however often the service starts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from neuralinverse_hub import wire
from neuralinverse_hub.spool import Ledger, Spool

from .errors import ProvisioningError

__all__ = ["Held", "Volumes", "on_disk"]

HOUR_S: Final = 3600
AGAIN_S: Final = 300
"""Seconds until the next try of a measurement that went wrong: its hour should not be missing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """What one repository takes, in bytes."""

    person: str
    repository: str
    size: int


def on_disk(root: Path) -> list[Held]:
    """Every repository below ``root``, with its bytes on the disk."""
    found = []
    for home in sorted(root.iterdir()):
        # Ours begin with a dot; a person's folder never does.
        if home.name.startswith(".") or not home.is_dir():
            continue
        for repository in sorted(home.iterdir()):
            if repository.is_dir() and not repository.name.startswith("."):
                found.append(Held(unquote(home.name), repository.name, _bytes(repository)))
    return found


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
    """Measures at once, and then in every hour. ``clock`` is Unix time in seconds.

    ``folder`` is where records wait for the ledger, of this process alone. ``host`` begins the keys: two who measure the same
    host for the same ledger give it the same name, and count once.
    """

    def __init__(
        self,
        folder: Path,
        measure: Callable[[], Awaitable[list[Held]]],
        deliver: Ledger,
        host: str,
        region: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._measure = measure
        self._host = host
        self._region = region
        self._clock = clock
        self._spool = Spool(folder, deliver)
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._spool.open()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Hand over what is left, once."""
        await self._spool.close(after=self._task)

    async def _run(self) -> None:
        while True:
            # A little into the next hour, so that a clock that lags a moment does not count this one twice.
            pause = HOUR_S - self._clock() % HOUR_S + 5
            try:
                await self.measure()
            except ProvisioningError as error:
                _log.warning("what repositories hold could not be measured, and is tried again: %s", error)
                pause = min(pause, AGAIN_S)
            except Exception:
                # Repositories are served all the same.
                _log.exception("what repositories hold could not be measured, and is tried again")
                pause = min(pause, AGAIN_S)
            await asyncio.sleep(pause)

    async def measure(self) -> None:
        """Note what every repository holds now."""
        hour = int(self._clock()) // HOUR_S
        at = datetime.fromtimestamp(hour * HOUR_S, UTC)
        for held in await self._measure():
            key = f"{self._host}:{hour}:{held.person}/{held.repository}"[:200]
            # Held for an hour, so bytes and byte-hours are the same number. Repositories are of people, not of workspaces.
            self._spool.add(wire.VolumeRecord(key, at, "storage", held.person, "", self._region, held.size))
