"""What is kept of days that are over is what working them out anew gives, whatever comes late."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from neuralinverse_hub import wire
from neuralinverse_hub.economics import days, rows
from neuralinverse_hub.economics.figures import Figures, figures_of
from neuralinverse_hub.economics.ledger import Ledger, micros
from neuralinverse_hub.economics.prices import default_prices, parse
from neuralinverse_hub.economics.stints import Stint
from tests.neuralinverse_hub.economics.records import NOON, compute, usage

OCTOBER = micros(datetime(2026, 10, 1, tzinfo=UTC))
NOVEMBER = micros(datetime(2026, 11, 1, tzinfo=UTC))
NOW = micros(datetime(2026, 10, 20, 15, tzinfo=UTC))


def kept(ledger: Ledger) -> tuple[Figures, list[int]]:
    total = Figures()
    fresh = days.by_day(ledger, default_prices(), OCTOBER, NOVEMBER, NOW, total.add)
    total.costs.sort()
    return total, fresh


def anew(ledger: Ledger) -> Figures:
    return figures_of(rows.of_period(ledger, OCTOBER, NOVEMBER, NOW), default_prices())


def changes(ledger: Ledger, chance: random.Random) -> list[Callable[[], Any]]:
    """Everything that can happen to a ledger."""

    def when() -> datetime:
        return NOON + timedelta(hours=chance.randrange(-12, 24 * 19))

    def ran() -> list[wire.ComputeRecord]:
        began = when()
        person, length = chance.choice("abc"), timedelta(hours=chance.randrange(50))
        return [
            compute(began, chance.choice([None, began + length]), person=person, size=chance.choice(["small", "x"]))
        ]

    def seen() -> list[Stint]:
        began = micros(when())
        return [Stint(chance.choice("abc"), "default", began, "large", "eastus", None, True, NOW)]

    def number() -> int:
        return chance.randrange(10**9)

    return [
        lambda: ledger.add_usage([usage(number(), at=when(), person=chance.choice("abc")) for _ in range(3)]),
        lambda: ledger.add_usage([usage(number(), None, at=when(), model=chance.choice(["?", "llama-4"]))]),
        lambda: ledger.add_compute(ran()),
        lambda: ledger.reconcile(seen(), NOW, "eastus"),
        lambda: ledger.add_volume(
            [wire.VolumeRecord(str(number()), when(), "storage", "a", "default", "eastus", 10**12)]
        ),
        lambda: ledger.pseudonymise(micros(when()) - 30 * 24 * 3600 * 10**6),
    ]


def test_what_is_kept_is_what_working_it_out_anew_gives(open_ledger: Callable[[], Ledger]) -> None:
    ledger = open_ledger()
    ledger._clock = lambda: NOW
    ledger.upgrade()
    for seed in range(4):
        chance = random.Random(seed)
        for _ in range(12):
            chance.choice(changes(ledger, random.Random(chance.random())))()
            found, _ = kept(ledger)
            assert found == anew(ledger)
    ledger.pseudonymise(NOW)
    found, _ = kept(ledger)
    assert found == anew(ledger)
    assert any(person.startswith("anonymous/") for person in found.people)


def test_only_days_that_changed_are_worked_out_again(open_ledger: Callable[[], Ledger]) -> None:
    ledger = open_ledger()
    ledger._clock = lambda: NOW
    ledger.upgrade()
    ledger.add_usage([usage(1)])
    assert len(kept(ledger)[1]) == 19
    assert kept(ledger)[1] == []
    late = usage(2, at=NOON + timedelta(days=3))
    ledger.add_usage([late])
    assert kept(ledger)[1] == [OCTOBER // days.DAY + 3]
    # Known already: nothing changed.
    ledger.add_usage([late, replace(late, duration_s=9.0)])
    assert kept(ledger)[1] == []
    # Other prices, other figures.
    fresh = days.by_day(ledger, parse({}), OCTOBER, NOVEMBER, NOW, Figures().add)
    assert len(fresh) == 19
