"""Records on their way to the ledger: kept on disk until it has them, away from the work that makes them.

For any frozen dataclass of `neuralinverse_hub.wire`; written down once, as the lines in which they are handed over.
Guarantees, each with a test:
- a record survives a ledger that is away, and a restart of whoever writes it;
- a record is handed over again after a doubt and never dropped for it: its key lets the ledger count it once;
- the disk space used is bounded; what does not fit any more is given up oldest first, counted and logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args, get_type_hints

try:
    import orjson
except ImportError:
    # A quarter as fast, and always there.
    orjson = None  # type: ignore[assignment]

__all__ = ["Ledger", "Spool", "from_line", "to_line"]

Record = TypeVar("Record")

Ledger = Callable[[bytes], Awaitable[None]]
"""Takes records over as lines of `to_line`, some perhaps for the second time; raises when it could not."""

WRITE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
SEGMENT_RECORDS: Final = 5000
"""In one file and one delivery at most: about two megabytes."""

log = logging.getLogger(__name__)


class Spool:
    """Records between `add` and the ledger. ``folder`` belongs to one process alone; ``limit`` is in bytes."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        *,
        limit: int = 256 * 2**20,
        lost: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._limit = limit
        self._lost = lost
        self._fresh: list[object] = []
        self._arrived = asyncio.Event()
        self._written = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = iter(range(10**9))

    @property
    def waiting(self) -> int:
        """Records that are not on disk yet, and segments that are."""
        return len(self._fresh) + len(self._segments())

    def open(self) -> None:
        """Begin to hand over, with what an earlier run left behind first."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._segments():
            self._written.set()
        # Apart, so that a ledger that is slow or away keeps nothing in memory.
        writing = asyncio.create_task(self._keep_writing())
        self._tasks = [writing, asyncio.create_task(self._keep_handing_over(writing))]

    def add(self, record: object) -> None:
        """Take a record; costs next to nothing."""
        self._fresh.append(record)
        self._arrived.set()

    async def keep(self, *records: object) -> None:
        """Take records that are on disk when this returns, all or none. Raises OSError."""
        await asyncio.to_thread(self._write_segment, records)
        self._written.set()

    async def close(self, *, after: asyncio.Task[None] | None = None) -> None:
        """Write down what is left and try to hand it over once. ``after`` is the task that makes records: it is ended first."""
        if after is not None:
            after.cancel()
            await asyncio.gather(after, return_exceptions=True)
        self._stop.set()
        self._arrived.set()
        await asyncio.gather(*self._tasks)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until the stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _keep_writing(self) -> None:
        last = False
        while not last:
            await self._arrived.wait()
            await self._pause(WRITE_S)
            # Once more after the stop, and to the end, so that nothing stays in memory.
            last = self._stop.is_set()
            self._arrived.clear()
            try:
                await self._write()
                while last and self._fresh:
                    await self._write()
            except Exception as error:
                log.warning("records cannot be written down (%s: %s); they wait", type(error).__name__, error)
                self._arrived.set()
            self._written.set()

    async def _keep_handing_over(self, writing: asyncio.Task[None]) -> None:
        pause = WRITE_S
        last = False
        while not last:
            await self._written.wait()
            if self._stop.is_set():
                await asyncio.wait({writing})
                last = True
            self._written.clear()
            try:
                await self._hand_over()
                pause = WRITE_S
            except Exception as error:
                # Whatever the ledger's trouble is, records wait for its end.
                log.warning("the ledger did not take records (%s: %s); they wait on disk", type(error).__name__, error)
                pause = min(pause * 2, LONGEST_PAUSE_S)
                self._written.set()
                await self._pause(pause)

    async def _write(self) -> None:
        # What comes meanwhile is for the next time: else a busy second would end in many small files.
        for _ in range(0, len(self._fresh), SEGMENT_RECORDS):
            some, self._fresh = self._fresh[:SEGMENT_RECORDS], self._fresh[SEGMENT_RECORDS:]
            try:
                await asyncio.to_thread(self._write_segment, some)
            except OSError:
                self._fresh = some + self._fresh
                if len(self._fresh) > self._limit // 512:
                    self._lost(len(some))
                    del self._fresh[: len(some)]
                raise
        await asyncio.to_thread(self._make_room)

    def _write_segment(self, records: Sequence[object]) -> None:
        # Named by time and number, so that the order of names is the order of records, also across restarts.
        name = f"{time.time_ns():020d}-{next(self._numbers):09d}-{uuid.uuid4().hex[:8]}"
        temporary = self._folder / f"{name}.part"
        with temporary.open("wb") as file:
            file.write("".join(map(to_line, records)).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._folder / f"{name}.jsonl")

    async def _hand_over(self) -> None:
        for segment in self._segments():
            try:
                lines = await asyncio.to_thread(segment.read_bytes)
            except FileNotFoundError:
                # There was no room for it any more.
                continue
            if not lines.endswith(b"\n"):
                log.error("a segment of records is cut short; it is kept as %s.bad", segment.name)
                segment.rename(segment.with_suffix(".bad"))
                continue
            await self._ledger(lines)
            segment.unlink(missing_ok=True)

    def _make_room(self) -> None:
        sizes: dict[Path, int] = {}
        for segment in self._segments():
            # Handed over meanwhile, perhaps.
            with contextlib.suppress(FileNotFoundError):
                sizes[segment] = segment.stat().st_size
        total = sum(sizes.values())
        for segment, size in sizes.items():
            if total <= self._limit:
                return
            with contextlib.suppress(FileNotFoundError):
                count = segment.read_bytes().count(b"\n")
                segment.unlink()
                log.error("no room for records: %d of them are given up unaccounted", count)
                self._lost(count)
            total -= size

    def _segments(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


def to_line(record: object) -> str:
    """A record, which is a frozen dataclass of text, numbers, times and money, as one line of JSON; money and time as text, exactly."""
    # Not `asdict`, which copies every value deeply.
    row = {name: getattr(record, name) for name in _members(cast(Any, type(record)))}
    if orjson is not None:
        # What is no character in UTF-8, half a surrogate pair, is the standard library's to escape.
        with contextlib.suppress(TypeError):
            return orjson.dumps(row, default=_text, option=_AS_TEXT).decode()
    return _encode(row) + "\n"


def from_line(kind: type[Record], line: str | bytes) -> Record:
    """The record of ``kind`` in a line of `to_line`. Raises ValueError, KeyError or TypeError for any other line."""
    row = json.loads(line)
    for name, read in _members(cast(Any, kind)).items():
        if read is not None and row[name] is not None:
            row[name] = read(row[name])
    return kind(**row)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_AS_TEXT: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_APPEND_NEWLINE if orjson else 0
_encode: Final = json.JSONEncoder(separators=(",", ":"), default=_text).encode


@cache
def _members(kind: Any) -> dict[str, Callable[[Any], Any] | None]:
    """Names of a record's members, with what reads those that JSON has no type for."""
    hints = get_type_hints(kind)
    readers: dict[type, Callable[[Any], Any]] = {datetime: datetime.fromisoformat, Decimal: Decimal}
    found = {}
    for member in fields(kind):
        types = (hints[member.name], *get_args(hints[member.name]))
        found[member.name] = next((readers[each] for each in types if each in readers), None)
    return found
