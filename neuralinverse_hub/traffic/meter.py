"""The meter: looks every minute, keeps the count on disk, and hands each hour's records over when it has ended."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from neuralinverse_hub import wire
from neuralinverse_hub.spool import Ledger, Spool, from_line, to_line
from neuralinverse_hub.traffic.counting import Count, Pod, count, from_json, to_json
from neuralinverse_hub.traffic.errors import ClusterAway

__all__ = ["Meter"]

LOOK_S: Final = 60.0
"""What a pod sends between the last look and its end is not seen, so this is how much of its life may go uncounted."""

_log = logging.getLogger(__name__)


class Meter:
    """``folder`` belongs to one meter alone, which goes on from it after a restart. ``clock`` is Unix time in seconds.

    Hands an hour over once, also when it is killed at any moment: count and records are replaced on disk together, and
    records that were handed on twice have the same keys and amounts.
    """

    def __init__(
        self,
        folder: Path,
        look: Callable[[], Awaitable[list[Pod]]],
        deliver: Ledger,
        region: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = folder / "count.json"
        self._look = look
        self._region = region
        self._clock = clock
        self._spool = Spool(folder / "records", deliver)
        self._count: Count | None = None
        self._closed: list[wire.VolumeRecord] = []
        self._is_away = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Go on where the last one ended. Raises OSError."""
        # Makes the folder, too.
        self._spool.open()
        try:
            self._read()
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            aside = self._file.with_suffix(".bad")
            self._file.rename(aside)
            _log.error("the count cannot be read (%s) and begins anew; it is kept as %s", error, aside)

    def run(self) -> asyncio.Task[None]:
        """Look until it is closed; the task is the meter's own."""
        self._task = asyncio.create_task(self._run())
        return self._task

    async def close(self) -> None:
        """Hand over what is left, once."""
        await self._spool.close(after=self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self.measure()
                self._is_away = False
            except ClusterAway as error:
                # The difference is still there at the next look.
                if not self._is_away:
                    _log.warning("nothing is seen for now: %s", error)
                self._is_away = True
            except Exception:
                _log.exception("what workspaces send could not be measured; it is tried again")
            await asyncio.sleep(LOOK_S)

    async def measure(self) -> None:
        """One look. Raises `ClusterAway`; OSError when the count cannot be kept, and then it is as before."""
        pods = await self._look()
        now, records = count(self._count, pods, int(self._clock()) // 3600, self._region)
        await self._keep(now, [*self._closed, *records])
        if self._closed:
            await self._spool.keep(*self._closed)
            await self._keep(now, [])

    async def _keep(self, now: Count, closed: Sequence[wire.VolumeRecord]) -> None:
        text = json.dumps({"count": to_json(now), "closed": [to_line(each) for each in closed]})
        await asyncio.to_thread(_replace, self._file, text)
        self._count, self._closed = now, list(closed)

    def _read(self) -> None:
        found = json.loads(self._file.read_text())
        self._count = from_json(found["count"])
        self._closed = [from_line(wire.VolumeRecord, line) for line in found["closed"]]


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".part")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
