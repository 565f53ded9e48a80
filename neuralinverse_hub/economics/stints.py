"""Stretches of a workspace's running: what two reports of one make together, and what of it falls into which hour. Pure.

All times are whole microseconds of Unix time, so neither a time zone nor a change of the local clock can lengthen an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

__all__ = ["DAY", "HOUR", "Stint", "closed", "merged", "pieces"]

HOUR: Final = 3600 * 10**6
"""Microseconds."""
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Stint:
    """``person``, ``workspace`` and ``started`` identify it. ``ended`` None: it runs, as far as anybody said."""

    person: str
    workspace: str
    started: int
    size: str
    region: str
    ended: int | None
    exact: bool
    seen: int
    """When somebody last said that it ran."""
    generation: int = 0
    """Which start of the workspace it is; 0: unknown."""

    @property
    def key(self) -> tuple[str, str, int]:
        return self.person, self.workspace, self.started


def merged(one: Stint, other: Stint) -> Stint:
    """What two reports of the same stint say together, in whichever order they came, and how often.

    An end that somebody saw beats one that was only inferred; of two inferred ones, as of two seen ones, the later. Who
    was seen running after an inferred end runs.
    """
    seen = max(one.seen, other.seen)
    ends = [(each.exact, each.ended) for each in (one, other) if each.ended is not None]
    exact, ended = max(ends, default=(True, None))
    if ended is not None and not exact and ended < seen:
        exact, ended = True, None
    return replace(
        one,
        size=max(one.size, other.size),
        region=max(one.region, other.region),
        ended=ended,
        exact=exact,
        seen=seen,
        generation=max(one.generation, other.generation),
    )


def closed(stints: Iterable[Stint], now: int) -> list[Stint]:
    """The stints with an end each, none overlapping an other of the same workspace, in order.

    Whoever started a workspace again has proved that it did not run any more; what is still open runs until ``now``.
    An end before its start, which a clock set back can give, makes an empty stint.
    """
    ordered = sorted(stints, key=lambda each: each.key)
    found = []
    for stint, after in pairwise([*ordered, None]):
        assert stint is not None
        end = now if stint.ended is None else stint.ended
        if after is not None and after.key[:2] == stint.key[:2]:
            end = min(end, after.started)
        found.append(replace(stint, ended=max(end, stint.started)))
    return found


def pieces(stint: Stint, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """(hour of Unix time, microseconds of it) of a closed stint between ``begin`` and ``end``; they add up to the whole."""
    assert stint.ended is not None
    at, stop = max(stint.started, begin), min(stint.ended, end)
    while at < stop:
        hour = at // HOUR
        until = min(stop, (hour + 1) * HOUR)
        yield hour, until - at
        at = until
