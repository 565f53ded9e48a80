"""What workspace-hours earned and cost: the operator's figures of a period. Pure.

What has no price is counted apart and never as zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from neuralinverse_hub.economics.figures import Amounts, Figures, Rows, Unpriced, day_of_hour, figures_of
from neuralinverse_hub.economics.money import part
from neuralinverse_hub.economics.prices import Prices
from neuralinverse_hub.economics.stints import HOUR

__all__ = ["GROUPS", "Amounts", "BreakEven", "Report", "Rows", "Spread", "make", "of"]

Group = Literal["day", "hour", "size", "region", "person"]
GROUPS: Final[tuple[Group, ...]] = ("day", "hour", "size", "region", "person")


@dataclass(frozen=True, slots=True)
class Spread:
    """How the AI cost of a person-hour is distributed, in pico-dollars; hours without any AI count too."""

    count: int
    p50: int
    p90: int
    p99: int
    max: int
    top_percent: Decimal | None
    """The share of the whole that the most expensive 1 % of person-hours have; None when nothing was spent."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What AI may cost in an hour before the hour earns nothing."""

    pico_per_hour: int
    tokens_per_hour: int | None
    """Of the mix of models that was measured; None when no token had a price."""
    by_model: Mapping[str, int]
    """The same, if all were of one model, with as much input to an output as that model had; without what cost nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of a period."""

    begin: int
    end: int
    figures: Figures
    total: Amounts
    spread: Spread
    break_even: BreakEven | None
    """None: no workspace ran."""

    @property
    def unpriced(self) -> Unpriced:
        return self.figures.unpriced

    @property
    def models(self) -> Sequence[tuple[str, int, int, int]]:
        """(model, requests, input tokens, output tokens), by model."""
        found: dict[str, list[int]] = {}
        for (_task, model), (requests, input_, _cached, output, _pico) in sorted(self.figures.models.items()):
            row = found.setdefault(model, [0, 0, 0])
            for place, number in enumerate((requests, input_, output)):
                row[place] += number
        return [(model, row[0], row[1], row[2]) for model, row in sorted(found.items())]

    def by(self, group: Group) -> Mapping[str, Amounts]:
        """Amounts by day (UTC), hour of the day (UTC), size, region or person, in order."""
        if group == "person":
            return dict(sorted(self.figures.people.items()))
        found: dict[str, Amounts] = {}
        for (hour, size, region), amounts in self.figures.places.items():
            if group == "day":
                name = day_of_hour(hour).isoformat()
            elif group == "hour":
                name = f"{hour % 24:02d}:00"
            else:
                name = size if group == "size" else region
            found.setdefault(name, Amounts()).add(amounts)
        return dict(sorted(found.items()))


def make(rows: Rows, prices: Prices) -> Report:
    """The report of a period."""
    return of(figures_of(rows, prices), rows.begin, rows.end)


def of(figures: Figures, begin: int, end: int) -> Report:
    """The report that ``figures`` of that period give."""
    total = figures.total
    used = sum(input_ + output for _, input_, _, output, _ in figures.models.values())
    tokens = used - figures.unpriced.tokens.total()
    return Report(begin, end, figures, total, _spread(figures.costs), _break_even(total, tokens, _priced(figures)))


def _priced(figures: Figures) -> dict[str, tuple[int, int]]:
    """(tokens that have a price, what they cost) of each model, by its name."""
    found: dict[str, tuple[int, int]] = {}
    for (_task, model), (_, input_, _, output, pico) in sorted(figures.models.items()):
        tokens, cost = found.get(model, (0, 0))
        found[model] = tokens + input_ + output, cost + pico
    unpriced = figures.unpriced.tokens
    return {model: (tokens - unpriced[model], cost) for model, (tokens, cost) in found.items()}


def _spread(found: Sequence[int]) -> Spread:
    costs = sorted(found)
    if not costs:
        return Spread(0, 0, 0, 0, 0, None)

    def at(percent: int) -> int:
        return costs[max(0, -(-len(costs) * percent // 100) - 1)]

    whole, top = sum(costs), sum(costs[-max(1, len(costs) // 100) :])
    return Spread(len(costs), at(50), at(90), at(99), costs[-1], Decimal(top) / whole if whole else None)


def _break_even(total: Amounts, tokens: int, models: Mapping[str, tuple[int, int]]) -> BreakEven | None:
    if not total.time:
        return None
    left = total.revenue - total.storage - total.network - total.machine
    # Both over the same hours: tokens that the money left pays for at what a token cost.
    hourly = part(left, HOUR, total.time)
    affordable = part(hourly, tokens, total.ai) if total.ai > 0 and tokens > 0 else None
    alone = {model: part(hourly, used, cost) for model, (used, cost) in models.items() if cost > 0 and used > 0}
    return BreakEven(hourly, affordable, alone)
