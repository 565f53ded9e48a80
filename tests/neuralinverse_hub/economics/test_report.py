"""The report's figures come out of the ledger's rows exactly, on SQLite and on PostgreSQL."""

from __future__ import annotations

import csv
import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub import wire
from neuralinverse_hub.cli import main
from neuralinverse_hub.economics import rows, schema
from neuralinverse_hub.economics.figures import Figures
from neuralinverse_hub.economics.ledger import Ledger, micros
from neuralinverse_hub.economics.money import to_pico
from neuralinverse_hub.economics.prices import default_prices, parse
from neuralinverse_hub.economics.report import GROUPS, Amounts, Report, Rows, make
from neuralinverse_hub.economics.stints import HOUR, Stint
from tests.neuralinverse_hub.economics.month import a_month
from tests.neuralinverse_hub.economics.records import NOON, compute, usage

OCTOBER = micros(datetime(2026, 10, 1, tzinfo=UTC))
NOVEMBER = micros(datetime(2026, 11, 1, tzinfo=UTC))

SEED = {
    "sizes": {"medium": [{"since": "2026-01-01", "usd_per_hour": "0.96", "machine_usd_per_hour": "0.192"}]},
    "models": {"late": {"prices": [{"since": "2026-10-02", "input": "1", "output": "2"}]}},
    "storage": [{"since": "2026-01-01", "usd_per_gb_hour": "0.0002"}],
    "network": [{"since": "2026-01-01", "usd_per_gb": "0.08"}],
}


def october(ledger: Ledger, prices: Any = SEED) -> Report:
    return make(rows.of_period(ledger, OCTOBER, NOVEMBER, NOVEMBER), parse(prices))


def fill_with_the_seeds_hour(ledger: Ledger) -> None:
    ledger.add_compute([compute(ended=NOON + timedelta(hours=1))])
    ledger.add_usage([usage(number, "0.0025") for number in range(40)])
    ledger.add_volume(
        [
            wire.VolumeRecord("s", NOON, "storage", "ada", "default", "eastus", 100 * 10**9),
            wire.VolumeRecord("n", NOON, "network", "ada", "default", "eastus", 250 * 10**6),
        ]
    )


def test_the_table_that_the_product_began_with(ledger: Ledger) -> None:
    fill_with_the_seeds_hour(ledger)
    total = october(ledger).total
    assert total.time == HOUR
    table = (total.ai, total.storage, total.network, total.services, total.revenue)
    assert table == tuple(map(to_pico, map(Decimal, ("0.10", "0.02", "0.02", "0.14", "0.96"))))
    # The line that it leaves out.
    assert (total.machine, total.cost, total.margin) == tuple(map(to_pico, map(Decimal, ("0.192", "0.332", "0.628"))))
    assert total.share(total.ai) == Decimal("0.10") / Decimal("0.96")


def test_what_was_left_open_in_an_earlier_month_ended_with_the_next_start(ledger: Ledger) -> None:
    august = NOON - timedelta(days=40)
    ledger.add_compute([compute(august), compute(august + timedelta(days=1), august + timedelta(days=1, hours=2))])
    assert october(ledger).total.time == 0
    # What nobody started again still runs.
    ledger.add_compute([compute(NOON, workspace="thesis")])
    assert october(ledger).total.time == NOVEMBER - micros(NOON)


def test_an_hour_breaks_even_where_ai_takes_what_the_rest_leaves(ledger: Ledger) -> None:
    fill_with_the_seeds_hour(ledger)
    even = october(ledger).break_even
    assert even is not None and even.pico_per_hour == to_pico(Decimal("0.728"))
    # 48 000 tokens cost 0.10.
    assert even.tokens_per_hour == 349_440 and even.by_model == {"llama-4": 349_440}


def test_a_dearer_model_breaks_even_at_fewer_tokens_and_the_mix_lies_between(ledger: Ledger) -> None:
    fill_with_the_seeds_hour(ledger)
    # As many tokens of another, ten times the price; and of one that has none.
    ledger.add_usage([usage(100 + number, "0.025", model="deepseek-r1") for number in range(40)])
    ledger.add_usage([usage(200, None, model="mystery"), usage(201, "0", model="free")])
    even = october(ledger).break_even
    assert even is not None and even.by_model == {"llama-4": 349_440, "deepseek-r1": 34_944}
    assert even.tokens_per_hour is not None and 34_944 < even.tokens_per_hour < 349_440


