"""Months and days of UTC as microseconds of Unix time. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime

from neuralinverse_hub.economics.ledger import micros, moment

__all__ = ["day_of", "month_of", "months", "this_month"]


def _month(year: int, month: int) -> int:
    return micros(datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC))


def month_of(text: str) -> tuple[int, int]:
    """(begin, end) of ``2026-10``. Raises ValueError, with what to write."""
    try:
        day = date.fromisoformat(f"{text}-01")
        return _month(day.year, day.month), _month(day.year, day.month + 1)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no month; write for example 2026-10") from None


def day_of(text: str) -> tuple[int, int]:
    """(begin, end) of ``2026-10-31``. Raises ValueError, with what to write."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no day; write for example 2026-10-31") from None
    begin = micros(datetime(day.year, day.month, day.day, tzinfo=UTC))
    return begin, begin + 24 * 3600 * 10**6


def this_month(at: int) -> tuple[int, int]:
    """(begin, end) of the month of ``at``."""
    day = moment(at)
    return _month(day.year, day.month), _month(day.year, day.month + 1)


def months(first: int, at: int) -> list[tuple[int, int]]:
    """(begin, end) of all months from that of ``first`` to that of ``at``."""
    found = [this_month(first)]
    while found[-1][1] <= at:
        found.append(this_month(found[-1][1]))
    return found
