"""The meter on a real disk and with a real ledger: an hour is handed over once, whatever ends the meter and when."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.economics.ledger import Ledger
from neuralinverse_hub.spool import from_line, to_line
from neuralinverse_hub.traffic.counting import Pod
from neuralinverse_hub.traffic.errors import ClusterAway
from neuralinverse_hub.traffic.meter import Meter

NOON = 1_790_000_000 // 3600 * 3600


class Scene:
    """Pods that send, a clock, and a ledger; of all three, what a meter sees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent: dict[str, int | None] = {}
        self.now = float(NOON)
        self.away = False
        self.ledger = Ledger(f"sqlite:///{folder}/economics.sqlite")
        self.ledger.upgrade()
        self.handed: list[wire.VolumeRecord] = []
        self.takes = True

    async def look(self) -> list[Pod]:
        if self.away:
            raise ClusterAway("nobody answers")
        return [Pod(uid, "ada", uid, sent) for uid, sent in self.sent.items()]

    async def deliver(self, lines: bytes) -> None:
        if not self.takes:
            raise ConnectionError("the ledger is away")
        records = [from_line(wire.VolumeRecord, line) for line in lines.splitlines()]
        self.handed += records
        self.ledger.add_volume(records)

    @asynccontextmanager
    async def meter(self) -> AsyncIterator[Meter]:
        meter = Meter(self.folder / "traffic", self.look, self.deliver, "eastus", clock=lambda: self.now)
        meter.open()
        try:
            yield meter
        finally:
            await meter.close()

    def counted(self) -> dict[str, int]:
        with self.ledger.reading() as connection:
            rows = connection.exec_driver_sql("SELECT workspace, SUM(amount) FROM volume GROUP BY workspace").all()
        return {workspace: int(amount) for workspace, amount in rows}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.ledger.close()


async def test_an_hour_is_in_the_ledger_when_it_has_ended(scene: Scene) -> None:
    scene.sent = {"one": 0, "two": 10}
    async with scene.meter() as meter:
        await meter.measure()
        scene.sent = {"one": 5_000_000, "two": 10, "three": 70}
        await meter.measure()
        scene.now += 3600
        await meter.measure()
    assert scene.counted() == {"one": 5_000_000, "three": 70}


async def test_a_meter_that_restarts_goes_on_where_it_was(scene: Scene) -> None:
    scene.sent = {"one": 100}
    for amount in (100, 150, 250):
        scene.sent["one"] = amount
        async with scene.meter() as meter:
            await meter.measure()
    # Away for two hours; what was sent meanwhile counts when it is seen.
    scene.now += 7200
    scene.sent = {"one": 1250, "two": 7}
    async with scene.meter() as meter:
        await meter.measure()
        scene.now += 3600
        await meter.measure()
    assert scene.counted() == {"one": 1150, "two": 7}


async def test_a_meter_that_is_killed_between_its_steps_hands_nothing_over_twice(scene: Scene, tmp_path: Path) -> None:
    scene.sent = {"one": 0}
    async with scene.meter() as meter:
        await meter.measure()
        scene.sent = {"one": 300}
        await meter.measure()
        scene.now += 3600
        await meter.measure()
    assert scene.counted() == {"one": 300}
    # As it lay on the disk after the count and the hour's records were written, before they were handed on.
    count = tmp_path / "traffic" / "count.json"
    written = json.loads(count.read_text())
    assert written["closed"] == []
    count.write_text(json.dumps({**written, "closed": [to_line(each) for each in scene.handed]}))
    async with scene.meter() as meter:
        await meter.measure()
    assert len(scene.handed) == 2 and len({each.record_id for each in scene.handed}) == 1
    assert scene.counted() == {"one": 300}


async def test_a_ledger_that_is_away_gets_the_records_later(scene: Scene) -> None:
    scene.sent, scene.takes = {"one": 0}, False
    async with scene.meter() as meter:
        await meter.measure()
        scene.sent["one"] = 11
        await meter.measure()
        scene.now += 3600
        await meter.measure()
    assert scene.counted() == {}
    scene.takes = True
    async with scene.meter():
        pass
    assert scene.counted() == {"one": 11}


async def test_a_disk_that_takes_nothing_loses_nothing(scene: Scene, tmp_path: Path) -> None:
    scene.sent = {"one": 0}
    async with scene.meter() as meter:
        await meter.measure()
        scene.sent["one"] = 40
        # In the way of the file that takes the count's place.
        blocked = tmp_path / "traffic" / "count.part"
        blocked.mkdir()
        with pytest.raises(OSError):
            await meter.measure()
        blocked.rmdir()
        scene.sent["one"] = 45
        await meter.measure()
        scene.now += 3600
        await meter.measure()
    assert scene.counted() == {"one": 45}


async def test_a_cluster_that_does_not_answer_is_looked_at_again(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.sent, scene.away = {"one": 0}, True
    async with scene.meter() as meter:
        with pytest.raises(ClusterAway):
            await meter.measure()
        scene.away = False
        await meter.measure()
        scene.sent["one"] = 3
        await meter.measure()
        scene.now += 3600
        await meter.measure()
    assert scene.counted() == {"one": 3}


async def test_a_count_that_cannot_be_read_is_kept_aside_and_said(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "traffic"
    folder.mkdir()
    (folder / "count.json").write_text('{"count": []}')
    scene.sent = {"one": 10**9}
    async with scene.meter() as meter:
        assert "begins anew" in caplog.text
        await meter.measure()
        scene.sent["one"] = 10**9 + 4
        await meter.measure()
        scene.now += 3600
        await meter.measure()
    assert scene.counted() == {"one": 4}
    assert (folder / "count.bad").exists()
