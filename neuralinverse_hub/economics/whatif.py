"""What a month would have earned under other prices and other habits, with an interval instead of one number. Pure.

Months are drawn anew from the people who were measured (a bootstrap by person, because one person's hours are alike): as
many people as there were, each heavy with the probability that the scenario gives, and then one of the measured heavy
ones. The spread of the margin over the draws is the interval. Draws are made once for a month and the same for every
scenario, so two scenarios differ by what they say and not by chance.

What it simplifies: a model's or a task's change scales everybody's AI cost alike, a size's price everybody's revenue.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from neuralinverse_hub.economics.errors import BadScenario
from neuralinverse_hub.economics.figures import Amounts, Figures
from neuralinverse_hub.economics.prices import Prices

__all__ = ["Base", "Outcome", "Scenario", "base_of", "outcome"]

DRAWS: Final = 400
HEAVY: Final = Decimal("0.1")
"""Whoever is among this share of people, by AI cost per hour, is called heavy."""
TARGET: Final = Decimal("0.6")
CONFIDENCE: Final = Decimal("0.95")
_FINE: Final = 10**6


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is other than it was. Shares are between 0 and 1; None is as measured."""

    model_price_a_year: Decimal = Decimal(0)
    """Change of all models' prices in a year, ``-0.3``: a third cheaper."""
    years: Decimal = Decimal(1)
    adoption: Decimal | None = None
    """Share of person-hours with any AI."""
    heavy: Decimal | None = None
    """Share of people who use AI as the measured heavy ones do."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Task → the model that answers it instead."""
    size_prices: Mapping[str, int] = field(default_factory=dict)
    """Size → pico-dollars per hour that it earns instead."""
    reserved: Decimal = Decimal(0)
    """Share of machine hours on reserved machines."""
    reserved_discount: Decimal = Decimal("0.4")
    """How much less those cost."""

    def __post_init__(self) -> None:
        for name in ("adoption", "heavy", "reserved", "reserved_discount"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise BadScenario(f"{name} is {value}; a share from 0 to 1")
        if not -1 <= self.model_price_a_year <= 10:
            raise BadScenario(f"model prices change by {self.model_price_a_year} a year; from -1 (free) to 10")
        if not 0 <= self.years <= 20:
            raise BadScenario(f"{self.years} years; 0 to 20")
        for size, pico in self.size_prices.items():
            if not 0 <= pico <= 10**17:
                raise BadScenario(f"size {size} earns {pico / 10**12} USD an hour; 0 to 100,000")


@dataclass(frozen=True, slots=True)
class Base:
    """What was measured, ready to be changed."""

    figures: Figures
    total: Amounts
    people: int
    heavy_people: int
    """How many of them are in the heavy group."""
    adoption: Decimal
    heavy_draws: Sequence[Sequence[int]]
    """Amounts of a person of the heavy group, times the number of people, one row a draw."""
    other_draws: Sequence[Sequence[int]]
    deviations: Sequence[float]
    """How far the number of heavy people is from its mean, in standard deviations, one a draw."""

    @property
    def heavy(self) -> Decimal:
        """Share of people who are in the heavy group."""
        return Decimal(self.heavy_people) / self.people if self.people else Decimal(0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario gives."""

    amounts: Amounts
    """The whole month, expected. Without a change exactly what was measured."""
    low: Decimal | None
    """Of the margin's share of the revenue: 5 % of the months drawn are below; None where nothing is earned."""
    median: Decimal | None
    high: Decimal | None
    """5 % are above."""
    probability: Decimal
    """Share of the months drawn whose margin is at least ``TARGET`` of the revenue."""
    heavy_limit: Decimal | None
    """The largest share of heavy people with which ``probability`` is still ``CONFIDENCE``; None: with none at all."""


def base_of(figures: Figures, seed: int = 0) -> Base:
    """Draw months from what was measured."""
    chance = random.Random(seed)
    total = figures.total
    people = sorted(
        (amounts for amounts in figures.people.values() if amounts.time),
        key=lambda each: (Fraction(each.ai, each.time), each.numbers()),
    )
    count = len(people)
    heavy = max(1, int(count * HEAVY)) if count > 1 else 0
    groups = [
        [each.numbers() for each in people[count - heavy :]],
        [each.numbers() for each in people[: count - heavy]],
    ]
    if count and not groups[0]:
        groups[0] = groups[1]
    draws = [_draws(group, count, chance) for group in groups]
    with_ai = sum(1 for cost in figures.costs if cost)
    return Base(
        figures,
        total,
        count,
        heavy,
        Decimal(with_ai) / len(figures.costs) if figures.costs else Decimal(0),
        draws[0],
        draws[1],
        [chance.gauss(0, 1) for _ in range(DRAWS)],
    )


def _draws(group: Sequence[Sequence[int]], count: int, chance: random.Random) -> list[list[int]]:
    if not group:
        return []
    # As many as the group has: more would make the months alike that few people cannot tell apart.
    size = len(group)
    found = []
    for _ in range(DRAWS):
        picked = chance.choices(group, k=size)
        found.append([sum(column) * count // size for column in zip(*picked, strict=True)])
    return found


def outcome(base: Base, scenario: Scenario, prices: Prices, on: date) -> Outcome:
    """What ``scenario`` gives, with prices as valid ``on`` that day. Raises `BadScenario`."""
    factors = _factors(base, scenario, prices, on)
    heavy = base.heavy if scenario.heavy is None else scenario.heavy
    expected = _expected(base, heavy if scenario.heavy is not None else None)
    amounts = _changed(expected, factors)
    shares = sorted(_shares(base, heavy, factors))
    if not shares:
        return Outcome(amounts, None, None, None, Decimal(0), None)
    return Outcome(
        amounts,
        _rounded(shares[len(shares) * 5 // 100]),
        _rounded(shares[len(shares) // 2]),
        _rounded(shares[len(shares) * 95 // 100]),
        Decimal(sum(share >= TARGET for share in shares)) / len(shares),
        _limit(base, factors),
    )


@dataclass(frozen=True, slots=True)
class _Factors:
    ai: Fraction
    revenue: Fraction
    machine: Fraction


def _factors(base: Base, scenario: Scenario, prices: Prices, on: date) -> _Factors:
    ai = Fraction(_power(1 + scenario.model_price_a_year, scenario.years))
    if scenario.adoption is not None and base.adoption:
        ai *= Fraction(scenario.adoption) / Fraction(base.adoption)
    ai *= _models_factor(base, scenario, prices, on)
    machine = 1 - Fraction(scenario.reserved) * Fraction(scenario.reserved_discount)
    return _Factors(ai, _revenue_factor(base, scenario, prices), machine)


def _power(of: Decimal, years: Decimal) -> Decimal:
    return of**years if of > 0 else Decimal(years == 0)


def _models_factor(base: Base, scenario: Scenario, prices: Prices, on: date) -> Fraction:
    before = after = 0
    tasks = {task for task, _ in base.figures.models}
    if unknown := sorted(set(scenario.models) - tasks):
        raise BadScenario(f"nobody asked for the task {unknown[0]!r}; known: {', '.join(sorted(tasks))}")
    for (task, _model), (_requests, input_, cached, output, pico) in base.figures.models.items():
        before += pico
        if task not in scenario.models:
            after += pico
            continue
        price = prices.model(scenario.models[task], on)
        if price is None:
            raise BadScenario(
                f"{scenario.models[task]!r} has no price; known: {', '.join(sorted(prices.models)) or 'none'}"
            )
        after += price.of(input_, cached, output)
    return Fraction(after, before) if before else Fraction(1)


def _revenue_factor(base: Base, scenario: Scenario, prices: Prices) -> Fraction:
    before = after = 0
    sizes = {size for _, size, _ in base.figures.places}
    if unknown := sorted(set(scenario.size_prices) - sizes):
        raise BadScenario(f"no workspace of size {unknown[0]!r} ran; known: {', '.join(sorted(sizes - {''}))}")
    for (_hour, size, _region), amounts in base.figures.places.items():
        before += amounts.revenue
        if size in scenario.size_prices:
            after += scenario.size_prices[size] * amounts.time // (3600 * 10**6)
        else:
            after += amounts.revenue
    return Fraction(after, before) if before else Fraction(1)


def _expected(base: Base, heavy: Decimal | None) -> Amounts:
    """The month with another share of heavy people; with None exactly as measured."""
    if heavy is None or not base.heavy_people:
        return replace(base.total)
    people = sorted(
        (amounts for amounts in base.figures.people.values() if amounts.time),
        key=lambda each: (Fraction(each.ai, each.time), each.numbers()),
    )
    count = base.heavy_people
    found = Amounts()
    for group, share in ((people[-count:], heavy), (people[:-count], 1 - heavy)):
        whole = Amounts()
        for amounts in group:
            whole.add(amounts)
        scale = Fraction(share) * base.people / len(group)
        found.add(Amounts(*(int(number * scale) for number in whole.numbers())))
    return found


def _changed(amounts: Amounts, factors: _Factors) -> Amounts:
    return replace(
        amounts,
        ai=round(amounts.ai * factors.ai),
        revenue=round(amounts.revenue * factors.revenue),
        machine=round(amounts.machine * factors.machine),
    )


def _shares(base: Base, heavy: Decimal, factors: _Factors) -> list[Fraction]:
    """The margin's share of the revenue in every month drawn."""
    found = []
    ai, revenue, machine = (round(factor * _FINE) for factor in (factors.ai, factors.revenue, factors.machine))
    mean = float(heavy)
    spread = (mean * (1 - mean) / base.people) ** 0.5 if base.people else 0.0
    for heavy_row, other_row, deviation in zip(base.heavy_draws, base.other_draws, base.deviations, strict=False):
        share = round(min(1.0, max(0.0, mean + deviation * spread)) * _FINE)
        row = [share * a + (_FINE - share) * b for a, b in zip(heavy_row, other_row, strict=True)]
        _, earned, of_ai, storage, network, machines = row
        if earned * revenue > 0:
            cost = of_ai * ai + (storage + network) * _FINE + machines * machine
            found.append(1 - Fraction(cost, earned * revenue))
    return found


def _limit(base: Base, factors: _Factors) -> Decimal | None:
    """The largest whole percentage of heavy people with which the target is still safe."""

    def safe(percent: int) -> bool:
        shares = _shares(base, Decimal(percent) / 100, factors)
        return sum(share >= TARGET for share in shares) >= CONFIDENCE * len(shares)

    if not safe(0):
        return None
    low, high = 0, 100
    if safe(high):
        return Decimal(1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if safe(middle) else (low, middle)
    return Decimal(low) / 100


def _rounded(share: Fraction) -> Decimal:
    return Decimal(round(share * _FINE)) / _FINE
