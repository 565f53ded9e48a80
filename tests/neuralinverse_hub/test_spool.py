"""Records reach the ledger, whatever happens to it, to who writes them or to the disk."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub import spool, wire
from neuralinverse_hub.spool import Spool, from_line, to_line
from tests.neuralinverse_hub.gateway.conftest import until


def record(number: int, usd: Decimal | None = Decimal("0.000009")) -> wire.UsageRecord:
    return wire.UsageRecord(
        request_id=f"r{number}",
        at=datetime(2026, 11, 23, 12, 0, number % 60, 5, tzinfo=UTC),
        person="ada",
        workspace="default",
        task="coding",
        model="llama-4",
        upstream="azure",
        deployment="my-llama",
        input_tokens=number,
        cached_tokens=0,
        output_tokens=1,
        reasoning_tokens=0,
        usd=usd,
        first_token_s=0.25,
        duration_s=1.5,
        status="complete",
    )


class Books:
    """A ledger that can be away, and counts each request once."""

    def __init__(self) -> None:
        self.rows: dict[str, wire.UsageRecord] = {}
        self.given = 0
        self.away = False

    async def take(self, lines: bytes) -> None:
        if self.away:
            raise ConnectionError("the database is away")
        records = [from_line(wire.UsageRecord, line) for line in lines.splitlines()]
        self.given += len(records)
        self.rows.update({each.request_id: each for each in records})


@pytest.mark.parametrize("fast", [True, False])
@given(
    st.integers(0, 10**30),
    st.none() | st.decimals(min_value=0, max_value=10**6, places=12),
    st.text(st.characters(), max_size=20),
)
def test_a_line_holds_a_record_exactly(fast: bool, number: int, usd: Decimal | None, client: str) -> None:
    given_ = replace(record(number, usd), client=client)
    with pytest.MonkeyPatch.context() as patch:
        if not fast:
            # As where orjson is not installed.
            patch.setattr(spool, "orjson", None)
        line = to_line(given_)
    assert line.endswith("\n") and line.count("\n") == 1
    assert from_line(wire.UsageRecord, line) == given_


def test_half_a_character_does_not_keep_a_record_from_its_ledger() -> None:
    given_ = replace(record(1), client="\ud83d")
    assert from_line(wire.UsageRecord, to_line(given_).encode()) == given_


async def test_records_reach_the_ledger_and_leave_the_disk(tmp_path: Path) -> None:
    books = Books()
    spool = Spool(tmp_path, books.take)
    spool.open()
    for number in range(2500):
        spool.add(record(number))
    await until(lambda: len(books.rows) == 2500)
    await until(lambda: spool.waiting == 0)
    await spool.close()
    assert os.listdir(tmp_path) == []


async def test_records_wait_for_a_ledger_that_is_away(tmp_path: Path) -> None:
    books = Books()
    books.away = True
    spool = Spool(tmp_path, books.take)
    spool.open()
    spool.add(record(1))
    await until(lambda: list(tmp_path.glob("*.jsonl")))
    spool.add(record(2))
    books.away = False
    await until(lambda: len(books.rows) == 2)
    await spool.close()


async def test_a_ledger_that_hangs_keeps_nothing_in_memory(tmp_path: Path) -> None:
    asked, goes_on = asyncio.Event(), asyncio.Event()
    rows: list[bytes] = []

    async def hang(lines: bytes) -> None:
        asked.set()
        await goes_on.wait()
        rows.extend(lines.splitlines())

    spool = Spool(tmp_path, hang)
    spool.open()
    spool.add(record(1))
    await asked.wait()
    for number in range(2, 50):
        spool.add(record(number))
    # A kill now would lose none of them.
    await until(lambda: sum(file.read_bytes().count(b"\n") for file in tmp_path.glob("*.jsonl")) == 49)
    goes_on.set()
    await until(lambda: len(rows) == 49)
    await spool.close()
    assert len(set(rows)) == 49


async def test_a_busy_second_is_one_file(tmp_path: Path) -> None:
    deliveries: list[int] = []

    async def take(lines: bytes) -> None:
        deliveries.append(lines.count(b"\n"))

    spool = Spool(tmp_path, take)
    spool.open()
    began = time.monotonic()
    for number in range(3000):
        spool.add(record(number))
        if number % 10 == 0:
            await asyncio.sleep(0.001)
    await until(lambda: sum(deliveries) == 3000)
    seconds = time.monotonic() - began
    await spool.close()
    assert len(deliveries) <= seconds + 2, deliveries


async def test_records_survive_the_end_of_who_writes_them(tmp_path: Path) -> None:
    books = Books()
    books.away = True
    first = Spool(tmp_path, books.take)
    first.open()
    first.add(record(1))
    await first.close()
    assert books.rows == {}
    books.away = False
    second = Spool(tmp_path, books.take)
    second.open()
    await until(lambda: len(books.rows) == 1)
    await second.close()


async def test_a_full_spool_gives_up_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    books, lost = Books(), []
    books.away = True
    line = len(to_line(record(100)))
    spool = Spool(tmp_path, books.take, limit=line * 12500, lost=lost.append)
    spool.open()
    for number in range(100, 25100):
        spool.add(record(number))
    await until(lambda: sum(lost) >= 12500)
    books.away = False
    await until(lambda: record(25099).request_id in books.rows)
    await spool.close()
    assert len(books.rows) + sum(lost) == 25000
    assert "r100" not in books.rows


async def test_half_a_segment_is_put_aside_and_holds_nothing_up(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001-000000000-aaaaaaaa.jsonl").write_text('{"request_id": "r1", "at"')
    books = Books()
    spool = Spool(tmp_path, books.take)
    spool.open()
    spool.add(record(2))
    await until(lambda: len(books.rows) == 1)
    await spool.close()
    assert [Path(name).suffix for name in os.listdir(tmp_path)] == [".bad"]
