"""Which of several ways to take now. Pure: a route and what is known of each way in, an order out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final, Protocol

from neuralinverse_hub.gateway.router import Way

__all__ = ["SPILL_S", "Condition", "choose"]

SPILL_S: Final = 5.0
"""A wait longer than this makes a request look for another way."""


class Condition(Protocol):
    """What is known of a way's deployment now. Mostly only the first two are looked at."""

    @property
    def allowed(self) -> bool:
        """Its health lets a request through."""

    @property
    def free(self) -> bool:
        """A request would be sent at once."""

    @property
    def wait_s(self) -> float:
        """About how many seconds a request would wait."""

    @property
    def load(self) -> float:
        """Requests under way per unit of weight."""


def choose(ways: Sequence[Way], condition: Callable[[Way], Condition]) -> Way | None:
    """The way to take, or to wait for; None when none of them is allowed.

    Ways of one rank, model and region are alternatives: of those, a free one, the least loaded first. If none is free and the
    shortest wait is longer than `SPILL_S`, a later group's free way is taken instead, and else the shortest wait of
    all groups, when it is less than half as long.
    """
    # Mostly the first way is free and has no alternative, and that is that.
    if ways and (len(ways) == 1 or _kind(ways[0]) != _kind(ways[1])):
        state = condition(ways[0])
        if state.allowed and state.free:
            return ways[0]
    groups = _groups(ways, condition)
    first = next(groups, None)
    if first is None:
        return None
    if free := _least_loaded(first):
        return free
    best, state = min(first, key=lambda pair: pair[1].wait_s)
    if state.wait_s <= SPILL_S:
        return best
    later = list(groups)
    for group in later:
        if free := _least_loaded(group):
            return free
    if not later:
        return best
    other, other_state = min((pair for group in later for pair in group), key=lambda pair: pair[1].wait_s)
    return other if other_state.wait_s < state.wait_s / 2 else best


def _groups(ways: Sequence[Way], condition: Callable[[Way], Condition]) -> Iterator[list[tuple[Way, Condition]]]:
    """Allowed ways, those of one rank, model and region together."""
    for _, group in groupby(ways, key=_kind):
        if allowed := [pair for pair in ((way, condition(way)) for way in group) if pair[1].allowed]:
            yield allowed


def _kind(way: Way) -> tuple[int, str, int]:
    return way.deployment.rank, way.model.name, way.distance


def _least_loaded(group: Sequence[tuple[Way, Condition]]) -> Way | None:
    free = [pair for pair in group if pair[1].free]
    return min(free, key=lambda pair: pair[1].load)[0] if free else None