def test_what_has_no_price_is_reported_and_is_no_zero(ledger: Ledger) -> None:
    day = timedelta(days=1)
    ledger.add_usage(
        [usage(1, None, model="gpt-9"), usage(2, None, model="late"), usage(3, None, model="late", at=NOON + day)]
    )
    ledger.add_compute([compute(ended=NOON + timedelta(hours=2), size="huge")])
    report = october(ledger)
    assert dict(report.unpriced.requests) == {"gpt-9": 1, "late": 1}
    assert dict(report.unpriced.tokens) == {"gpt-9": 1200, "late": 1200}
    assert dict(report.unpriced.sizes) == {"huge": 2 * HOUR}
    # From its day on the model has one: 1000 in at 1, 200 out at 2 USD a million.
    assert report.total.ai == to_pico(Decimal("0.0014"))


def test_a_price_counts_from_its_day_and_last_month_stays_what_it_was(ledger: Ledger) -> None:
    midnight = datetime(2026, 10, 2, tzinfo=UTC)
    ledger.add_compute([compute(midnight - timedelta(hours=2), midnight + timedelta(hours=3))])
    dearer = json.loads(json.dumps(SEED))
    dearer["sizes"]["medium"].append({"since": "2026-10-02", "usd_per_hour": "1.20", "machine_usd_per_hour": "0.2"})
    report = october(ledger, dearer)
    days = {day: amounts.revenue for day, amounts in report.by("day").items()}
    assert days == {"2026-10-01": to_pico(Decimal("1.92")), "2026-10-02": to_pico(Decimal("3.60"))}


def test_a_stint_over_the_months_end_is_counted_in_both_by_its_parts(ledger: Ledger) -> None:
    end = datetime(2026, 11, 1, tzinfo=UTC)
    ledger.add_compute([compute(end - timedelta(minutes=90), end + timedelta(minutes=45))])
    later = rows.of_period(ledger, NOVEMBER, NOVEMBER + 24 * HOUR, NOVEMBER + 24 * HOUR)
    assert october(ledger).total.hours == Decimal("1.5")
    assert make(later, parse(SEED)).total.hours == Decimal("0.75")


TIMES = st.integers(0, 48 * HOUR)
STINTS = st.builds(
    lambda person, at, length, size, region: Stint(person, "w", at, size, region, at + length, True, at),
    st.sampled_from("abc"),
    TIMES,
    st.integers(0, 5 * HOUR),
    st.sampled_from(["small", "medium", "huge"]),
    st.sampled_from(["eastus", "westeurope"]),
)
USAGE = st.tuples(st.integers(0, 47), st.sampled_from("abc"), st.just("w"), st.integers(0, 10**15))
VOLUMES = st.tuples(
    st.sampled_from(["storage", "network"]), st.integers(0, 47), st.sampled_from("abc"), st.just("w"), st.just(""), st.integers(0, 10**15)
)  # fmt: skip


@given(
    st.lists(STINTS, max_size=8, unique_by=lambda each: each.key),
    st.lists(USAGE, max_size=8),
    st.lists(VOLUMES, max_size=8),
    st.randoms(),
)
def test_parts_make_up_their_whole_in_any_order(stints: Any, used: Any, volumes: Any, chance: random.Random) -> None:
    def report() -> Report:
        return make(Rows(0, 48 * HOUR, 48 * HOUR, stints, used, [], [], volumes), default_prices())

    first = report()
    for group in GROUPS:
        total = Amounts()
        for amounts in first.by(group).values():
            total.add(amounts)
        assert total == first.total
    assert Figures.from_json(first.figures.to_json()) == first.figures
    for each in (stints, used, volumes):
        chance.shuffle(each)
    again = report()
    assert again.figures == first.figures and again.spread == first.spread
    assert first.total.revenue - first.total.cost == first.total.margin


def test_the_spread_names_the_tail() -> None:
    used = [(hour, "a", "w", 10) for hour in range(99)] + [(99, "b", "w", 990 * 10**6)]
    spread = make(Rows(0, 100 * HOUR, 100 * HOUR, [], used, [], [], []), default_prices()).spread
    assert (spread.count, spread.p50, spread.p90, spread.p99, spread.max) == (100, 10, 10, 10, 990 * 10**6)
    assert spread.top_percent is not None and spread.top_percent > Decimal("0.99")


