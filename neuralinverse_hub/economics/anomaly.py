"""Person-hours far outside of what is usual, and what is behind each. Pure.

They are for the operator to look at; nothing is ever limited because of them.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from neuralinverse_hub.economics.money import show_usd

__all__ = ["Alert", "Request", "cause", "threshold"]

FAR: Final = 4.0
"""Robust standard deviations of the logarithm, beyond which an hour is far outside."""
TIMES_P99: Final = 3
LEAST: Final = 10**12
"""Pico-dollars; what costs less is not worth an alert."""
ENOUGH: Final = 50
"""Person-hours with AI, below which nobody knows what is usual."""
_LOOP_REQUESTS: Final = 30
_REGULAR: Final = 0.35
_SAME: Final = 0.05


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request of a person-hour."""

    at: int
    workspace: str
    task: str
    model: str
    input_tokens: int
    output_tokens: int
    pico: int
    retries: int
    client: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """A person-hour far outside, for the operator."""

    person: str
    hour: int
    pico: int
    cause: str
    is_loop: bool


def threshold(costs: Sequence[int]) -> int | None:
    """The AI cost of a person-hour, in pico-dollars, above which it is far outside; None while too few are known.

    Median and median deviation of the logarithms: what is far outside does not move the bounds itself.
    """
    used = sorted(cost for cost in costs if cost > 0)
    if len(used) < ENOUGH:
        return None
    logs = [math.log(cost) for cost in used]
    middle = statistics.median(logs)
    deviation = 1.4826 * statistics.median(abs(each - middle) for each in logs)
    # Of the hours that are not far outside for sure; at most one in a hundred may be.
    p99 = used[max(0, len(used) * 98 // 100 - 1)]
    return max(round(math.exp(middle + FAR * max(deviation, 0.1))), TIMES_P99 * p99, LEAST)


def cause(requests: Sequence[Request]) -> tuple[str, bool]:
    """(what made an hour dear, in words for the operator; whether it looks like a program going round in circles)."""
    if not requests:
        return "its single requests are not kept any more", False

    def kind(each: Request) -> tuple[str, str, str, str]:
        return each.model, each.task, each.workspace, each.client

    spent: Counter[tuple[str, str, str, str]] = Counter()
    for each in requests:
        spent[kind(each)] += each.pico
    (model, task, workspace, client), most = spent.most_common(1)[0]
    same = [each for each in requests if kind(each) == (model, task, workspace, client)]
    whole = sum(spent.values())
    share = f"{100 * most / whole:.0f} % of it" if whole else "most of it"
    words = (
        f"{len(requests):,} requests; {share} is {len(same):,} to {model} for {task} from workspace {workspace}"
        f"{f' by {client}' if client else ''}, {show_usd(most // len(same), 4)} USD each"
    )
    loop = _loop(same)
    return words + (f"; {loop}" if loop else ""), bool(loop)


def _loop(requests: Sequence[Request]) -> str:
    """What makes these look like a program that repeats itself; empty when nothing does."""
    if len(requests) < _LOOP_REQUESTS:
        return ""
    times = sorted(each.at for each in requests)
    gaps = [(b - a) / 10**6 for a, b in pairwise(times)]
    mean = statistics.fmean(gaps)
    signs = []
    # Of people's requests the gaps vary as much as they last; of a program's they do not.
    if mean > 0 and statistics.pstdev(gaps) < _REGULAR * mean:
        signs.append(f"one every {mean:.1f} s")
    inputs = [each.input_tokens for each in requests]
    size = statistics.fmean(inputs)
    if size and statistics.pstdev(inputs) < _SAME * size:
        signs.append(f"all of about {size:,.0f} tokens")
    elif sum(b > a for a, b in pairwise(inputs)) >= 0.95 * (len(inputs) - 1):
        signs.append("each longer than the one before")
    if sum(each.retries for each in requests) > len(requests):
        signs.append("most of them repeated")
    return f"looks like a loop: {', '.join(signs)}" if signs else ""
