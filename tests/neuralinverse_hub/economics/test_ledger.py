"""The ledger's guarantees, on SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from neuralinverse_hub import wire
from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.errors import LedgerAway
from neuralinverse_hub.economics.ledger import ANONYMOUS, Ledger, micros
from neuralinverse_hub.economics.records import usage_row
from neuralinverse_hub.economics.stints import HOUR, Stint
from tests.neuralinverse_hub.economics.records import NOON, compute, usage

Opener = Callable[[], Ledger]


def rows(ledger: Ledger, table: sa.Table) -> list[dict[str, Any]]:
    order = list(table.primary_key.columns)
    with ledger.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*order)).mappings()]


def summed(ledger: Ledger) -> list[dict[str, Any]]:
    """What the sums have to be: made anew from the single rows."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows(ledger, schema.usage):
        hour = row["at"] // (3600 * 10**6)
        key = (hour, row["person"], row["workspace"], row["task"], row["model"])
        total = found.setdefault(
            key,
            {each.name: 0 for each in schema.usage_hour.columns}
            | dict(zip(("hour", "person", "workspace", "task", "model"), key, strict=True)),
        )
        total["requests"] += 1
        total["failed"] += row["status"] == "failed"
        total["pico"] += row["pico"] or 0
        for kind in ("input", "cached", "output"):
            total[f"{kind}_tokens"] += row[f"{kind}_tokens"]
            total[f"unpriced_{kind}"] += row[f"{kind}_tokens"] if row["pico"] is None else 0
        total["unpriced_requests"] += row["pico"] is None
    return sorted(found.values(), key=lambda row: [row[each.name] for each in schema.usage_hour.primary_key.columns])


def mixed(count: int) -> list[wire.UsageRecord]:
    chance = random.Random(7)
    return [
        usage(
            number,
            None if chance.random() < 0.2 else f"0.{chance.randrange(10**12):012d}",
            at=NOON + timedelta(minutes=chance.randrange(300)),
            person=chance.choice(["ada", "bob", "zoë"]),
            model=chance.choice(["llama-4", "deepseek-r1"]),
            input_tokens=chance.randrange(100, 10**6),
            status=chance.choice(["complete", "failed", "partial"]),
        )
        for number in range(count)
    ]


def test_a_record_comes_back_exactly(ledger: Ledger) -> None:
    cost = "0.123456789012"
    ledger.add_usage([usage(1, cost)])
    (row,) = rows(ledger, schema.usage)
    assert row["pico"] == 123456789012 and row["at"] == micros(NOON + timedelta(minutes=1))


def test_a_record_counts_once_however_often_it_comes(ledger: Ledger, open_ledger: Opener) -> None:
    records = mixed(200)
    assert ledger.add_usage(records[:150]).new == 150
    again = open_ledger().add_usage(records[100:] + records[190:])
    assert (again.new, again.known) == (50, 60)
    assert len(rows(ledger, schema.usage)) == 200
    assert rows(ledger, schema.usage_hour) == summed(ledger)


def test_sums_are_the_same_in_any_order_of_arrival(ledger: Ledger) -> None:
    records = mixed(300)
    random.Random(1).shuffle(records)
    for start in range(0, 300, 37):
        ledger.add_usage(records[start : start + 37])
    shuffled = rows(ledger, schema.usage_hour)
    ledger.downgrade("base")
    ledger.upgrade()
    ledger.add_usage(sorted(records, key=lambda record: record.at))
    assert rows(ledger, schema.usage_hour) == shuffled == summed(ledger)


def test_writers_beside_each_other_count_every_record_once(ledger: Ledger, open_ledger: Opener) -> None:
    records = mixed(400)
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        mine = records.copy()
        random.Random(seed).shuffle(mine)
        other = open_ledger()
        try:
            for start in range(0, 400, 80):
                other.add_usage(mine[start : start + 80])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(rows(ledger, schema.usage)) == 400
    assert rows(ledger, schema.usage_hour) == summed(ledger)


