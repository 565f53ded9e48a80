"""Figures as the page needs them. Pure. Money is text in USD, exact; shares are text; null is unknown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from neuralinverse_hub.economics.anomaly import Alert
from neuralinverse_hub.economics.figures import Amounts, Cell, Figures, day_of_hour
from neuralinverse_hub.economics.ledger import moment
from neuralinverse_hub.economics.money import from_pico
from neuralinverse_hub.economics.report import Report
from neuralinverse_hub.economics.stints import HOUR

__all__ = ["alert_row", "day_view", "month_view", "row"]

_COMPONENTS: Final = ("revenue", "ai", "storage", "network", "machine", "cost", "margin")
_PEOPLE: Final = 25
_BARS: Final = 30


def _usd(pico: int) -> str:
    return f"{from_pico(pico):f}"


def _share(share: Decimal | None) -> str | None:
    return None if share is None else f"{share:.6f}"


def row(name: str, amounts: Amounts) -> dict[str, Any]:
    """One line of a table."""
    return {
        "name": name,
        "hours": f"{amounts.hours:.4f}",
        **{each: _usd(getattr(amounts, each)) for each in _COMPONENTS},
        "ai_share": _share(amounts.share(amounts.ai)),
        "margin_share": _share(amounts.share(amounts.margin)),
    }


def _rows(named: Mapping[str, Amounts]) -> list[dict[str, Any]]:
    return [row(name, amounts) for name, amounts in named.items()]


def alert_row(alert: Alert, weights: Mapping[str, float]) -> dict[str, Any]:
    """An alert, with the person's weight in the fair queues."""
    return {
        "person": alert.person,
        "at": moment(alert.hour * HOUR).isoformat(),
        "usd": _usd(alert.pico),
        "cause": alert.cause,
        "loop": alert.is_loop,
        "weight": weights.get(alert.person, 1.0),
    }


def month_view(report: Report, today: date) -> dict[str, Any]:
    """All that the page shows of a month."""
    figures = report.figures
    begin, end = moment(report.begin).date(), moment(report.end).date()
    by_day = report.by("day")
    days = []
    day = begin
    while day < end and (day <= today or day.isoformat() in by_day):
        days.append(row(day.isoformat(), by_day.get(day.isoformat(), Amounts())))
        day += timedelta(days=1)
    people = sorted(figures.people.items(), key=lambda each: (-each[1].ai, each[0]))
    spread, even = report.spread, report.break_even
    return {
        "month": begin.isoformat()[:7],
        "today": row("today", by_day.get(today.isoformat(), Amounts())) if begin <= today < end else None,
        "total": row("total", report.total),
        "days": days,
        "heat": _heat(figures, begin, len(days)),
        "sizes": _rows(report.by("size")),
        "regions": _rows(report.by("region")),
        "people": _rows(dict(people[:_PEOPLE])),
        "people_count": len(people),
        "models": [
            {
                "task": task,
                "model": model,
                "requests": numbers[0],
                "input": numbers[1],
                "output": numbers[3],
                "usd": _usd(numbers[4]),
                "even_tokens": even.by_model.get(model) if even else None,
            }
            for (task, model), numbers in sorted(figures.models.items(), key=lambda each: (-each[1][4], each[0]))
        ],
        "spread": {
            "count": spread.count,
            **{name: _usd(getattr(spread, name)) for name in ("p50", "p90", "p99", "max")},
            "top_percent": _share(spread.top_percent),
            "bars": _bars(figures.costs),
        },
        "break_even": even and {"usd": _usd(even.pico_per_hour), "tokens": even.tokens_per_hour},
        "unpriced": report.unpriced.words(),
    }


def _heat(figures: Figures, begin: date, days: int) -> dict[str, list[list[str]]]:
    """For each day a row with 24 hours: hours run, and USD of AI."""
    hours = [[Decimal(0)] * 24 for _ in range(days)]
    spent = [[0] * 24 for _ in range(days)]
    for (hour, _size, _region), amounts in figures.places.items():
        day = (day_of_hour(hour) - begin).days
        if 0 <= day < days:
            hours[day][hour % 24] += amounts.hours
            spent[day][hour % 24] += amounts.ai
    return {
        "hours": [[f"{each:.3f}" for each in line] for line in hours],
        "ai": [[_usd(each) for each in line] for line in spent],
    }


def _bars(costs: Sequence[int]) -> list[dict[str, Any]]:
    """How many person-hours cost from … to … USD of AI: bounds grow by the same factor, because the tail is long."""
    used = [cost for cost in costs if cost > 0]
    found: list[dict[str, Any]] = [{"from": "0", "to": "0", "count": len(costs) - len(used)}]
    if not used:
        return found
    low, high = math.floor(3 * math.log10(min(used))), math.floor(3 * math.log10(max(used)))
    step = max(1, -(-(high - low + 1) // _BARS))
    counts = Counter((math.floor(3 * math.log10(cost)) - low) // step for cost in used)
    for bar in range((high - low) // step + 1):
        bounds = (round(10 ** ((low + (bar + more) * step) / 3)) for more in (0, 1))
        start, stop = (f"{from_pico(each):.3g}" for each in bounds)
        found.append({"from": f"{Decimal(start):f}", "to": f"{Decimal(stop):f}", "count": counts[bar]})
    return found


def day_view(report: Report, cells: Iterable[Cell]) -> dict[str, Any]:
    """All that the page shows of a day: its hours, and its dearest workspaces."""
    found = sorted(cells, key=lambda each: (-each.amounts.ai, -each.amounts.time, each.hour, each.person))
    by_hour = report.by("hour")
    return {
        "day": moment(report.begin).date().isoformat(),
        "total": row("total", report.total),
        "hours": [row(f"{hour:02d}:00", by_hour.get(f"{hour:02d}:00", Amounts())) for hour in range(24)],
        "cells": [
            {
                **row(f"{cell.hour % 24:02d}:00", cell.amounts),
                "person": cell.person,
                "workspace": cell.workspace,
                "size": cell.size,
                "region": cell.region,
            }
            for cell in found[:_PEOPLE]
        ],
        "cells_count": len(found),
        "models": month_view(report, moment(report.begin).date())["models"],
        "unpriced": report.unpriced.words(),
    }
