"""From the ledger's rows and a price list to amounts that can be added: by hour, size, region, person, task and model. Pure.

The smallest amounts are those of one workspace's part of one clock hour, in whole pico-dollars; every other figure is a sum
of them, so parts make up their whole however they are grouped, and days are worked out apart and added.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final

from neuralinverse_hub.economics.money import part
from neuralinverse_hub.economics.prices import GB, Prices, valid
from neuralinverse_hub.economics.stints import HOUR, Stint, closed, pieces

__all__ = ["Amounts", "Cell", "Cells", "Figures", "Rows", "Unpriced", "cells_of", "day_of_hour", "figures_of", "gather"]


@dataclass(frozen=True, slots=True)
class Rows:
    """What the ledger says of a period from ``begin`` to ``end``, both microseconds of Unix time."""

    begin: int
    end: int
    now: int
    stints: Sequence[Stint]
    usage: Sequence[tuple[int, str, str, int]]
    """(hour, person, workspace, pico-dollars that the gateway knew)."""
    unpriced: Sequence[tuple[int, str, str, str, str, int, int, int, int]]
    """(hour, person, workspace, task, model, requests, input, cached, output): what the gateway knew no price for."""
    models: Sequence[tuple[str, str, int, int, int, int, int]]
    """(task, model, requests, input, cached, output, pico-dollars that the gateway knew)."""
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
        self.time += other.time
        self.revenue += other.revenue
        self.ai += other.ai
        self.storage += other.storage
        self.network += other.network
        self.machine += other.machine

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

    def numbers(self) -> list[int]:
        """The members in their order."""
        return [self.time, self.revenue, self.ai, self.storage, self.network, self.machine]


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

    def add(self, other: Unpriced) -> None:
        for name in self.__slots__:
            getattr(self, name).update(getattr(other, name))

    def words(self) -> list[str]:
        """One sentence each, for the operator."""
        found = [
            f"model {model}: {count} requests, {self.tokens[model]:,} tokens"
            for model, count in sorted(self.requests.items())
        ]
        for title, counter in (("price of size", self.sizes), ("machine of size", self.machines)):
            found += [f"{title} {n or '(none)'}: {Decimal(t) / HOUR:.2f} hours" for n, t in sorted(counter.items())]
        return found + [f"{kind}: {Decimal(amount) / GB:.3f} GB" for kind, amount in sorted(self.volumes.items())]


@dataclass(slots=True)
class Figures:
    """What can be said of a period, in a form that adds up with that of another one."""

    places: dict[tuple[int, str, str], Amounts] = field(default_factory=dict)
    """By hour of Unix time, size and region."""
    people: dict[str, Amounts] = field(default_factory=dict)
    costs: list[int] = field(default_factory=list)
    """AI's cost of every person-hour, hours without any included."""
    models: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """By task and model: requests, input, cached and output tokens, pico-dollars."""
    unpriced: Unpriced = field(default_factory=Unpriced)
    tail: list[tuple[int, int, str]] = field(default_factory=list)
    """The dearest person-hours: pico-dollars of AI, hour of Unix time, person; dearest first."""

    def add(self, other: Figures) -> None:
        """Take over those of another period, of other hours."""
        _add_all(self.places, other.places)
        _add_all(self.people, other.people)
        self.costs += other.costs
        for key, numbers in other.models.items():
            self.models[key] = [a + b for a, b in zip(self.models.get(key, [0] * 5), numbers, strict=True)]
        self.unpriced.add(other.unpriced)
        self.tail = heapq.nlargest(TAIL, [*self.tail, *other.tail])

    @property
    def total(self) -> Amounts:
        total = Amounts()
        for amounts in self.places.values():
            total.add(amounts)
        return total

    def to_json(self) -> str:
        """All of it, exactly."""
        unpriced = {name: dict(getattr(self.unpriced, name)) for name in Unpriced.__slots__}
        return json.dumps(
            [
                [[*key, *amounts.numbers()] for key, amounts in self.places.items()],
                [[person, *amounts.numbers()] for person, amounts in self.people.items()],
                self.costs,
                [[*key, *numbers] for key, numbers in self.models.items()],
                unpriced,
                self.tail,
            ],
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Figures:
        """What `to_json` wrote."""
        places, people, costs, models, unpriced, tail = json.loads(text)
        return cls(
            {(row[0], row[1], row[2]): Amounts(*row[3:]) for row in places},
            {row[0]: Amounts(*row[1:]) for row in people},
            costs,
            {(row[0], row[1]): row[2:] for row in models},
            Unpriced(*(Counter(unpriced[name]) for name in Unpriced.__slots__)),
            [(cost, hour, person) for cost, hour, person in tail],
        )


def _add_all(to: dict[Any, Amounts], others: Mapping[Any, Amounts]) -> None:
    for key, amounts in others.items():
        known = to.get(key)
        if known is None:
            to[key] = known = Amounts()
        known.add(amounts)


@cache
def day_of_hour(hour: int) -> date:
    """The day, in UTC, of an hour of Unix time."""
    return datetime.fromtimestamp(hour * 3600, UTC).date()


CellKey = tuple[int, str, str, str, str]
Cells = dict[CellKey, Amounts]
"""By hour, person, workspace, size and region."""

TAIL: Final = 50
"""How many of the dearest person-hours are kept by name."""
_NOWHERE: Final = ("", "")


def gather(rows: Rows, prices: Prices) -> tuple[Cells, Figures]:
    """Amounts by workspace and hour; beside them, figures that have their models and what has no price only."""
    figures = Figures()
    unpriced = figures.unpriced
    cells: Cells = {}
    places: dict[tuple[int, str, str], tuple[str, str]] = {}
    of_size = cache(prices.size)
    of_model = cache(prices.model)

    def cell(hour: int, person: str, workspace: str, place: tuple[str, str] | None = None) -> Amounts:
        # What was used while no workspace is known to have run belongs to none.
        size, region = place or places.get((hour, person, workspace), _NOWHERE)
        key = (hour, person, workspace, size, region)
        amounts = cells.get(key)
        if amounts is None:
            cells[key] = amounts = Amounts()
        return amounts

    for stint in closed(rows.stints, rows.now):
        for hour, time in pieces(stint, rows.begin, rows.end):
            place = (stint.size, stint.region)
            places.setdefault((hour, stint.person, stint.workspace), place)
            amounts = cell(hour, stint.person, stint.workspace, place)
            amounts.time += time
            price = of_size(stint.size, stint.region, day_of_hour(hour))
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
    for task, model, *numbers in rows.models:
        figures.models[task, model] = list(numbers)
    for hour, person, workspace, task, model, requests, input_, cached, output in rows.unpriced:
        if (known := of_model(model, day_of_hour(hour))) is None:
            unpriced.requests[model] += requests
            unpriced.tokens[model] += input_ + output
        else:
            cost = known.of(input_, cached, output)
            cell(hour, person, workspace).ai += cost
            figures.models.setdefault((task, model), [0] * 5)[4] += cost
    for kind, hour, person, workspace, _region, amount in rows.volumes:
        pico_per_gb = valid(prices.storage if kind == "storage" else prices.network, day_of_hour(hour))
        if pico_per_gb is None:
            unpriced.volumes[kind] += amount
        elif kind == "storage":
            cell(hour, person, workspace).storage += part(pico_per_gb, amount, GB)
        else:
            cell(hour, person, workspace).network += part(pico_per_gb, amount, GB)
    return cells, figures


def figures_of(rows: Rows, prices: Prices) -> Figures:
    """The figures of a period of whole hours."""
    cells, figures = gather(rows, prices)
    hours: dict[tuple[str, int], int] = {}
    places, people = figures.places, figures.people
    for (hour, person, _workspace, size, region), amounts in cells.items():
        place = places.get((hour, size, region))
        if place is None:
            places[hour, size, region] = place = Amounts()
        place.add(amounts)
        own = people.get(person)
        if own is None:
            people[person] = own = Amounts()
        own.add(amounts)
        hours[person, hour] = hours.get((person, hour), 0) + amounts.ai
    figures.costs = sorted(hours.values())
    dear = ((cost, hour, person) for (person, hour), cost in hours.items() if cost)
    figures.tail = heapq.nlargest(TAIL, dear)
    return figures


def cells_of(rows: Rows, prices: Prices) -> Iterable[Cell]:
    """Every workspace's hours, in order."""
    cells, _ = gather(rows, prices)
    return [Cell(*key, cells[key]) for key in sorted(cells)]
