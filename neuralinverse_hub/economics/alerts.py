"""Alerts out of the ledger: which person-hours of a period are far outside, with what their requests say."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.anomaly import Alert, Request, cause, threshold
from neuralinverse_hub.economics.figures import Figures
from neuralinverse_hub.economics.ledger import Ledger
from neuralinverse_hub.economics.stints import HOUR

__all__ = ["of_period", "requests_of"]

_MOST: Final = 20


def of_period(ledger: Ledger, figures: Figures) -> list[Alert]:
    """The hours far outside of what is usual in ``figures``, the dearest first. Raises `LedgerAway`."""
    bound = threshold(figures.costs)
    if bound is None:
        return []
    found = []
    for pico, hour, person in figures.tail[:_MOST]:
        if pico > bound:
            words, loop = cause(requests_of(ledger, person, hour))
            found.append(Alert(person, hour, pico, words, loop))
    return found


def requests_of(ledger: Ledger, person: str, hour: int) -> list[Request]:
    """The requests of a person in an hour of Unix time, in order."""
    usage = schema.usage
    columns = (
        usage.c.at,
        usage.c.workspace,
        usage.c.task,
        usage.c.model,
        usage.c.input_tokens,
        usage.c.output_tokens,
        sa.func.coalesce(usage.c.pico, 0),
        usage.c.retries,
        usage.c.client,
    )
    within = (usage.c.at >= hour * HOUR, usage.c.at < (hour + 1) * HOUR, usage.c.person == person)
    with ledger.reading() as connection:
        return [Request(*row) for row in connection.execute(sa.select(*columns).where(*within).order_by(usage.c.at))]
