"""Notes of when workspaces ran, for the ledger: on disk before a start goes on, and handed over when the ledger answers.

Nothing that goes wrong here holds up a start or a stop; what is not recorded, the ledger's service learns from the hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from pathlib import Path

from neuralinverse_hub import wire
from neuralinverse_hub.spool import Ledger, Spool

__all__ = ["Recorder"]

log = logging.getLogger(__name__)


class Recorder:
    """Of one hub. ``folder`` belongs to its process alone; ``size`` is what a workspace without sizes counts as."""

    def __init__(self, folder: Path, deliver: Ledger, region: str = "", size: str = "") -> None:
        self._spool = Spool(folder, deliver)
        self._region = region
        self._size = size
        self._open = False

    def __deepcopy__(self, memo: object) -> Recorder:
        # traitlets gives every spawner a copy of its configuration; the folder is for one.
        return self

    def begin_soon(self) -> None:
        """Hand over what an earlier run of the hub left, without waiting for the next start or stop of a workspace.

        The hub reads its configuration within its event loop; where there is none, nothing is begun.
        """
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().call_soon(self._begin_or_say)

    def _begin_or_say(self) -> None:
        try:
            self._begin()
        except OSError as error:
            log.error("workspace-hours cannot be recorded: %s", error)

    def _begin(self) -> None:
        if not self._open:
            self._spool.open()
            self._open = True

    async def record(
        self, person: str, server: str, started: datetime, ended: datetime | None, size: str, generation: int
    ) -> None:
        """Note that a workspace runs, or from when to when it ran. ``started`` is the hub's, naive or aware UTC."""
        record = wire.ComputeRecord(
            person,
            server or wire.DEFAULT_WORKSPACE,
            started if started.tzinfo else started.replace(tzinfo=UTC),
            size or self._size,
            self._region,
            ended,
            generation=generation,
        )
        try:
            self._begin()
            await self._spool.keep(record)
        except OSError as error:
            log.error("the hours of a workspace of %s are not recorded: %s", person, error)

    async def close(self) -> None:
        """Hand over what is left, once."""
        if self._open:
            await self._spool.close()
