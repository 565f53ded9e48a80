"""The ledger within the service: opened as soon as its database answers, used in threads, never in the way of the others.

A database that is away is a state and no error: who writes is told to come again, and the service stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from neuralinverse_hub.economics.errors import BadPrices, LedgerAway
from neuralinverse_hub.economics.ledger import Ledger
from neuralinverse_hub.economics.prices import Prices, read

__all__ = ["Book", "PriceBook"]

T = TypeVar("T")

LONGEST_PAUSE_S: Final = 30.0
_READERS: Final = 3

log = logging.getLogger(__name__)


class Book:
    """One ledger. ``url`` and ``secret`` are those of `Ledger`."""

    def __init__(self, url: str, secret: bytes) -> None:
        self._url = url
        self._secret = secret
        self._ledger: Ledger | None = None
        self.cause = "the ledger is being opened"
        """Why nothing could be read or written just now; empty when it could."""
        self.opened = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "ledger-writes")
        self._readers = ThreadPoolExecutor(_READERS, "ledger-reads")
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to open the ledger, again and again until it works."""
        self._task = asyncio.create_task(self._open())

    async def close(self) -> None:
        """Finish what is being written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown, cancel_futures=True)
        if self._ledger is not None:
            self._ledger.close()

    async def _open(self) -> None:
        pause = 1.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._ledger = await loop.run_in_executor(self._writer, self._upgraded)
            except LedgerAway as error:
                self.cause = str(error)
                log.error("%s; trying again in %.0f s", error, pause)
            except Exception:
                self.cause = "the ledger cannot be opened; the service's log says why"
                log.exception("the ledger cannot be opened; trying again in %.0f s", pause)
            else:
                self.cause = ""
                self.opened.set()
                log.info("the ledger is %s", self._ledger.name)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _upgraded(self) -> Ledger:
        ledger = Ledger(self._url, self._secret)
        try:
            ledger.upgrade()
        except BaseException:
            ledger.close()
            raise
        return ledger

    async def write(self, work: Callable[[Ledger], T]) -> T:
        """What ``work`` gives, one after the other. Raises `LedgerAway`."""
        return await self._within(self._writer, work)

    async def read(self, work: Callable[[Ledger], T]) -> T:
        """What ``work`` gives, beside what others read or write. Raises `LedgerAway`."""
        return await self._within(self._readers, work)

    async def beside(self, work: Callable[[], T]) -> T:
        """What ``work`` gives, in a thread of those that read."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def _within(self, executor: ThreadPoolExecutor, work: Callable[[Ledger], T]) -> T:
        if self._ledger is None:
            raise LedgerAway(self.cause)
        try:
            found = await asyncio.get_running_loop().run_in_executor(executor, work, self._ledger)
        except LedgerAway as error:
            self.cause = str(error)
            raise
        self.cause = ""
        return found


class PriceBook:
    """The operator's price list, read again when its file changes; a wrong one leaves the last good one in force."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._good: Prices | None = None
        self._changed: object = None
        self.problem = ""
        """What is wrong with the file as it is now."""

    def current(self) -> Prices:
        """The prices to reckon with. Raises `BadPrices` when there never were any."""
        changed = self._stamp()
        if self._good is None or changed != self._changed:
            self._changed = changed
            try:
                self._good = read(self._path)
                self.problem = ""
            except BadPrices as error:
                self.problem = str(error)
                log.error("the price list stays as it was: %s", error)
        if self._good is None:
            raise BadPrices(self.problem)
        return self._good

    def _stamp(self) -> object:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return "away"
        return status.st_mtime_ns, status.st_size, status.st_ino
