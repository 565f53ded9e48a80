"""The ledger: takes records in, keeps their sums right, and hands rows out. Decides nothing about prices.

Guarantees, each with a test:
- a record that comes twice, late, or beside others in another process counts once, and sums are right at every moment;
- a batch is taken whole or not at all, so that who is told no may send it again;
- what cannot be a record is named and left out; the others are taken.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from neuralinverse_hub import wire
from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.database import Database
from neuralinverse_hub.economics.errors import BadRecord, LedgerAway
from neuralinverse_hub.economics.records import check_texts, micros, moment, stint_of, usage_row
from neuralinverse_hub.economics.stints import DAY, Stint, merged

__all__ = ["Ledger", "Taken", "micros", "moment"]

_SUMS: Final = tuple(each.name for each in schema.usage_hour.columns if not each.primary_key)
_KEYS: Final = tuple(each.name for each in schema.usage_hour.columns if each.primary_key)
_SOME: Final = 500
"""Rows of one statement; below every database's limit of parameters."""
ANONYMOUS: Final = "anonymous/"
"""Begins the pseudonyms. No hub gives a person a name with a slash."""


@dataclass(slots=True)
class Taken:
    """What became of a batch: how many were new, how many were known, and what was wrong with the others."""

    new: int = 0
    known: int = 0
    refused: list[str] = field(default_factory=list)


