"""What the service does by itself, again and again: ask the hub what runs, add everything up for the metrics, look for what
is unusual, and forget what is old.

A round that fails is logged and comes again; it never ends the service.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from neuralinverse_hub.economics import alerts, days, hub_api, rows
from neuralinverse_hub.economics.anomaly import Alert
from neuralinverse_hub.economics.desk import Desk, now
from neuralinverse_hub.economics.errors import EconomicsError
from neuralinverse_hub.economics.figures import Amounts
from neuralinverse_hub.economics.ledger import Ledger, moment
from neuralinverse_hub.economics.money import show_usd
from neuralinverse_hub.economics.periods import months
from neuralinverse_hub.economics.stints import DAY, HOUR

__all__ = ["Retention", "Rounds"]

RECONCILE_S: Final = 60.0
TOTALS_S: Final = 60.0
RETENTION_S: Final = 3600.0
ALERTS_S: Final = 300.0
_OLD_S: Final = 3600
"""How long the sum of a month that is over stands: what comes late is in it after that."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """Days after which names become pseudonyms, and single requests are removed; 0: never."""

    names_days: int
    requests_days: int


class Rounds:
    """The tasks. ``hub`` and ``token`` are the hub's API and the service's token for it; empty: the hub is not asked."""

    def __init__(self, desk: Desk, hub: str, token: str, region: str, retention: Retention) -> None:
        self._desk = desk
        self._hub = hub
        self._token = token
        self._region = region
        self._retention = retention
        self._told: set[tuple[str, int]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._months: dict[tuple[int, int], tuple[int, Amounts, int]] = {}

    def open(self) -> None:
        """Begin."""
        self._every("the totals", TOTALS_S, self.add_up)
        self._every("retention", RETENTION_S, self.retain)
        self._every("looking for what is unusual", ALERTS_S, self.watch)
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

    async def retain(self) -> None:
        """Put pseudonyms in the place of old names, and remove old requests, a day at a time."""
        at, keep = now(), self._retention
        if keep.names_days:
            # What open workspaces did is about people who are here.
            people = await self._desk.book.write(lambda ledger: _pseudonymise(ledger, at - keep.names_days * DAY))
            if people:
                log.info("pseudonyms took the place of %d names from more than %d days ago", people, keep.names_days)
        if keep.requests_days:
            before, removed, some = at - keep.requests_days * DAY, 0, True
            while some:
                count = await self._desk.book.write(lambda ledger: _forget_a_day(ledger, before))
                some = count is not None
                removed += count or 0
            if removed:
                log.info("%d requests from more than %d days ago were removed", removed, keep.requests_days)

    async def watch(self) -> None:
        """Say once of every person-hour of the last two days that it is far outside of what a month's are."""
        prices = self._desk.prices.current()
        at = now()
        begin = (at // DAY - 30) * DAY

        def found(ledger: Ledger) -> list[Alert]:
            figures = days.figures(ledger, prices, begin, (at // DAY + 1) * DAY, at)
            return [each for each in alerts.of_period(ledger, figures) if each.hour * HOUR > at - 2 * DAY]

        unusual = await self._desk.book.read(found)
        self._desk.metrics.unusual.set(len(unusual))
        for alert in unusual:
            if (alert.person, alert.hour) not in self._told:
                self._told.add((alert.person, alert.hour))
                hour = moment(alert.hour * HOUR)
                log.warning(
                    "far outside of what is usual: %s used AI for %s USD in the hour of %s: %s",
                    alert.person,
                    show_usd(alert.pico),
                    f"{hour:%Y-%m-%d %H:%M} UTC",
                    alert.cause,
                )


def _pseudonymise(ledger: Ledger, before: int) -> int:
    return ledger.pseudonymise(before) if ledger.has_secret else 0


def _forget_a_day(ledger: Ledger, before: int) -> int | None:
    """Remove the oldest day's requests; how many, or None when none is older than ``before``."""
    oldest = rows.oldest_request(ledger)
    if oldest is None or oldest >= before:
        return None
    return ledger.forget(min((oldest // DAY + 1) * DAY, before))
