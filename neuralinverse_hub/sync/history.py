"""Which snapshots are kept to go back to. Pure.

Below a generation lie, besides ``snap`` (the newest):

- ``recent/<time>``: the last push of an hour gone by; its parents are the other pushes of that hour. Kept until that
  hour is an hour ago, so every push of the last hour can be gone back to.
- ``at/<time>``: the same snapshot without parents. One an hour is kept for a day, one a day for thirty days.

Times are UTC, ``20261123T165959Z``, and are those of the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["SEGMENT_S", "outdated", "stamp", "time_of"]

SEGMENT_S: Final = 3600
"""Seconds after which a chain of snapshots ends and the next one begins."""

_FORMAT: Final = "%Y%m%dT%H%M%SZ"
_EVERY: Final = timedelta(hours=1)
_HOURLY: Final = timedelta(days=1)
_DAILY: Final = timedelta(days=30)


def stamp(at_s: float) -> str:
    """A time, in seconds since 1970, as it stands in a ref."""
    return datetime.fromtimestamp(at_s, UTC).strftime(_FORMAT)


def time_of(name: str) -> datetime | None:
    """The time in ``at/<time>`` or ``recent/<time>``; None for other names."""
    kind, _, text = name.partition("/")
    if kind not in ("at", "recent"):
        return None
    try:
        return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def outdated(names: Iterable[str], now_s: float) -> set[str]:
    """Those of a generation's ``at/`` and ``recent/`` names whose time is over.

    Of each hour of the last day, and of each day of the last thirty, the newest stays. Other names are never in it.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    over: set[str] = set()
    kept: set[tuple[int, ...]] = set()
    dated = [(at, name) for name in names if (at := time_of(name)) is not None]
    for at, name in sorted(dated, reverse=True):
        age = now - at
        if name.startswith("recent/"):
            if age > 2 * _EVERY:
                over.add(name)
            continue
        slot = (at.year, at.month, at.day, at.hour) if age <= _HOURLY else (at.year, at.month, at.day)
        if age > _DAILY or slot in kept:
            over.add(name)
        kept.add(slot)
    return over
