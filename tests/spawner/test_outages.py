"""What is decided while a cluster does not answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

outages = pytest.importorskip(
    "spawner.outages", reason="needs jupyterhub-kubespawner: pip install 'neuralinverse-hub[kubernetes]'"
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("due", "late"),
    [
        (None, False),
        (NOW + timedelta(seconds=30), False),
        (NOW - timedelta(seconds=14), False),
        (NOW - timedelta(seconds=16), True),
    ],
    ids=["is not being deleted", "has its grace period", "its node is slow", "its node is gone"],
)
def test_a_pod_is_overdue_some_seconds_after_it_should_be_gone(due: datetime | None, late: bool) -> None:
    metadata = {"name": "jupyter-ada"} | ({"deletionTimestamp": f"{due:%Y-%m-%dT%H:%M:%SZ}"} if due else {})
    assert outages.overdue({"metadata": metadata}, NOW) is late


class Watch:
    """As KubeSpawner's spawner is, as far as its watches go."""

    def __init__(self) -> None:
        self.reflectors: dict[str, Any] = {}
        self.begun: list[bool] = []

    def _get_reflector_key(self, kind: str) -> str:
        return kind

    async def _start_reflector(self, kind: str, _class: Any, replace: bool = False) -> None:
        self.begun.append(replace)
        if replace or kind not in self.reflectors:
            # Set before anything is awaited, as KubeSpawner does.
            self.reflectors[kind] = SimpleNamespace(first_load_future=asyncio.Future(), watch_task=None)
            await asyncio.sleep(0)


class Spawner(outages.OutageMixin, Watch):
    pass


async def test_a_watch_is_begun_anew_when_it_gave_up_and_only_then() -> None:
    spawner = Spawner()
    await spawner._start_reflector("pods", None)
    there = spawner.reflectors["pods"]
    await spawner._start_reflector("pods", None)
    there.first_load_future.set_result(None)
    there.watch_task = asyncio.ensure_future(asyncio.Event().wait())
    await spawner._start_reflector("pods", None)
    assert spawner.begun == [False, False, False], "it is watching"
    there.watch_task.cancel()
    await asyncio.wait([there.watch_task])
    spawner.begun.clear()
    await asyncio.gather(*(spawner._start_reflector("pods", None) for _ in range(50)))
    assert spawner.begun.count(True) == 1, "fifty workspaces are asked about at once, and one watch is enough"
    failed = spawner.reflectors["pods"].first_load_future
    failed.set_exception(ConnectionError("refused"))
    spawner.begun.clear()
    await spawner._start_reflector("pods", None)
    assert spawner.begun == [True], "what could not look once has to look again"
