"""What the service does by itself, again and again: ask the hub what runs, and add everything up for the metrics.

A round that fails is logged and comes again; it never ends the service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from neuralinverse_hub.economics import days, hub_api, rows
from neuralinverse_hub.economics.desk import Desk, now
from neuralinverse_hub.economics.errors import EconomicsError
from neuralinverse_hub.economics.figures import Amounts
from neuralinverse_hub.economics.ledger import Ledger
from neuralinverse_hub.economics.periods import months

__all__ = ["Rounds"]

RECONCILE_S: Final = 60.0
TOTALS_S: Final = 60.0
_OLD_S: Final = 3600
"""How long the sum of a month that is over stands: what comes late is in it after that."""

log = logging.getLogger(__name__)


class Rounds:
    """The tasks. ``hub`` and ``token`` are the hub's API and the service's token for it; empty: the hub is not asked."""

    def __init__(self, desk: Desk, hub: str, token: str, region: str) -> None:
        self._desk = desk
        self._hub = hub
        self._token = token
        self._region = region
        self._tasks: list[asyncio.Task[None]] = []
        self._months: dict[tuple[int, int], tuple[int, Amounts, int]] = {}

    def open(self) -> None:
        """Begin."""
        self._every("the totals", TOTALS_S, self.add_up)
        if self._hub and self._token:
            self._every("reconciling with the hub", RECONCILE_S, self.reconcile)

    async def close(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _every(self, what: str, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            while True:
                # While the ledger is being opened there is nothing to do.
                await self._desk.book.opened.wait()
                try:
                    await work()
                    self._desk.metrics.ready.set(1)
                except EconomicsError as error:
                    self._desk.metrics.ready.set(0)
                    log.warning("%s: %s", what, error)
                except Exception as error:
                    log.warning("%s: %s: %s; trying again", what, type(error).__name__, error)
                await asyncio.sleep(pause_s)

        self._tasks.append(asyncio.create_task(run()))

    async def reconcile(self) -> None:
        """Take over what the hub says is running."""
        at = now()
        running = await hub_api.running(self._hub, self._token, self._region, at)
        await self._desk.book.write(lambda ledger: ledger.reconcile(running, at, self._region))
        self._desk.metrics.reconciled.set(at / 10**6)

    async def add_up(self) -> None:
        """Renew the totals of the metrics."""
        prices = self._desk.prices.current()
        at = now()

        def of_months(ledger: Ledger) -> tuple[Amounts, int]:
            total, unpriced = Amounts(), 0
            first = rows.first(ledger)
            for month in months(first, at) if first is not None else ():
                made, amounts, tokens = self._months.get(month, (0, Amounts(), 0))
                if not made or month[1] > at or at - made > _OLD_S * 10**6:
                    found = days.figures(ledger, prices, *month, at)
                    amounts, tokens = found.total, found.unpriced.tokens.total()
                    self._months[month] = at, amounts, tokens
                total.add(amounts)
                unpriced += tokens
            return total, unpriced

        totals = self._desk.metrics.totals
        totals.amounts, totals.unpriced_tokens = await self._desk.book.read(of_months)
