"""What the report needs out of the ledger, already summed by the database where that makes it smaller."""

from __future__ import annotations

import sqlalchemy as sa

from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.figures import Rows
from neuralinverse_hub.economics.ledger import Ledger
from neuralinverse_hub.economics.stints import HOUR, Stint

__all__ = ["first", "of_period", "oldest_request", "used"]


def used(ledger: Ledger) -> tuple[set[str], set[str]]:
    """Models whose use the gateway knew no price for, and sizes that ran."""
    hours = schema.usage_hour
    with ledger.reading() as connection:
        models = connection.scalars(sa.select(hours.c.model).where(hours.c.unpriced_requests > 0).distinct())
        sizes = connection.scalars(sa.select(schema.stint.c.size).distinct())
        return set(models), set(sizes)


def first(ledger: Ledger) -> int | None:
    """When the ledger's first record is of, in microseconds of Unix time; None: it has none."""
    with ledger.reading() as connection:
        hour = connection.scalar(sa.select(sa.func.min(schema.usage_hour.c.hour)))
        started = connection.scalar(sa.select(sa.func.min(schema.stint.c.started)))
        at = connection.scalar(sa.select(sa.func.min(schema.volume.c.at)))
    return min((each for each in (hour and hour * HOUR, started, at) if each is not None), default=None)


def oldest_request(ledger: Ledger) -> int | None:
    """When the oldest single request that is kept is of, in microseconds of Unix time."""
    with ledger.reading() as connection:
        at: int | None = connection.scalar(sa.select(sa.func.min(schema.usage.c.at)))
        return at


def of_period(ledger: Ledger, begin: int, end: int, now: int) -> Rows:
    """The rows of whole hours from ``begin`` to ``end``, microseconds of Unix time. Raises `LedgerAway`."""
    hours, stints, volumes = schema.usage_hour, schema.stint, schema.volume
    within = sa.and_(hours.c.hour >= begin // HOUR, hours.c.hour < -(-end // HOUR))
    place = (hours.c.hour, hours.c.person, hours.c.workspace)
    kind = (hours.c.task, hours.c.model)
    sums = (hours.c.requests, hours.c.input_tokens, hours.c.cached_tokens, hours.c.output_tokens, hours.c.pico)
    tokens = (hours.c.unpriced_input, hours.c.unpriced_cached, hours.c.unpriced_output)

    def added(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        # PostgreSQL's sums of 64 bits are NUMERIC, and come as Decimal.
        return sa.cast(sa.func.sum(column), sa.BigInteger)

    volume_hour = volumes.c.at // HOUR
    where = (volumes.c.person, volumes.c.workspace, volumes.c.region)
    later = stints.alias()
    # Whose workspace was started again before the period was over by then, whatever else is known of its end.
    restarted = sa.exists().where(
        later.c.person == stints.c.person,
        later.c.workspace == stints.c.workspace,
        later.c.started > stints.c.started,
        later.c.started <= begin,
    )
    overlapping = sa.select(stints).where(
        stints.c.started < end,
        sa.or_(stints.c.ended.is_(None), stints.c.ended > begin, stints.c.started >= begin),
        ~restarted,
    )
    with ledger.reading() as connection:
        return Rows(
            begin,
            end,
            now,
            [Stint(**row) for row in connection.execute(overlapping).mappings()],
            [
                (hour, person, workspace, int(pico))
                for hour, person, workspace, pico in connection.execute(
                    sa.select(*place, added(hours.c.pico)).where(within).group_by(*place)
                )
            ],
            [
                tuple(row)
                for row in connection.execute(
                    sa.select(*place, *kind, added(hours.c.unpriced_requests), *map(added, tokens))
                    .where(within, hours.c.unpriced_requests > 0)
                    .group_by(*place, *kind)
                )
            ],
            [
                tuple(row)
                for row in connection.execute(
                    sa.select(*kind, *map(added, sums)).where(within).group_by(*kind).order_by(*kind)
                )
            ],
            [
                tuple(row)
                for row in connection.execute(
                    sa.select(volumes.c.kind, volume_hour, *where, added(volumes.c.amount))
                    .where(volumes.c.at >= begin, volumes.c.at < end)
                    .group_by(volumes.c.kind, volume_hour, *where)
                )
            ],
        )
