"""Figures of whole days, kept in the ledger once they are worked out; a record that comes late makes its day new again.

A day that is over is worked out when somebody asks for it or the service has time, and from then on only read. Each
transaction that changes what a day says raises that day's version, so what is kept is used only while nothing changed.
The days from today on are always worked out anew.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from neuralinverse_hub.economics import rows, schema
from neuralinverse_hub.economics.errors import LedgerAway
from neuralinverse_hub.economics.figures import Figures, figures_of
from neuralinverse_hub.economics.ledger import Ledger
from neuralinverse_hub.economics.prices import Prices
from neuralinverse_hub.economics.stints import DAY

__all__ = ["by_day", "figures"]

_FORM: Final = 2
"""Raised when figures are worked out or written in another way, so that what an earlier version kept is not used."""

log = logging.getLogger(__name__)


def figures(ledger: Ledger, prices: Prices, begin: int, end: int, now: int) -> Figures:
    """The figures of whole UTC days from ``begin`` to ``end``, in microseconds of Unix time. Raises `LedgerAway`."""
    total = Figures()
    by_day(ledger, prices, begin, end, now, total.add)
    return total


def by_day(
    ledger: Ledger, prices: Prices, begin: int, end: int, now: int, take: Callable[[Figures], None]
) -> list[int]:
    """Hand the figures of each day over, in order, those from today on as one; which days had to be worked out."""
    first, past = begin // DAY, min(end, now) // DAY
    digest = hashlib.sha256(f"{_FORM} {prices!r}".encode()).hexdigest()
    change, kept = schema.day_change, schema.day_figures
    with ledger.reading() as connection:
        # Before the rows are: a change in between then leaves a version that is too old, never one that is too new.
        versions: dict[int, int] = {
            day: version
            for day, version in connection.execute(
                sa.select(change.c.day, change.c.version).where(change.c.day >= first, change.c.day < past)
            )
        }
        known = {
            day: body
            for day, version, body in connection.execute(
                sa.select(kept.c.day, kept.c.version, kept.c.body).where(
                    kept.c.day >= first, kept.c.day < past, kept.c.prices == digest
                )
            )
            if version == versions.get(day, 0)
        }
    fresh: dict[int, Figures] = {}
    for day in range(first, past):
        if day in known:
            take(Figures.from_json(zlib.decompress(known[day])))
        else:
            fresh[day] = figures_of(rows.of_period(ledger, day * DAY, (day + 1) * DAY, now), prices)
            take(fresh[day])
    if past * DAY < end:
        take(figures_of(rows.of_period(ledger, max(begin, past * DAY), end, now), prices))
    if fresh:
        try:
            _keep(ledger, digest, {day: (versions.get(day, 0), found) for day, found in fresh.items()})
        except LedgerAway as error:
            # Somebody may read only; the next one works it out again.
            log.warning("figures of %d days are not kept: %s", len(fresh), error)
    return list(fresh)


def _keep(ledger: Ledger, digest: str, fresh: dict[int, tuple[int, Figures]]) -> None:
    kept = schema.day_figures
    rows_ = [
        {"day": day, "prices": digest, "version": version, "body": zlib.compress(found.to_json().encode(), 1)}
        for day, (version, found) in sorted(fresh.items())
    ]
    with ledger.writing() as connection:
        connection.execute(kept.delete().where(kept.c.day.in_([row["day"] for row in rows_])))
        connection.execute(ledger.insert(kept).on_conflict_do_nothing(), rows_)
