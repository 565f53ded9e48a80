"""What the service does by itself: forget what is old, and tell the operator what is unusual."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.anomaly import Request, cause, threshold
from neuralinverse_hub.economics.book import Book, PriceBook
from neuralinverse_hub.economics.desk import Desk
from neuralinverse_hub.economics.errors import LedgerAway
from neuralinverse_hub.economics.hub_api import stints_of
from neuralinverse_hub.economics.ledger import Ledger, micros
from neuralinverse_hub.economics.rounds import Retention, Rounds
from tests.neuralinverse_hub.economics import postgres
from tests.neuralinverse_hub.economics.month import a_month
from tests.neuralinverse_hub.economics.records import compute, usage

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
async def desk(url: str) -> AsyncIterator[Desk]:
    book = Book(url, b"a secret of the tests")
    book.open()
    await book.opened.wait()
    yield Desk(book, PriceBook(None))
    await book.close()


async def test_what_is_old_loses_its_name_and_then_its_requests(desk: Desk) -> None:
    ages = [0, 5, 40, 41, 300]
    records = [usage(age, person=f"p{age}", at=TODAY - timedelta(days=age, hours=-1)) for age in ages]
    ran = [compute(TODAY - timedelta(days=60), TODAY - timedelta(days=59), person="p60")]

    def fill(ledger: Ledger) -> None:
        ledger.add_usage(records)
        ledger.add_compute(ran)

    await desk.book.write(fill)
    rounds = Rounds(desk, "", "", "", Retention(names_days=30, requests_days=100))
    await rounds.retain()
    await rounds.retain()

    def read(ledger: Ledger) -> tuple[list[str], list[str], int]:
        with ledger.reading() as connection:
            single = connection.scalars(sa.select(schema.usage.c.person).order_by(schema.usage.c.at)).all()
            hours = connection.scalars(sa.select(schema.usage_hour.c.person).order_by(schema.usage_hour.c.hour)).all()
            return list(single), list(hours), len(connection.execute(sa.select(schema.stint)).all())

    single, hours, stints = await desk.book.read(read)
    assert [each.startswith("anonymous/") for each in single] == [True, True, False, False]
    # The oldest request is gone; its sum stays.
    assert len(hours) == 5 and hours[0].startswith("anonymous/") and hours[-2:] == ["p5", "p0"]
    assert stints == 1
    # What keeps everything forgets nothing.
    await Rounds(desk, "", "", "", Retention(0, 0)).retain()
    assert (await desk.book.read(read))[0] == single


async def test_what_is_unusual_is_said_once_with_its_cause(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    # The loop is on the ninth day, which is yesterday.
    used, ran, _ = a_month(TODAY - timedelta(days=9), 9)
    await desk.book.write(lambda ledger: (ledger.add_usage(used), ledger.add_compute(ran)))
    rounds = Rounds(desk, "", "", "", Retention(0, 0))
    with caplog.at_level(logging.WARNING):
        await rounds.watch()
        await rounds.watch()
    said = [record.getMessage() for record in caplog.records if "far outside" in record.getMessage()]
    assert len(said) == 1
    assert "leslie used AI for 13.1" in said[0] and "to deepseek-r1 for reasoning" in said[0]
    assert "by loop-agent/1.0, " in said[0]
    assert "looks like a loop: one every 8.2 s" in said[0]
    assert b"neuralinverse_economics_unusual_hours 1.0" in desk.metrics.exposition()


async def test_a_database_that_goes_away_and_comes_back(server: str) -> None:
    with postgres.serving() as url:
        folder = Path(url.partition("host=")[2])
        book = Book(url, b"")
        book.open()
        await book.opened.wait()
        assert (await book.write(lambda ledger: ledger.add_usage([usage(1)]))).new == 1
        postgres.control(folder, "stop")
        try:
            with pytest.raises(LedgerAway, match="does not answer"):
                await book.write(lambda ledger: ledger.add_usage([usage(2)]))
            assert "does not answer" in book.cause
        finally:
            postgres.control(folder, "start")
        assert (await book.write(lambda ledger: ledger.add_usage([usage(1), usage(2)]))).new == 1
        assert book.cause == ""
        await book.close()


async def test_totals_are_those_of_all_months(desk: Desk) -> None:
    long_ago = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)

    def fill(ledger: Ledger) -> None:
        ledger.add_compute([compute(long_ago, long_ago + timedelta(hours=1)), compute(TODAY, TODAY, workspace="w")])
        ledger.add_usage([usage(1, "0.25", at=long_ago), usage(2, "0.50", at=TODAY)])

    assert b"_usd_total" not in desk.metrics.exposition()
    await desk.book.write(fill)
    await Rounds(desk, "", "", "", Retention(0, 0)).add_up()
    text = desk.metrics.exposition()
    for name, value in (("ai", b"0.75"), ("revenue", b"0.96"), ("machine", b"0.192"), ("storage", b"0.0")):
        assert b"neuralinverse_economics_%s_usd_total %s\n" % (name.encode(), value) in text


def test_few_hours_say_nothing_of_what_is_usual() -> None:
    assert threshold([10**12] * 49) is None
    assert threshold([0] * 1000) is None
    usual = [10**10 + number for number in range(1000)]
    assert threshold(usual) == 10**12
    # What is far outside does not move the bound.
    assert threshold([*usual, *[10**15] * 9]) == threshold(usual)


def requests(gap_s: list[float], tokens: list[int]) -> list[Request]:
    at, found = 0.0, []
    for gap, count in zip(gap_s, tokens, strict=True):
        at += gap
        found.append(Request(int(at * 10**6), "default", "coding", "llama-4", count, 100, 10**9, 0))
    return found


def test_a_loop_is_told_from_a_busy_person() -> None:
    import random

    chance = random.Random(3)
    person = requests(
        [chance.expovariate(1 / 20) for _ in range(120)], [chance.randrange(200, 9000) for _ in range(120)]
    )
    assert cause(person)[1] is False
    even = requests([5 + chance.random() for _ in range(120)], [chance.randrange(200, 9000) for _ in range(120)])
    assert cause(even) == (cause(even)[0], True) and "one every 5.5 s" in cause(even)[0]
    growing = requests([chance.expovariate(1 / 20) for _ in range(120)], list(range(1000, 13000, 100)))
    assert "each longer than the one before" in cause(growing)[0]
    assert cause([]) == ("its single requests are not kept any more", False)


def test_what_the_hub_says_becomes_stints() -> None:
    people = [
        {"name": "ada", "servers": {"": {"started": "2026-10-01T12:00:00.5Z", "user_options": {"size": "large"}}}},
        {"name": "bob", "servers": {"gpu": {"started": "2026-10-01T12:00:00Z"}, "off": {"started": None}}},
        {"name": "eve", "servers": None},
    ]
    noon = micros(datetime(2026, 10, 1, 12, tzinfo=UTC))
    found = stints_of(people, "eastus", noon + 10**6)
    assert [(each.person, each.workspace, each.started, each.size) for each in found] == [
        ("ada", "default", noon + 500_000, "large"),
        ("bob", "gpu", noon, ""),
    ]
    assert all(each.ended is None and each.seen >= each.started for each in found)