def test_the_command_prints_tables_and_json(
    ledger: Ledger, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_with_the_seeds_hour(ledger)
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(SEED))
    asked = ["economics", "--ledger", url, "report", "--month", "2026-10", "--prices", str(file)]
    assert main([*asked, "--by", "person", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by"]["rows"]["ada"]["services_usd"] == found["total"]["services_usd"] == "0.14"
    assert found["total"]["margin_usd"] == "0.628" and found["unpriced"] == []
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "0.14" in shown and "breaks even at 0.7280 USD" in shown


def test_no_money_is_ever_a_float(ledger: Ledger, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    used, ran, held = a_month(datetime(2026, 10, 1, tzinfo=UTC), 2)
    ledger.add_usage(used)
    ledger.add_compute(ran)
    ledger.add_volume(held)

    def no_float(text: str) -> object:
        raise AssertionError(f"{text} is a float")

    for by in GROUPS:
        assert main(["economics", "--ledger", url, "report", "--month", "2026-10", "--by", by, "--json"]) == 0
        assert json.loads(capsys.readouterr().out, parse_float=no_float)["total"]["ai_usd"] != "0"
    # Seconds may be.
    floats = [
        each.name for table in schema.metadata.tables.values() for each in table.c if isinstance(each.type, sa.Float)
    ]
    assert floats == ["first_token_s", "duration_s"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_export_is_exact(ledger: Ledger, url: str, tmp_path: Path, suffix: str) -> None:
    ledger.add_usage([usage(1, "0.000000000001"), usage(2, None)])
    file = tmp_path / f"usage.{suffix}"
    assert main(["economics", "--ledger", url, "export", "usage", str(file)]) == 0
    if suffix == "csv":
        with file.open(newline="") as opened:
            found = [row["usd"] for row in csv.DictReader(opened)]
        assert found == ["0.000000000001", ""]
    else:
        read = pyarrow.parquet.read_table(file).to_pylist()
        assert [row["usd"] for row in read] == [Decimal("0.000000000001"), None]
        assert read[0]["at"] == NOON + timedelta(minutes=1)


def test_a_persons_figures_of_a_day_are_the_sums_of_the_rows_exported_for_them(
    ledger: Ledger, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used, ran, held = a_month(datetime(2026, 10, 1, tzinfo=UTC), 3)
    late = datetime(2026, 10, 2, 22, 30, tzinfo=UTC)
    ledger.add_usage(used)
    ledger.add_compute([*ran, compute(late, late + timedelta(hours=3), workspace="night", size="small")])
    ledger.add_volume([*held, wire.VolumeRecord("n", NOON + timedelta(days=1), "network", "ada", "w", "eastus", 7)])
    begin = micros(datetime(2026, 10, 2, tzinfo=UTC))
    end = begin + 24 * HOUR
    figures = make(rows.of_period(ledger, begin, end, NOVEMBER), default_prices()).by("person")["ada"]

    def exported(table: str, *more: str) -> list[dict[str, str]]:
        file = tmp_path / f"{table}.csv"
        command = ["economics", "--ledger", url, "export", table, str(file), "--person=ada", *more]
        assert main([*command, "--json"]) == 0
        with file.open(newline="") as opened:
            found = list(csv.DictReader(opened))
        assert json.loads(capsys.readouterr().out) == {"file": str(file), "rows": len(found)}
        return found

    day = "--day=2026-10-02"
    assert figures.ai == sum(to_pico(Decimal(row["usd"])) for row in exported("usage", day)) > 0
    assert figures.ai == sum(to_pico(Decimal(row["usd"])) for row in exported("usage-hours", day))

    def within(row: dict[str, str]) -> int:
        started, ended = (micros(datetime.fromisoformat(row[name])) for name in ("started", "ended"))
        return min(ended, end) - max(started, begin)

    stints = exported("workspaces", day)
    assert figures.time == sum(map(within, stints)) > HOUR
    assert "night" in {row["workspace"] for row in stints}
    assert "night" in {row["workspace"] for row in exported("workspaces", "--day=2026-10-03")}
    amounts = {row["kind"]: int(row["amount"]) for row in exported("volumes", day) if row["record_id"] == "n"}
    assert amounts == {"network": 7}
    assert len(exported("usage", "--month=2026-10")) > len(exported("usage", day))
    assert exported("usage", "--month=2026-11") == []


def test_what_cannot_be_exported_is_said(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["economics", "--ledger", url, "export", "usage", str(tmp_path / "usage.xls")]) == 1
    assert "neither .csv nor .parquet" in capsys.readouterr().err
    # A database without the ledger's tables.
    assert main(["economics", "--ledger", url, "report"]) == 1
    assert "day_change" in capsys.readouterr().err
