"""What workspace-hours earned and cost: from the ledger's rows and a price list to the operator's figures. Pure.

The smallest amounts are those of one workspace's part of one clock hour, in whole pico-dollars; every other figure is a sum
of them, so parts make up their whole however they are grouped. What has no price is counted apart and never as zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from neuralinverse_hub.economics.money import part
from neuralinverse_hub.economics.prices import GB, Prices, valid
from neuralinverse_hub.economics.stints import HOUR, Stint, closed, pieces

__all__ = ["GROUPS", "Amounts", "BreakEven", "Cell", "Report", "Rows", "Spread", "Unpriced", "make"]

Group = Literal["day", "hour", "size", "region", "person"]
GROUPS: Final[tuple[Group, ...]] = ("day", "hour", "size", "region", "person")


@dataclass(frozen=True, slots=True)
class Rows:
    """What the ledger says of a period from ``begin`` to ``end``, both microseconds of Unix time."""

    begin: int
    end: int
    now: int
    stints: Sequence[Stint]
    usage: Sequence[tuple[int, str, str, int]]
    """(hour, person, workspace, pico-dollars that the gateway knew)."""
    unpriced: Sequence[tuple[int, str, str, str, int, int, int, int]]
    """(hour, person, workspace, model, requests, input, cached, output): what the gateway knew no price for."""
    models: Sequence[tuple[str, int, int, int]]
    """(model, requests, input tokens, output tokens)."""
    volumes: Sequence[tuple[str, int, str, str, str, int]]
    """(kind, hour, person, workspace, region, byte-hours or bytes)."""


@dataclass(slots=True)
class Amounts:
    """Pico-dollars by component, and microseconds that workspaces ran."""

    time: int = 0
    revenue: int = 0
    ai: int = 0
    storage: int = 0
    network: int = 0
    machine: int = 0

    def add(self, other: Amounts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def services(self) -> int:
        """The cost that the price of AI is weighed against: AI, storage and network, without the machine."""
        return self.ai + self.storage + self.network

    @property
    def cost(self) -> int:
        return self.services + self.machine

    @property
    def margin(self) -> int:
        return self.revenue - self.cost

    @property
    def hours(self) -> Decimal:
        return Decimal(self.time) / HOUR

    def share(self, pico: int) -> Decimal | None:
        """``pico`` as a share of the revenue; None when there is none."""
        return Decimal(pico) / self.revenue if self.revenue else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One workspace in one clock hour (``hour`` of Unix time)."""

    hour: int
    person: str
    workspace: str
    size: str
    region: str
    amounts: Amounts = field(default_factory=Amounts)


