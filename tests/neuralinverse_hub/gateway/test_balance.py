"""Which way is taken: the guarantees in the docstring of `balance.choose`, without a queue or a clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from neuralinverse_hub.gateway.balance import SPILL_S, choose
from neuralinverse_hub.gateway.catalogue import parse_table, shipped_rows
from neuralinverse_hub.gateway.router import Deployment, Upstream, Way

MODELS = parse_table(shipped_rows()).models
ROW = Deployment("", Upstream("sweden", "azure", "https://sweden.example/"), "one", frozenset({"llama-4"}))
ONE = Way(MODELS["llama-4"], ROW)
ALIKE = Way(MODELS["llama-4"], replace(ROW, deployment="two"))
OTHER = Way(MODELS["mistral-large"], replace(ROW, deployment="other"))


@dataclass
class Known:
    """What is said of a way's deployment."""

    allowed: bool = True
    free: bool = True
    wait_s: float = 0.0
    load: float = 1.0


def busy(wait_s: float) -> Known:
    return Known(free=False, wait_s=wait_s)


@pytest.mark.parametrize(
    ("one", "alike", "other", "taken"),
    [
        pytest.param(Known(), Known(), Known(), ONE, id="the first of equals"),
        pytest.param(Known(load=2), Known(load=1), Known(load=0), ALIKE, id="the least loaded of its model"),
        pytest.param(busy(1), Known(), Known(), ALIKE, id="a free one before a wait"),
        pytest.param(Known(allowed=False), busy(1), Known(), ALIKE, id="a short wait before another model"),
        pytest.param(busy(SPILL_S), busy(9), Known(), ONE, id="as long as that it waits"),
        pytest.param(busy(SPILL_S + 1), busy(9), Known(), OTHER, id="a long wait spills over"),
        pytest.param(busy(20), busy(30), busy(9), OTHER, id="to a wait of less than half"),
        pytest.param(busy(20), busy(30), busy(11), ONE, id="and not for a little"),
        pytest.param(busy(60), busy(60), Known(allowed=False), ONE, id="nor to what is broken"),
        pytest.param(*[Known(allowed=False)] * 3, None, id="nothing when all are"),
    ],
)
def test_the_way_that_is_taken(one: Known, alike: Known, other: Known, taken: Way | None) -> None:
    known = {"one": one, "two": alike, "other": other}
    assert choose([ONE, ALIKE, OTHER], lambda way: known[way.deployment.deployment]) is taken
