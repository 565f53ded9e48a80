"""Scenarios as people write them, in a command or in an address, and outcomes as they read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from neuralinverse_hub.economics.errors import BadScenario
from neuralinverse_hub.economics.money import from_pico, parse_usd, to_pico
from neuralinverse_hub.economics.whatif import CONFIDENCE, TARGET, Base, Outcome, Scenario

__all__ = ["KNOBS", "outcome_json", "scenario_of", "sentence"]

KNOBS: Final = {
    "model-price": "change of all models' prices in a year, e.g. -30%%",
    "years": "how many years of that (default: 1)",
    "adoption": "share of person-hours with any AI, e.g. 90%%",
    "heavy": "share of people who use AI as the measured heaviest tenth does, e.g. 25%%",
    "model": "TASK=MODEL: another model answers a task; may be given again",
    "price": "SIZE=USD: an hour of a size earns this; may be given again",
    "reserved": "share of machine hours on reserved machines, e.g. 50%%",
    "discount": "how much less those cost (default: 40%%)",
}
"""What can be changed, by the name of its option."""


def scenario_of(written: Mapping[str, Sequence[str]]) -> Scenario:
    """The scenario in options by name, each with the values given. Raises `BadScenario`."""
    if unknown := sorted(set(written) - set(KNOBS)):
        raise BadScenario(f"{unknown[0]!r} is nothing to change; known: {', '.join(KNOBS)}")

    def number(name: str, otherwise: Any) -> Any:
        values = [value for value in written.get(name, ()) if value.strip()]
        return _number(name, values[-1]) if values else otherwise

    prices = {}
    for size, usd in _pairs("price", written, "SIZE=USD"):
        try:
            prices[size] = to_pico(parse_usd(usd))
        except ValueError as error:
            raise BadScenario(f"price {size}: {error}") from None
    return Scenario(
        model_price_a_year=number("model-price", Decimal(0)),
        years=number("years", Decimal(1)),
        adoption=number("adoption", None),
        heavy=number("heavy", None),
        models=dict(_pairs("model", written, "TASK=MODEL")),
        size_prices=prices,
        reserved=number("reserved", Decimal(0)),
        reserved_discount=number("discount", Decimal("0.4")),
    )


def _number(name: str, text: str) -> Decimal:
    bare = text.strip()
    try:
        number = Decimal(bare.removesuffix("%").strip())
    except InvalidOperation:
        raise BadScenario(f"{name} is {text[:40]!r}; write for example 25% or 0.25") from None
    if not number.is_finite():
        raise BadScenario(f"{name} is {text[:40]!r}; write for example 25% or 0.25")
    return number / 100 if bare.endswith("%") else number


def _pairs(name: str, written: Mapping[str, Sequence[str]], form: str) -> list[tuple[str, str]]:
    found = []
    for text in written.get(name, ()):
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise BadScenario(f"{name} is {text[:60]!r}; write {form}")
        if value:
            found.append((key, value))
    return found


def sentence(found: Outcome) -> str:
    """What the draws say about the promise."""
    target, sure = f"{TARGET:.0%}".replace("%", " %"), f"{CONFIDENCE:.0%}".replace("%", " %")
    if found.median is None:
        return "Nothing was earned, so there is no margin to speak of."
    if found.heavy_limit is None:
        return f"Unlimited AI does not stay above {target} margin with {sure} probability, however few people are heavy users."
    if found.heavy_limit == 1:
        return f"Unlimited AI stays above {target} margin with {sure} probability, even when everybody is a heavy user."
    limit = f"{found.heavy_limit:.0%}".replace("%", " %")
    return f"Unlimited AI stays above {target} margin with {sure} probability until more than {limit} of people are heavy users."


def outcome_json(base: Base, found: Outcome) -> dict[str, Any]:
    """An outcome with money as text in USD, and shares as text; null is unknown."""
    amounts = found.amounts
    names = ("revenue", "ai", "storage", "network", "machine", "cost", "margin")
    share = amounts.share(amounts.margin)
    return {
        **{f"{name}_usd": f"{from_pico(getattr(amounts, name)):f}" for name in names},
        "margin_share": None if share is None else f"{share:.6f}",
        "low": _text(found.low),
        "median": _text(found.median),
        "high": _text(found.high),
        "probability": f"{found.probability:f}",
        "heavy_limit": _text(found.heavy_limit),
        "measured": {"people": base.people, "heavy": f"{base.heavy:.6f}", "adoption": f"{base.adoption:.6f}"},
        "sentence": sentence(found),
    }


def _text(share: Decimal | None) -> str | None:
    return None if share is None else f"{share:f}"