class Ledger(Database):
    """The ledger in one database, whose ``url`` is SQLAlchemy's.

    ``secret`` is what pseudonyms are made with; always the same for one database. ``clock`` is in microseconds of Unix time.
    """

    def __init__(
        self, url: str, secret: bytes = b"", clock: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        super().__init__(url)
        self._secret = secret
        self._clock = clock

    @property
    def has_secret(self) -> bool:
        """Whether it can make pseudonyms."""
        return bool(self._secret)

    def _changed(self, connection: sa.Connection, days: Iterable[int]) -> None:
        """Note that what these days say is another now."""
        table = schema.day_change
        found = [{"day": day, "version": 1} for day in sorted(set(days))]
        insert = self.insert(table)
        upsert = insert.on_conflict_do_update(index_elements=["day"], set_={"version": table.c.version + 1})
        if found:
            connection.execute(upsert, found)

    # -- records in ----------------------------------------------------------------------------------------------------

    def add_usage(self, records: Sequence[wire.UsageRecord]) -> Taken:
        """Take what the gateway measured."""
        taken = Taken()
        rows: dict[str, dict[str, Any]] = {}
        with self.writing() as connection:
            since = int(_note(connection, "records_since") or 0)
            for record in records:
                try:
                    row = usage_row(record, since)
                except (BadRecord, TypeError, AttributeError, OverflowError) as error:
                    taken.refused.append(f"usage {str(record.request_id)[:80]!r}: {error}")
                    continue
                taken.known += row["request_id"] in rows
                rows.setdefault(row["request_id"], row)
            new = self._insert_new(connection, schema.usage, sorted(rows.values(), key=lambda row: row["request_id"]))
            self._add_up(connection, [rows[each] for each in new])
            self._changed(connection, (rows[each]["at"] // DAY for each in new))
        taken.new = len(new)
        taken.known += len(rows) - len(new)
        return taken

    def _insert_new(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Insert the rows whose key is not there; their keys."""
        (key,) = table.primary_key.columns
        found: list[str] = []
        for some in _in_parts(rows):
            known = set(connection.scalars(sa.select(key).where(key.in_([row[key.name] for row in some]))))
            fresh = [row for row in some if row[key.name] not in known]
            if not fresh:
                continue
            if self.is_sqlite:
                # The transaction is the only writer, so what was not there is not there now.
                connection.execute(table.insert(), fresh)
                found += [row[key.name] for row in fresh]
            else:
                insert = postgresql.insert(table).on_conflict_do_nothing().returning(key)
                found += connection.scalars(insert, fresh)
        return found

    def _add_up(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        sums: dict[tuple[Any, ...], list[int]] = {}
        for row in rows:
            key = (row["at"] // (3600 * 10**6), row["person"], row["workspace"], row["task"], row["model"])
            total = sums.setdefault(key, [0] * len(_SUMS))
            unpriced = row["pico"] is None and row["input_tokens"] + row["output_tokens"] > 0
            tokens = row["input_tokens"], row["cached_tokens"], row["output_tokens"]
            values = (1, row["status"] == "failed", *tokens, row["pico"] or 0, unpriced)
            for place, value in enumerate((*values, *(tokens if unpriced else (0, 0, 0)))):
                total[place] += value
        # In one order everywhere, so that two writers never wait for each other in a circle.
        self._upsert_hours(
            connection, [dict(zip((*_KEYS, *_SUMS), (*key, *sums[key]), strict=True)) for key in sorted(sums)]
        )

    def _upsert_hours(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        table = schema.usage_hour
        insert: Any = self.insert(table)
        upsert = insert.on_conflict_do_update(
            index_elements=list(_KEYS), set_={name: table.c[name] + insert.excluded[name] for name in _SUMS}
        )
        if rows:
            connection.execute(upsert, list(rows))

    def add_compute(self, records: Sequence[wire.ComputeRecord]) -> Taken:
        """Take what the hub saw of workspaces: that one runs, or that it ended."""
        taken = Taken()
        stints: list[Stint] = []
        for record in records:
            try:
                stints.append(stint_of(record))
            except (BadRecord, TypeError, AttributeError) as error:
                taken.refused.append(
                    f"workspace {str(record.workspace)[:80]!r} of {str(record.person)[:80]!r}: {error}"
                )
        with self.writing() as connection:
            for stint in sorted(stints, key=lambda each: each.key):
                is_new = self._add_stint(connection, stint)
                taken.new += is_new
                taken.known += not is_new
        return taken

    def _add_stint(self, connection: sa.Connection, stint: Stint) -> bool:
        table = schema.stint
        if self._secret:
            # A late report of one whose person has a pseudonym by now is about that one.
            alias = replace(stint, person=_pseudonym(stint.person, self._secret))
            same = [table.c[name] == getattr(alias, name) for name in ("person", "workspace", "started")]
            if connection.scalar(sa.select(table.c.started).where(*same)) is not None:
                stint = alias
        insert: Any = self.insert(table)
        # Not its rowcount, which drivers leave open here.
        placed = connection.execute(insert.values(asdict(stint)).on_conflict_do_nothing().returning(table.c.started))
        if placed.first() is not None:
            self._changed(connection, self._days(stint))
            return True
        here = sa.and_(
            table.c.person == stint.person, table.c.workspace == stint.workspace, table.c.started == stint.started
        )
        known = Stint(**connection.execute(sa.select(table).where(here).with_for_update()).mappings().one())
        both = merged(known, stint)
        connection.execute(table.update().where(here).values(asdict(both)))
        if (both.ended, both.size, both.region) != (known.ended, known.size, known.region):
            self._changed(connection, self._days(both))
        return False

    def _days(self, stint: Stint) -> range:
        """The days whose figures a stint can change: from its start on, because it may have seemed to go on till now."""
        return range(stint.started // DAY, max(self._clock(), stint.ended or 0) // DAY + 1)

    def reconcile(self, running: Sequence[Stint], now: int, region: str = "") -> Taken:
        """Take what the hub of ``region`` says is running now, all of it: what the ledger thinks runs there and the hub
        does not has ended.

        When it ended nobody saw; until somebody says so it counts until it was last seen.
        """
        taken = Taken()
        keys = {each.key for each in running}
        with self.writing() as connection:
            for stint in sorted(running, key=lambda each: each.key):
                is_new = self._add_stint(connection, stint)
                taken.new += is_new
                taken.known += not is_new
            table = schema.stint
            for row in (
                connection.execute(sa.select(table).where(table.c.ended.is_(None), table.c.region.in_({"", region})))
                .mappings()
                .all()
            ):
                stint = Stint(**row)
                # One that began while the hub was being asked is not in its answer yet.
                if stint.key not in keys and stint.started < now - 60 * 10**6:
                    here = [table.c[name] == getattr(stint, name) for name in ("person", "workspace", "started")]
                    connection.execute(table.update().where(*here).values(ended=stint.seen, exact=False))
                    self._changed(connection, self._days(stint))
        return taken

    def add_volume(self, records: Sequence[wire.VolumeRecord]) -> Taken:
        """Take storage held and bytes sent."""
        taken = Taken()
        rows: dict[str, dict[str, Any]] = {}
        for record in records:
            try:
                row = {**asdict(record), "at": micros(record.at)}
                check_texts(row, schema.volume)
                if record.kind not in ("storage", "network") or not 0 <= record.amount < 2**60:
                    raise BadRecord(f"{record.amount} of {record.kind!r}; storage or network, and not below 0")
            except (BadRecord, TypeError, AttributeError) as error:
                taken.refused.append(f"volume {str(record.record_id)[:80]!r}: {error}")
                continue
            taken.known += record.record_id in rows
            rows.setdefault(record.record_id, row)
        with self.writing() as connection:
            new = self._insert_new(connection, schema.volume, sorted(rows.values(), key=lambda row: row["record_id"]))
            self._changed(connection, (rows[each]["at"] // DAY for each in new))
        taken.new = len(new)
        taken.known += len(rows) - len(new)
        return taken

    # -- what an operator decided ---------------------------------------------------------------------------------------

    def weights(self) -> dict[str, float]:
        """People's weights in the fair queues; who is not in it weighs 1."""
        with self.reading() as connection:
            rows = connection.execute(sa.select(schema.weight.c.person, schema.weight.c.weight))
            return {person: float(weight) for person, weight in rows}

    def set_weight(self, person: str, weight: str | None) -> None:
        """Give a person a smaller share beside others who wait, ``"0.5"`` e.g., or with None a full one again."""
        if weight is not None and not 0 < float(weight) <= 1:
            raise BadRecord(f"a weight of {weight} is none; above 0 and at most 1")
        with self.writing() as connection:
            connection.execute(schema.weight.delete().where(schema.weight.c.person == person))
            if weight is not None and float(weight) < 1:
                connection.execute(schema.weight.insert().values(person=person, weight=weight))

    # -- what is not kept ----------------------------------------------------------------------------------------------

    def pseudonymise(self, before: int) -> int:
        """Put pseudonyms in the place of names in all that happened before then; how many people that were.

        One person's pseudonym is always the same, so that distributions stay what they were; who does not have the
        secret cannot go back from it. ``before`` is rounded down to a whole hour.
        """
        if not self._secret:
            raise LedgerAway("pseudonyms need a secret, and this ledger was opened without one")
        secret = self._secret
        hour = before // (3600 * 10**6)
        limits: list[tuple[sa.Table, Any]] = [
            (schema.usage, schema.usage.c.at < hour * 3600 * 10**6),
            (schema.volume, schema.volume.c.at < hour * 3600 * 10**6),
            (schema.stint, sa.and_(schema.stint.c.ended.is_not(None), schema.stint.c.ended < hour * 3600 * 10**6)),
        ]
        people: set[str] = set()
        with self.writing() as connection:
            for table, old in limits:
                named = old & ~table.c.person.startswith(ANONYMOUS)
                for person in connection.scalars(sa.select(table.c.person).where(named).distinct()).all():
                    people.add(person)
                    change = table.update().where(named & (table.c.person == person))
                    connection.execute(change.values(person=_pseudonym(person, secret)))
            hours = schema.usage_hour
            named = (hours.c.hour < hour) & ~hours.c.person.startswith(ANONYMOUS)
            rows = connection.execute(sa.select(hours).where(named)).mappings().all()
            connection.execute(hours.delete().where(named))
            people.update(row["person"] for row in rows)
            renamed = [{**row, "person": _pseudonym(row["person"], secret)} for row in rows]
            self._upsert_hours(connection, sorted(renamed, key=lambda row: [row[name] for name in _KEYS]))
            versions, kept = schema.day_change, schema.day_figures
            old_days = versions.update().where(versions.c.day <= hour // 24)
            connection.execute(old_days.values(version=versions.c.version + 1))
            connection.execute(kept.delete().where(kept.c.day <= hour // 24))
        return len(people)

    def forget(self, before: int) -> int:
        """Remove single requests from before then; their sums stay. A record as old that comes later is refused.

        How many were removed.
        """
        with self.writing() as connection:
            since = max(before, int(_note(connection, "records_since") or 0))
            connection.execute(schema.note.delete().where(schema.note.c.name == "records_since"))
            connection.execute(schema.note.insert().values(name="records_since", value=str(since)))
            return connection.execute(schema.usage.delete().where(schema.usage.c.at < since)).rowcount


def _note(connection: sa.Connection, name: str) -> str | None:
    return connection.scalar(sa.select(schema.note.c.value).where(schema.note.c.name == name))


def _in_parts(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    return (rows[start : start + _SOME] for start in range(0, len(rows), _SOME))


def _pseudonym(person: str, secret: bytes) -> str:
    return ANONYMOUS + hmac.digest(secret, person.encode(), hashlib.sha256).hex()[:24]