@dataclass(slots=True)
class Unpriced:
    """What was used and has no price."""

    requests: Counter[str] = field(default_factory=Counter)
    """By model."""
    tokens: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    """Microseconds that bring in nobody knows what."""
    machines: Counter[str] = field(default_factory=Counter)
    """Microseconds whose machine costs nobody knows what."""
    volumes: Counter[str] = field(default_factory=Counter)

    def words(self) -> list[str]:
        """One sentence each, for the operator."""
        found = [
            f"model {model}: {count} requests, {self.tokens[model]:,} tokens"
            for model, count in sorted(self.requests.items())
        ]
        for title, counter in (("price of size", self.sizes), ("machine of size", self.machines)):
            found += [f"{title} {n or '(none)'}: {Decimal(t) / HOUR:.2f} hours" for n, t in sorted(counter.items())]
        return found + [f"{kind}: {Decimal(amount) / GB:.3f} GB" for kind, amount in sorted(self.volumes.items())]


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


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of a period."""

    begin: int
    end: int
    cells: Sequence[Cell]
    total: Amounts
    unpriced: Unpriced
    models: Sequence[tuple[str, int, int, int]]
    spread: Spread
    break_even: BreakEven | None
    """None: no workspace ran."""

    def by(self, group: Group) -> dict[str, Amounts]:
        """Amounts by day (UTC), hour of the day (UTC), size, region or person, in order."""
        return _grouped(self.cells, _NAMES[group])


def make(rows: Rows, prices: Prices) -> Report:
    """The report of a period."""
    unpriced = Unpriced()
    cells: dict[tuple[int, str, str, str, str], Cell] = {}
    places: dict[tuple[int, str, str], tuple[str, str]] = {}

    def cell(hour: int, person: str, workspace: str, place: tuple[str, str] | None = None) -> Amounts:
        # What was used while no workspace is known to have run belongs to none.
        size, region = place or places.get((hour, person, workspace), ("", ""))
        key = (hour, person, workspace, size, region)
        if key not in cells:
            cells[key] = Cell(*key)
        return cells[key].amounts

    for stint in closed(rows.stints, rows.now):
        for hour, time in pieces(stint, rows.begin, rows.end):
            places.setdefault((hour, stint.person, stint.workspace), (stint.size, stint.region))
            amounts = cell(hour, stint.person, stint.workspace, (stint.size, stint.region))
            amounts.time += time
            price = prices.size(stint.size, stint.region, _day(hour))
            if price is None:
                unpriced.sizes[stint.size] += time
            else:
                amounts.revenue += part(price.revenue, time, HOUR)
            if price is None or price.machine is None:
                unpriced.machines[stint.size] += time
            else:
                amounts.machine += part(price.machine, time, HOUR)
    for hour, person, workspace, pico in rows.usage:
        cell(hour, person, workspace).ai += pico
    for hour, person, workspace, model, requests, input_, cached, output in rows.unpriced:
        if (known := prices.model(model, _day(hour))) is None:
            unpriced.requests[model] += requests
            unpriced.tokens[model] += input_ + output
        else:
            cell(hour, person, workspace).ai += known.of(input_, cached, output)
    for kind, hour, person, workspace, _region, amount in rows.volumes:
        pico_per_gb = valid(prices.storage if kind == "storage" else prices.network, _day(hour))
        if pico_per_gb is None:
            unpriced.volumes[kind] += amount
        elif kind == "storage":
            cell(hour, person, workspace).storage += part(pico_per_gb, amount, GB)
        else:
            cell(hour, person, workspace).network += part(pico_per_gb, amount, GB)

    ordered = [cells[key] for key in sorted(cells)]
    total = Amounts()
    for each in ordered:
        total.add(each.amounts)
    tokens = sum(input_ + output for _, _, input_, output in rows.models) - unpriced.tokens.total()
    return Report(
        rows.begin, rows.end, ordered, total, unpriced, rows.models, _spread(ordered), _break_even(total, tokens)
    )


_NAMES: Final[Mapping[Group, Callable[[Cell], str]]] = {
    "day": lambda cell: _day(cell.hour).isoformat(),
    "hour": lambda cell: f"{cell.hour % 24:02d}:00",
    "size": lambda cell: cell.size,
    "region": lambda cell: cell.region,
    "person": lambda cell: cell.person,
}


def _grouped(cells: Iterable[Cell], name: Callable[[Cell], str]) -> dict[str, Amounts]:
    found: dict[str, Amounts] = {}
    for cell in cells:
        found.setdefault(name(cell), Amounts()).add(cell.amounts)
    return dict(sorted(found.items()))


def _day(hour: int) -> date:
    return datetime.fromtimestamp(hour * 3600, UTC).date()


def _spread(cells: Iterable[Cell]) -> Spread:
    hours: Counter[Any] = Counter()
    for cell in cells:
        hours[cell.person, cell.hour] += cell.amounts.ai
    costs = sorted(hours.values())
    if not costs:
        return Spread(0, 0, 0, 0, 0, None)

    def at(percent: int) -> int:
        return costs[max(0, -(-len(costs) * percent // 100) - 1)]

    whole, top = sum(costs), sum(costs[-max(1, len(costs) // 100) :])
    return Spread(len(costs), at(50), at(90), at(99), costs[-1], Decimal(top) / whole if whole else None)


def _break_even(total: Amounts, tokens: int) -> BreakEven | None:
    if not total.time:
        return None
    left = total.revenue - total.storage - total.network - total.machine
    # Both over the same hours: tokens that the money left pays for at what a token cost.
    affordable = part(part(left, HOUR, total.time), tokens, total.ai) if total.ai > 0 and tokens > 0 else None
    return BreakEven(part(left, HOUR, total.time), affordable)
