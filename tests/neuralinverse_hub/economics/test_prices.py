"""Prices begin on a day, are never guessed, and say what is wrong with them."""

from __future__ import annotations

import json
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from neuralinverse_hub.cli import main
from neuralinverse_hub.economics.errors import BadPrices
from neuralinverse_hub.economics.prices import default_prices, parse, read, warnings
from spawner.sizes import DEFAULT_SIZES, parse_sizes

PACKAGE = resources.files("neuralinverse_hub")


def model(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"models": {"m": {"prices": list(rows), **more}}}


def test_a_price_is_valid_from_its_day_until_the_next() -> None:
    prices = parse(
        model(
            {"since": "2026-03-01", "input": "2", "output": "4"}, {"since": "2026-01-01", "input": "1", "output": "2"}
        )
    )
    assert prices.model("m", date(2025, 12, 31)) is None
    for day, pico in ((date(2026, 1, 1), 10**6), (date(2026, 2, 28), 10**6), (date(2026, 3, 1), 2 * 10**6)):
        found = prices.model("m", day)
        assert found is not None and found.input == pico


def test_cached_input_costs_what_is_written_or_what_input_costs() -> None:
    row = {"since": "2026-01-01", "input": "1", "output": "2"}
    (plain, cheaper) = (parse(model(each)).model("m", date(2026, 1, 2)) for each in (row, {**row, "cached": "0.25"}))
    assert plain is not None and cheaper is not None
    assert plain.of(100, 40, 10) == 120 * 10**6
    assert cheaper.of(100, 40, 10) == (60 + 10 + 20) * 10**6


def test_a_region_may_have_its_own_price_for_a_size() -> None:
    written = {
        "sizes": {
            "medium": [{"since": "2026-01-01", "usd_per_hour": "0.96"}],
            "medium@westeurope": [{"since": "2026-02-01", "usd_per_hour": "1.10", "machine_usd_per_hour": "0.23"}],
        }
    }
    prices = parse(written)
    day = date(2026, 2, 1)
    assert (here := prices.size("medium", "eastus", day)) and here.revenue == 960_000_000_000 and here.machine is None
    assert (there := prices.size("medium", "westeurope", day)) and there.revenue == 1_100_000_000_000


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (model({"since": "2026-01-01", "input": "-1", "output": "2"}), r"models.m\[0\].input is -1 USD"),
        (model({"since": "2026-01-01", "input": "1e9", "output": "2"}), "write 0 to 100000"),
        (model({"since": "2026-01-01", "input": 0.1, "output": "2"}), "0.1 is not an amount"),
        (model({"since": "2026-01-01", "input": "0.1234567", "output": "2"}), "six decimals"),
        (model({"since": "soon", "input": "1", "output": "2"}), "'soon'; write a day"),
        (model({"since": "2026-01-01", "input": "1", "output": "2"}, {"since": "2026-01-01", "input": "3", "output": "2"}),
         "two prices since 2026-01-01"),
        (model({"since": "2026-01-01", "in": "1", "output": "2"}), "'in'; known: since"),
        ({"model": {}}, "'model' is nothing a price list has"),
        ({"currency": "EUR"}, "write prices in USD"),
        ([], "a price list is an object"),
        ({"storage": {"since": "2026-01-01"}}, "write a list"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(written: Any, says: str) -> None:
    with pytest.raises(BadPrices, match=says):
        parse(written)


def test_the_shipped_list_knows_the_sizes_and_models_that_are_shipped() -> None:
    prices, day = default_prices(), date(2026, 11, 1)
    for name, size in parse_sizes(DEFAULT_SIZES).items():
        found = prices.size(name, "", day)
        assert found is not None and size.usd_per_hour is not None
        assert found.revenue == size.usd_per_hour * 10**12
    table = json.loads(PACKAGE.joinpath("gateway/table.json").read_text())["models"]
    shipped = json.loads(PACKAGE.joinpath("economics/prices.json").read_text())
    for name, row in table.items():
        theirs = [
            {key: value for key, value in each.items() if key != "source"} for each in shipped["models"][name]["prices"]
        ]
        assert theirs == row["prices"], name
    rows = [row for sizes in shipped["sizes"].values() for row in sizes] + shipped["storage"] + shipped["network"]
    rows += [row for each in shipped["models"].values() for row in each["prices"]]
    assert all(row["source"] for row in rows)


def test_missing_stale_and_retired_prices_are_warned_of() -> None:
    written = {
        "checked": "2026-01-01",
        **model({"since": "2026-01-01", "input": "1", "output": "2"}, retires="2026-05-01"),
    }
    found = warnings(parse(written), {"m", "gpt-9"}, {"huge"}, date(2026, 11, 1))
    text = "\n".join(found)
    for part in ("gpt-9 is used and has no price", "size huge", "last checked on 2026-01-01", "retired on 2026-05-01"):
        assert part in text
    assert "model m is used" not in text


def test_the_command_checks_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prices.json"
    file.write_text("{")
    assert main(["prices", "check", "--prices", str(file)]) == 1
    assert "is not JSON" in capsys.readouterr().err
    file.write_text(json.dumps({"checked": "2020-01-01"}))
    assert main(["prices", "check", "--prices", str(file)]) == 2
    assert "over 180 days ago" in capsys.readouterr().out
    with pytest.raises(BadPrices, match="cannot be read"):
        read(tmp_path / "missing.json")
