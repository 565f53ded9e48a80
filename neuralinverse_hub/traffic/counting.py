"""From two looks at the pods' counters to bytes by person and hour. Pure: knows no cluster, no clock and no file.

A counter is what a pod has sent since its network began, so what counts is the difference between two looks.
Guarantees, each with a test:
- no byte counts twice, whatever comes, goes, begins again or does not answer between two looks;
- nothing is negative;
- all that a look has seen is in the sums, but for what was sent before anybody looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from neuralinverse_hub import wire

__all__ = ["Count", "Pod", "Sum", "count", "from_json", "to_json"]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that a workspace may be in, as one look saw it."""

    uid: str
    person: str
    """Empty: it waits for somebody."""
    workspace: str
    sent: int | None
    """Bytes since its network began; None: its node did not say."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What one pod sent for one person within the hour, in bytes."""

    person: str
    workspace: str
    amount: int


@dataclass(frozen=True, slots=True)
class Count:
    """How far the counting is; all that has to be kept between two looks."""

    hour: int
    """Unix time in whole hours."""
    seen: Mapping[str, int | None]
    """What each pod had sent at the last look, by its uid; None: it was there at the first look, and nobody knows."""
    sums: Mapping[str, Sum]
    """By the pod's uid: what was sent within ``hour`` until now."""


def count(before: Count | None, pods: Iterable[Pod], hour: int, region: str) -> tuple[Count, list[wire.VolumeRecord]]:
    """The count after another look, and the records of the hour that ended with it; none while it lasts.

    ``before`` is None at the very first look: what was sent until then counts for nobody, since it may have been counted by
    somebody whose count is lost. A difference belongs to the hour, and to the person, that its later look finds: what a pod
    sent while it waited for somebody is nobody's. A pod that is not among ``pods`` is gone for good.
    """
    pods = list(pods)
    if before is None:
        return Count(hour, {pod.uid: pod.sent for pod in pods}, {}), []
    # A clock that was set back does not open an hour again whose records are out.
    hour = max(hour, before.hour)
    closed = _records(before, region) if hour > before.hour else []
    sums = {} if hour > before.hour else dict(before.sums)
    seen: dict[str, int | None] = {}
    for pod in pods:
        if pod.sent is None:
            # Known ones keep their last word; a new one stays new.
            if pod.uid in before.seen:
                seen[pod.uid] = before.seen[pod.uid]
            continue
        seen[pod.uid] = pod.sent
        amount = _difference(before.seen.get(pod.uid, 0), pod.sent)
        if pod.person and amount:
            earlier = sums[pod.uid].amount if pod.uid in sums else 0
            sums[pod.uid] = Sum(pod.person, pod.workspace, earlier + amount)
    return Count(hour, seen, sums), closed


def _difference(earlier: int | None, now: int) -> int:
    if earlier is None:
        return 0
    # Less than before: the pod's network was made anew, e.g. with its node, and all of this is since then.
    return now - earlier if now >= earlier else now


def _records(ended: Count, region: str) -> list[wire.VolumeRecord]:
    at = datetime.fromtimestamp(ended.hour * 3600, UTC)
    return [
        wire.VolumeRecord(
            f"network:{region}:{ended.hour}:{uid}", at, "network", each.person, each.workspace, region, each.amount
        )
        for uid, each in sorted(ended.sums.items())
    ]


def to_json(count: Count) -> dict[str, Any]:
    """The count as JSON has it."""
    sums = {uid: [each.person, each.workspace, each.amount] for uid, each in count.sums.items()}
    return {"hour": count.hour, "seen": dict(count.seen), "sums": sums}


def from_json(found: Mapping[str, Any]) -> Count:
    """The count that `to_json` made it of. Raises ValueError, KeyError, TypeError or AttributeError for anything else."""
    return Count(int(found["hour"]), dict(found["seen"]), {uid: Sum(*each) for uid, each in found["sums"].items()})