def test_what_cannot_be_is_named_and_the_others_are_taken(ledger: Ledger) -> None:
    wrong: list[dict[str, Any]] = [
        {"input_tokens": -1},
        {"cached_tokens": 1001},
        {"usd": Decimal("-0.01")},
        {"usd": Decimal("NaN")},
        {"usd": Decimal("1e9")},
        {"at": datetime(2026, 1, 1)},
        {"person": "a\0b"},
        {"model": "m" * 300},
        {"output_tokens": 1.5},
        {"person": None},
        {"duration_s": float("nan")},
    ]
    records = [replace(usage(number), **each) for number, each in enumerate(wrong)]
    taken = ledger.add_usage([*records, usage(99)])
    assert taken.new == 1 and len(taken.refused) == len(wrong)
    assert all("request-" in each for each in taken.refused)


def test_a_batch_that_breaks_off_leaves_nothing_behind(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(ledger, "_add_up", crash)
        ledger.add_usage(mixed(10))
    assert rows(ledger, schema.usage) == []
    assert ledger.add_usage(mixed(10)).new == 10


def test_starts_and_ends_make_one_stint_in_either_order(ledger: Ledger) -> None:
    end = NOON + timedelta(hours=2)
    ledger.add_compute([compute(ended=end), compute(), compute(workspace="thesis")])
    ledger.add_compute([compute(), compute(ended=end)])
    assert [(row["workspace"], row["ended"]) for row in rows(ledger, schema.stint)] == [
        ("default", micros(end)),
        ("thesis", None),
    ]


def test_what_the_hub_does_not_run_any_more_ended_when_it_was_last_seen(ledger: Ledger) -> None:
    began, seen, later = micros(NOON), micros(NOON + timedelta(minutes=20)), micros(NOON + timedelta(minutes=50))
    running = Stint("ada", "default", began, "medium", "eastus", None, True, seen)
    ledger.reconcile([running], seen)
    # The hub is away, comes back, and knows nothing of it. What other regions' hubs know is their own affair.
    ledger.reconcile([], later, "westeurope")
    assert rows(ledger, schema.stint)[0]["ended"] is None
    ledger.reconcile([], later, "eastus")
    (row,) = rows(ledger, schema.stint)
    assert (row["ended"], row["exact"]) == (seen, False)
    # Its own record of the end arrives after all.
    end = NOON + timedelta(minutes=31)
    ledger.add_compute([compute(ended=end)])
    (row,) = rows(ledger, schema.stint)
    assert (row["ended"], row["exact"]) == (micros(end), True)


def test_what_the_hub_runs_after_all_has_not_ended(ledger: Ledger) -> None:
    began = micros(NOON)
    running = Stint("ada", "default", began, "medium", "eastus", None, True, began)
    ledger.reconcile([running], began)
    # Just restarted, the hub has not looked after everybody's workspace yet.
    ledger.reconcile([], began + HOUR, "eastus")
    assert rows(ledger, schema.stint)[0]["ended"] == began
    ledger.reconcile([replace(running, seen=began + 2 * HOUR)], began + 2 * HOUR, "eastus")
    assert rows(ledger, schema.stint)[0]["ended"] is None


def test_an_end_before_its_start_is_kept_as_no_time_at_all(ledger: Ledger) -> None:
    assert ledger.add_compute([compute(ended=NOON - timedelta(minutes=5))]).refused == []
    (row,) = rows(ledger, schema.stint)
    assert row["ended"] == row["started"] and not row["exact"]


def test_pseudonyms_take_the_place_of_names_and_sums_stay(ledger: Ledger) -> None:
    ledger.add_usage(
        [usage(n, person=person, at=NOON + timedelta(days=n)) for n, person in enumerate(["ada", "bob", "ada"])]
    )
    ended = compute(ended=NOON + timedelta(hours=1))
    ledger.add_compute([ended])
    before = sum(row["pico"] for row in rows(ledger, schema.usage_hour))
    assert ledger.pseudonymise(micros(NOON + timedelta(days=2))) == 2
    # Late and double: about the same people.
    ledger.add_compute([ended, compute()])
    ledger.add_usage([usage(0), usage(5, person="ada", at=NOON)])
    ledger.pseudonymise(micros(NOON + timedelta(days=2)))
    people = [row["person"] for row in rows(ledger, schema.usage_hour)]
    assert sorted(each.startswith(ANONYMOUS) for each in people) == [False, True, True]
    assert len(rows(ledger, schema.stint)) == 1 and rows(ledger, schema.stint)[0]["person"] in people
    assert sum(row["pico"] for row in rows(ledger, schema.usage_hour)) == before + 10**9


def test_forgotten_requests_keep_their_sums_and_do_not_come_back(ledger: Ledger) -> None:
    records = [usage(n, at=NOON + timedelta(days=n)) for n in range(4)]
    ledger.add_usage(records)
    before = rows(ledger, schema.usage_hour)
    assert ledger.forget(micros(NOON + timedelta(days=2))) == 2
    again = ledger.add_usage(records)
    assert (again.new, again.known, len(again.refused)) == (0, 2, 2)
    assert "are kept since" in again.refused[0]
    assert rows(ledger, schema.usage_hour) == before


def test_weights_are_kept_until_they_are_taken_back(ledger: Ledger, open_ledger: Opener) -> None:
    ledger.set_weight("ada", "0.5")
    ledger.set_weight("bob", "0.25")
    ledger.set_weight("ada", None)
    assert open_ledger().weights() == {"bob": 0.25}


def test_volumes_count_once(ledger: Ledger) -> None:
    record = wire.VolumeRecord("v1", NOON, "storage", "ada", "default", "eastus", 10**11)
    bad = replace(record, record_id="v2", amount=-1)
    taken = ledger.add_volume([record, record, bad])
    assert (taken.new, taken.known, len(taken.refused)) == (1, 1, 1)


def test_the_migrations_make_the_tables_that_the_code_knows_and_go_back(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(connection, opts={"version_table": schema.VERSION_TABLE}), schema.metadata
            )
            == []
        )
    ledger.upgrade()
    ledger.downgrade("base")
    with ledger.reading() as connection:
        assert sa.inspect(connection).get_table_names() == [schema.VERSION_TABLE]
    ledger.upgrade()
    assert ledger.add_usage([usage(1)]).new == 1


