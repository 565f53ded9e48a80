"""Money is exact: nothing is lost between text, database and text, and parts make up their whole."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.economics.money import from_pico, parse_usd, part, show_usd, to_pico

WHOLE = st.integers(-(10**20), 10**20)


@given(WHOLE)
def test_what_is_kept_comes_back(pico: int) -> None:
    assert to_pico(from_pico(pico)) == pico
    assert to_pico(parse_usd(f"{from_pico(pico):f}")) == pico


@given(st.integers(0, 10**18), st.integers(0, 10**12), st.integers(1, 10**12))
def test_a_part_is_the_nearest_whole_and_a_half_goes_to_the_even(pico: int, count: int, whole: int) -> None:
    exact = Fraction(pico * count, whole)
    found = part(pico, count, whole)
    assert abs(found - exact) <= Fraction(1, 2)
    assert found == round(exact)


@given(st.decimals(0, 10**6, places=12))
def test_twelve_decimals_are_exact(usd: Decimal) -> None:
    assert from_pico(to_pico(usd)) == usd


@pytest.mark.parametrize("written", [0.96, "ninety", "NaN", "Infinity", None, True, [1]])
def test_what_is_no_exact_amount_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        parse_usd(written)


def test_amounts_are_shown_with_their_unit_of_cents() -> None:
    assert show_usd(140_000_000_000) == "0.14"
    assert show_usd(1_234_567_890_000_000_000) == "1,234,567.89"
