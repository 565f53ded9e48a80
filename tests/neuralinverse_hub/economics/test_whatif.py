"""What-if: without a change nothing changes, a change moves what it should, and chance has its seed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralinverse_hub.cli import main
from neuralinverse_hub.economics.errors import BadScenario
from neuralinverse_hub.economics.figures import Figures, Rows, figures_of
from neuralinverse_hub.economics.ledger import Ledger, micros
from neuralinverse_hub.economics.money import to_pico
from neuralinverse_hub.economics.prices import default_prices
from neuralinverse_hub.economics.scenarios import scenario_of, sentence
from neuralinverse_hub.economics.stints import HOUR, Stint
from neuralinverse_hub.economics.whatif import Scenario, base_of, outcome
from tests.neuralinverse_hub.economics.records import NOON, compute, usage

DAY = date(2026, 11, 1)
BEGIN = micros(datetime(2026, 10, 1, tzinfo=UTC))
PRICES = default_prices()


def month(costs: list[int], hours: int = 1) -> Figures:
    """One person for each of ``costs``, with that much AI in their hours together."""
    first = BEGIN // HOUR
    stints = [
        Stint(f"p{n}", "w", BEGIN, ("small", "medium")[n % 2], "eastus", BEGIN + hours * HOUR, True, 0)
        for n in range(len(costs))
    ]
    used = [(first, f"p{n}", "w", cost) for n, cost in enumerate(costs)]
    models = [("coding", "llama-4", len(costs), 10**6, 0, 10**5, sum(costs))]
    return figures_of(Rows(BEGIN, BEGIN + 24 * HOUR, BEGIN + 24 * HOUR, stints, used, [], models, []), PRICES)


COSTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=30)


@given(COSTS)
def test_without_a_change_the_month_is_what_was_measured(costs: list[int]) -> None:
    figures = month(costs)
    found = outcome(base_of(figures), Scenario(), PRICES, DAY)
    assert found.amounts == figures.total
    assert found.low is not None and found.median is not None and found.high is not None
    assert found.low <= found.median <= found.high


@settings(max_examples=30)
@given(COSTS, st.integers(0, 100), st.integers(0, 100))
def test_dearer_models_and_more_heavy_people_never_raise_the_margin(costs: list[int], one: int, other: int) -> None:
    base = base_of(month(costs))
    cheap, dear = sorted((one, other))
    for scenarios in (
        [Scenario(model_price_a_year=Decimal(each) / 10) for each in (cheap, dear)],
        [Scenario(heavy=Decimal(each) / 100) for each in (cheap, dear)],
    ):
        before, after = (outcome(base, each, PRICES, DAY) for each in scenarios)
        # Two sizes of people earn differently, so a cent of rounding is all that heavy people's hours may bring.
        assert after.amounts.ai >= before.amounts.ai - 10
        assert after.probability <= before.probability or scenarios[0].heavy is not None


def test_every_change_moves_what_it_says() -> None:
    base = base_of(month([10**10] * 9 + [10**11]))
    plain = base.total

    def changed(**options: list[str]) -> Any:
        return outcome(
            base, scenario_of({name.replace("_", "-"): values for name, values in options.items()}), PRICES, DAY
        )

    assert changed(model_price=["-50%"], years=["2"]).amounts.ai == plain.ai // 4
    assert changed(model_price=["-100%"]).amounts.ai == 0
    assert changed(adoption=["0.5"]).amounts.ai == plain.ai // 2
    assert changed(reserved=["50%"], discount=["40%"]).amounts.machine == plain.machine * 8 // 10
    assert changed(price=["medium=1.92"]).amounts.revenue == to_pico(Decimal("0.48") * 5 + Decimal("1.92") * 5)
    # A million tokens in at 1.35, a tenth of it out at 5.40 USD a million.
    assert changed(model=["coding=deepseek-r1"]).amounts.ai == to_pico(Decimal("1.89"))
    assert changed(heavy=["100%"]).amounts.ai == 10 * 10**11
    assert changed(heavy=["0"]).amounts.ai == 10 * 10**10


def test_the_promise_holds_until_too_many_are_heavy() -> None:
    # An hour of a small workspace earns 0.48 and its machine costs 0.096: 60 % is left with AI for 0.096.
    base = base_of(month([10**9] * 90 + [6 * 10**11] * 10))
    found = outcome(base, Scenario(), PRICES, DAY)
    assert found.probability == 1 and found.heavy_limit is not None
    assert Decimal("0.1") < found.heavy_limit < Decimal("0.4")
    at_the_limit = outcome(base, Scenario(heavy=found.heavy_limit), PRICES, DAY)
    beyond = outcome(base, Scenario(heavy=found.heavy_limit + Decimal("0.02")), PRICES, DAY)
    assert at_the_limit.probability >= Decimal("0.95") > beyond.probability
    assert f"until more than {found.heavy_limit * 100:.0f} % of people are heavy users" in sentence(found)
    assert base_of(base.figures) == base


def test_an_empty_month_has_no_margin() -> None:
    found = outcome(base_of(Figures()), Scenario(), PRICES, DAY)
    assert found.median is None and "Nothing was earned" in sentence(found)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"heavy": ["120%"]}, "a share from 0 to 1"),
        ({"heavy": ["many"]}, "write for example 25%"),
        ({"heavy": ["nan"]}, "write for example 25%"),
        ({"model-price": ["-200%"]}, "from -1"),
        ({"years": ["1000"]}, "0 to 20"),
        ({"price": ["medium=-1"]}, "0 to 100,000"),
        ({"price": ["medium"]}, "write SIZE=USD"),
        ({"price": ["gigantic=1"]}, "no workspace of size 'gigantic' ran; known: medium, small"),
        ({"model": ["coding=gpt-9"]}, "'gpt-9' has no price"),
        ({"model": ["poetry=llama-4"]}, "nobody asked for the task 'poetry'; known: coding"),
        ({"colour": ["blue"]}, "nothing to change"),
    ],
)
def test_a_scenario_that_cannot_be_says_so(written: dict[str, list[str]], words: str) -> None:
    with pytest.raises(BadScenario, match=words):
        outcome(base_of(month([1, 2])), scenario_of(written), PRICES, DAY)


def test_the_command_says_what_if(ledger: Ledger, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    ledger.add_compute([compute(ended=NOON + timedelta(hours=1))])
    ledger.add_usage([usage(1, "0.10")])
    asked = [
        "economics",
        "--ledger",
        url,
        "whatif",
        "--month",
        "2026-10",
        "--model-price=-50%",
        "--price",
        "medium=0.5",
    ]
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ai_usd"], found["revenue_usd"], found["machine_usd"]) == ("0.05", "0.5", "0.192")
    assert main(asked) == 0
    assert "measured" in capsys.readouterr().out
    assert main([*asked, "--heavy", "2"]) == 1
    assert "heavy is 2; a share from 0 to 1" in capsys.readouterr().err