def test_requests_of_an_earlier_version_stay_when_the_tables_learn_who_asked(ledger: Ledger) -> None:
    ledger.downgrade("0003")
    columns = [each.name for each in schema.usage.columns if each.name != "client"]
    row = usage_row(usage(1), 0)
    with ledger.writing() as connection:
        connection.execute(
            sa.text(f"INSERT INTO usage ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"),
            {name: row[name] for name in columns},
        )
    ledger.upgrade()
    assert ledger.add_usage([usage(1), usage(2, client="OpenAI/Python 2.14.0")]).known == 1
    with ledger.reading() as connection:
        clients = connection.execute(sa.select(schema.usage.c.client).order_by(schema.usage.c.request_id))
        assert clients.scalars().all() == ["", "OpenAI/Python 2.14.0"]


def test_tables_of_a_newer_version_are_left_alone(ledger: Ledger) -> None:
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE economics_version SET version_num = '9999'")
    with pytest.raises(LedgerAway, match="newer version"):
        ledger.upgrade()


def test_a_database_that_is_away_is_said_to_be_without_its_password() -> None:
    ledger = Ledger("postgresql+psycopg://ledger:hunter2@/x?host=/nonexistent&connect_timeout=2")
    with pytest.raises(LedgerAway, match="does not answer") as raised:
        ledger.add_usage([usage(1, at=datetime.now(UTC))])
    assert "hunter2" not in str(raised.value)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "economics.sqlite").write_bytes(b"this is no database at all" * 100)
    broken = Ledger(f"sqlite:///{tmp_path}/economics.sqlite")
    with pytest.raises(LedgerAway, match="not a database"):
        broken.upgrade()
    broken.close()


def test_the_hubs_own_database_may_hold_it_too(url: str) -> None:
    from jupyterhub import orm

    engine = sa.create_engine(url)
    orm.check_db_revision(engine)
    orm.Base.metadata.create_all(engine)
    ledger = Ledger(url)
    ledger.upgrade()
    assert ledger.add_usage([usage(1)]).new == 1
    # Neither takes the other's tables for its own.
    orm.check_db_revision(engine)
    ledger.upgrade()
    assert len(rows(ledger, schema.usage)) == 1
    ours = set(schema.metadata.tables)
    assert not ours & set(orm.Base.metadata.tables)
    engine.dispose()
    ledger.close()
