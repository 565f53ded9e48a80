"""Tokens and money: exact, never negative, and by the price of the day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.gateway.meter import Usage, estimate_tokens, usage_from, usd
from neuralinverse_hub.gateway.router import Price

OLD = Price(date(2025, 1, 1), Decimal("1.35"), Decimal("5.40"), Decimal("0.135"))
NEW = Price(date(2026, 6, 1), Decimal("1.00"), Decimal("3.00"))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(
            ["prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens", "reasoning_tokens"]
        ),
        inner,
    ),
)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_cost_is_exact_to_the_last_digit(input_: int, output: int, cached: int) -> None:
    usage = Usage(input_, output, cached=min(cached, input_))
    exact = (input_ - usage.cached) * 135 + output * 540  # in hundredths of a millionth
    expected = Decimal(exact) / 10**8 + Decimal(usage.cached) * Decimal("0.135") / 10**6
    assert usd([OLD], usage, date(2025, 5, 5)) == expected


def test_the_price_of_the_day_counts() -> None:
    usage = Usage(1_000_000, 1_000_000)
    assert usd([NEW, OLD], usage, date(2026, 5, 31)) == Decimal("6.75")
    assert usd([OLD, NEW], usage, date(2026, 6, 1)) == Decimal("4.00")


def test_without_a_price_the_cost_is_unknown_and_not_zero() -> None:
    assert usd([], Usage(1, 1), date(2026, 1, 1)) is None
    assert usd([NEW], Usage(1, 1), date(2020, 1, 1)) is None


@given(ANYTHING)
def test_whatever_an_upstream_says_no_count_is_negative_or_larger_than_its_whole(said: object) -> None:
    usage = usage_from(said)
    if usage is not None:
        assert 0 <= usage.cached <= usage.input and 0 <= usage.reasoning <= usage.output


def test_both_spellings_of_usage_are_read() -> None:
    assert usage_from({"input_tokens": 4, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 3}}) == Usage(
        4, 2, cached=3
    )
    # Some say both, the one of them without a value.
    said = {"prompt_tokens": 4, "completion_tokens": 2, "completion_tokens_details": None}
    assert usage_from({**said, "output_tokens_details": {"reasoning_tokens": 1}}) == Usage(4, 2, reasoning=1)


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("word " * 400, 501), ("日本語" * 100, 226)])
def test_estimates_are_low_rather_than_high(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens
