"""Money, exactly: whole pico-dollars (10^-12 USD) where it is kept and added, Decimal where people read and write it. Pure.

A token at 0.25 USD a million costs 250 000 pico-dollars, so every price with up to six decimals gives whole numbers, and
whole numbers add up the same in any order. What does not come out even, a part of an hour, is rounded once, half to even,
where it arises; every sum is a sum of those.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from typing import Final

__all__ = ["LARGEST_PICO", "PICO", "from_pico", "parse_usd", "part", "show_usd", "to_pico"]

PICO: Final = 10**12
LARGEST_PICO: Final = 10**6 * PICO
"""A million USD: no single record costs more, and the sums of a database's 64 bits stay far away."""

_EXACT: Final = Context(prec=80)


def parse_usd(value: object) -> Decimal:
    """An amount as somebody wrote it: text, a whole number or a Decimal. Raises ValueError; a float is never exact."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError(f'{value!r} is not an amount; write it as text, e.g. "0.96"')
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(f'{value!r} is not an amount; write it as text, e.g. "0.96"') from None
    if not amount.is_finite():
        raise ValueError(f'{value!r} is not an amount; write it as text, e.g. "0.96"')
    return amount


def to_pico(usd: Decimal) -> int:
    """Whole pico-dollars; what lies between two is rounded half to even."""
    with localcontext(_EXACT):
        return int((usd * PICO).to_integral_value(ROUND_HALF_EVEN))


def from_pico(pico: int) -> Decimal:
    """The same amount in USD, without trailing zeros. Write it with ``:f``: ``str`` gives small ones an exponent."""
    with localcontext(_EXACT):
        return Decimal(f"{(Decimal(pico) / PICO).normalize():f}")


def part(pico: int, count: int, whole: int) -> int:
    """``pico * count / whole``, rounded once, half to even. ``whole`` is positive."""
    quotient, rest = divmod(pico * count, whole)
    twice = 2 * rest
    return quotient + (twice > whole or (twice == whole and quotient % 2 == 1))


def show_usd(pico: int, places: int = 2) -> str:
    """``0.14``: rounded for the eye only."""
    with localcontext(_EXACT):
        return f"{(Decimal(pico) / PICO).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN):,f}"
