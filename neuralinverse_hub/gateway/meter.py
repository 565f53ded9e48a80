"""What an answer used and what it cost. Pure, exact: counts are integers, money is Decimal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from neuralinverse_hub.gateway.router import Price

__all__ = ["Usage", "estimate_tokens", "usage_from", "usd"]

MILLION: Final = Decimal(1_000_000)


class Usage(NamedTuple):
    """Tokens of one answer. ``cached`` is part of ``input``, ``reasoning`` part of ``output``.

    ``exact`` is False when the upstream did not say and the figures are estimates.
    """

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0
    exact: bool = True


def usage_from(usage: Any) -> Usage | None:
    """The usage an upstream reports, in either of OpenAI's two spellings; None when it is not a usable report.

    Never negative, and parts never exceed their whole, whatever the upstream says.
    """
    if not isinstance(usage, dict):
        return None
    input_ = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    output = _count(usage.get("completion_tokens", usage.get("output_tokens", 0)))
    if input_ is None or output is None:
        return None
    cached = _part(usage, ("prompt_tokens_details", "input_tokens_details"), "cached_tokens")
    reasoning = _part(usage, ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
    return Usage(input_, output, cached=min(cached, input_), reasoning=min(reasoning, output))


def usd(prices: Sequence[Price], usage: Usage, on: date) -> Decimal | None:
    """What ``usage`` cost by the newest price valid ``on`` that day, exactly; None when there was none yet."""
    valid = [price for price in prices if price.since <= on]
    if not valid:
        return None
    price = max(valid, key=lambda price: price.since)
    cached = price.input if price.cached is None else price.cached
    return ((usage.input - usage.cached) * price.input + usage.cached * cached + usage.output * price.output) / MILLION


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has: four ASCII characters each, other characters nearer to one each.

    Meant to be low rather than high, so that no prompt is refused that would have fitted.
    """
    if text.isascii():
        return len(text) // 4 + 1
    return len(text.encode("utf-8", "surrogatepass")) // 4 + 1


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _part(usage: dict[str, Any], members: tuple[str, ...], name: str) -> int:
    for member in members:
        details = usage.get(member)
        if isinstance(details, dict):
            return _count(details.get(name)) or 0
    return 0
