"""How many warm pods there should be, and what to do about those that there are. Pure: no clock, no network.

A warm pod is *unclaimed* until one start takes it by an atomic patch, and *claimed* from then on for ever: no rule here
makes a claimed pod unclaimed again. Guarantees, each with a test:

- `wanted` stays within an operator's ``min`` and ``max``, whatever the clock and the demand say;
- carrying out a plan never takes the unclaimed pods of one template above what is wanted, nor above ``max``;
- with a cluster that does what it is told, plans come to an end: as many ready pods as wanted, nothing else unclaimed;
- a claimed pod is touched only when no workspace has known it for longer than the grace period;
- a template that does not work is tried again ever more seldom, one pod at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["BadPool", "Bounds", "Health", "Plan", "Seen", "Window", "count", "parse_bounds", "plan", "wanted"]

BURST: Final = timedelta(minutes=2)
"""About the time until a pod that was ordered is ready, with its node: what comes within it must be in stock."""
MEMORY: Final = timedelta(minutes=30)
"""How long a burst is remembered."""
STEP: Final = 5
"""Pods created, and pods drained, in one round: a change of template must not be a storm."""
FIRST_DELAY_S: Final = 10.0
LONGEST_DELAY_S: Final = 600.0

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class BadPool(ValueError):
    """The pool's configuration is not one; the message says what was written and what to write."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week in which at least ``min`` are kept, e.g. from before the first login of a working day."""

    days: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo
    min: int

    def holds(self, now: datetime) -> bool:
        there = now.astimezone(self.zone)
        if self.start <= self.end:
            return there.weekday() in self.days and self.start <= there.time() < self.end
        # Over midnight: the part after it belongs to the day before.
        before = (there.weekday() - 1) % 7
        return (there.weekday() in self.days and there.time() >= self.start) or (
            before in self.days and there.time() < self.end
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an operator wants of the pool of one size."""

    min: int = 0
    max: int = 0
    fixed: int | None = None
    """Exactly that many, whatever the clock and the demand say."""
    paused: bool = False
    """Nothing is created; what is there stays and is claimed."""
    schedule: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A warm pod as the cluster shows it."""

    name: str
    template: str
    """Key of the template it was made from."""
    claimed: bool
    since: datetime
    """When it was made; of a claimed one, when it was claimed."""
    ready: bool = False
    broken: str = ""
    """Why it will never become ready, in the cluster's words; empty while it may."""
    leaving: bool = False
    known: bool = True
    """Of a claimed one: whether a workspace of this hub is in it."""


@dataclass(frozen=True, slots=True)
class Health:
    """How often in a row the template did not work, and when it is tried again."""

    failures: int = 0
    retry_at: datetime | None = None
    reason: str = ""

    def failed(self, now: datetime, reason: str) -> Health:
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self.failures, 16))
        return Health(self.failures + 1, now + timedelta(seconds=delay_s), reason)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now. Names are of pods."""

    create: int = 0
    drain: tuple[str, ...] = ()
    """Unclaimed pods to delete, provided that they still are unclaimed."""
    sweep: tuple[str, ...] = ()
    """Claimed pods that no workspace knows."""
    broken: str = ""
    """Why pods of the current template failed, when some of ``drain`` did."""


def wanted(bounds: Bounds, now: datetime, claims: Sequence[datetime]) -> int:
    """How many unclaimed pods there should be.

    The largest of ``min``, the schedule's and the largest number of ``claims`` within `BURST` during the last `MEMORY`:
    what came at once lately may come at once again. Never more than ``max``.
    """
    if bounds.fixed is not None:
        return bounds.fixed
    floor = max([bounds.min, *(window.min for window in bounds.schedule if window.holds(now))])
    return min(bounds.max, max(floor, _largest_burst(now, claims)))


def _largest_burst(now: datetime, claims: Sequence[datetime]) -> int:
    recent = sorted(at for at in claims if now - MEMORY < at <= now)
    largest, first = 0, 0
    for last, at in enumerate(recent):
        while at - recent[first] > BURST:
            first += 1
        largest = max(largest, last - first + 1)
    return largest


def plan(
    template: str,
    want: int,
    seen: Sequence[Seen],
    now: datetime,
    health: Health = Health(),
    *,
    paused: bool = False,
    grace: timedelta = timedelta(minutes=2),
) -> Plan:
    """What brings the pods of one size from ``seen`` to ``want`` ready ones of ``template``, one step of it."""
    there = [pod for pod in seen if not pod.leaving]
    unclaimed = [pod for pod in there if not pod.claimed]
    broken = [pod for pod in unclaimed if pod.broken]
    stale = [pod for pod in unclaimed if not pod.broken and pod.template != template]
    current = [pod for pod in unclaimed if not pod.broken and pod.template == template]
    reason = next((pod.broken for pod in broken if pod.template == template), "")

    if health.failures:
        # One pod finds out as well as ten whether the template works again.
        want = min(want, sum(pod.ready for pod in current) + 1)
    # Those that are still starting go first, then the youngest: who waited longest is claimed next.
    surplus = sorted(current, key=lambda pod: (pod.ready, -pod.since.timestamp(), pod.name))[
        : max(0, len(current) - want)
    ]
    may_create = not (paused or reason or (health.retry_at and now < health.retry_at))
    oldest_first = sorted(stale, key=lambda pod: (pod.since, pod.name))
    return Plan(
        create=min(STEP, max(0, want - len(current))) if may_create else 0,
        drain=tuple(pod.name for pod in [*broken, *[*oldest_first, *surplus][:STEP]]),
        sweep=tuple(pod.name for pod in there if pod.claimed and not pod.known and now - pod.since > grace),
        broken=reason,
    )


def parse_bounds(size: str, written: object) -> Bounds:
    """``{"min": 2, "max": 20, "schedule": [...]}`` of one size. Raises `BadPool`."""
    if not isinstance(written, Mapping):
        raise BadPool(f'pool of {size!r} is {written!r}; write a dict like {{"min": 1, "max": 10}}')
    known = ("min", "max", "fixed", "paused", "schedule")
    if unknown := sorted(set(written) - set(known)):
        raise BadPool(f"pool of {size!r} has {', '.join(map(repr, unknown))}; known: {', '.join(known)}")
    low = count(size, "min", written.get("min", 0))
    high = count(size, "max", written.get("max", max(low, 10)))
    if low > high:
        raise BadPool(f"pool of {size!r}: min is {low} and max {high}; min cannot be larger")
    fixed = written.get("fixed")
    return Bounds(
        min=low,
        max=high,
        fixed=None if fixed is None else count(size, "fixed", fixed),
        paused=bool(written.get("paused", False)),
        schedule=tuple(_window(size, row) for row in written.get("schedule", ())),
    )


def count(size: str, key: str, value: object) -> int:
    """``value``, if it is a number of pods. Raises `BadPool`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadPool(f"pool of {size!r}: {key} is {value!r}; write a whole number, 0 or more")
    return value


def _window(size: str, row: Any) -> Window:
    example = '{"days": "mon-fri", "from": "07:30", "to": "10:00", "zone": "Europe/Berlin", "min": 8}'
    try:
        first, _, last = str(row.get("days", "mon-sun")).lower().partition("-")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        return Window(
            days=frozenset((start + n) % 7 for n in range((end - start) % 7 + 1)),
            start=time.fromisoformat(row["from"]),
            end=time.fromisoformat(row["to"]),
            zone=ZoneInfo(row.get("zone", "UTC")),
            min=count(size, "schedule's min", row["min"]),
        )
    except (AttributeError, KeyError, TypeError, ZoneInfoNotFoundError, ValueError) as error:
        if isinstance(error, BadPool):
            raise
        raise BadPool(f"pool of {size!r}: schedule has {row!r}; write a row like {example} ({error})") from error
