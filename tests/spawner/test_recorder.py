"""Notes of when workspaces ran survive a hub that ends at once, and never hold up a start."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.spool import from_line
from spawner.recorder import Recorder

NOON = datetime(2026, 10, 1, 12)


async def away(lines: bytes) -> None:
    raise OSError("the ledger is away")


def segments(folder: Path) -> list[Path]:
    return list(folder.glob("*.jsonl"))


async def test_what_an_earlier_hub_left_is_handed_over_before_anything_starts(tmp_path: Path) -> None:
    first = Recorder(tmp_path, away, "eastus", "medium")
    await first.record("ada", "", NOON, None, "", 7)
    # It is on the disk: the process may end now.
    assert len(segments(tmp_path)) == 1
    await first.close()

    taken: list[wire.ComputeRecord] = []
    done = asyncio.Event()

    async def take(lines: bytes) -> None:
        taken.extend(from_line(wire.ComputeRecord, line) for line in lines.splitlines())
        done.set()

    second = Recorder(tmp_path, take)
    second.begin_soon()
    await asyncio.wait_for(done.wait(), 10)
    await second.close()
    started = NOON.replace(tzinfo=UTC)
    assert taken == [wire.ComputeRecord("ada", "default", started, "medium", "eastus", None, generation=7)]


async def test_a_folder_that_cannot_be_written_holds_up_no_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    recorder = Recorder(tmp_path / "file" / "below", away)
    await recorder.record("ada", "gpu", NOON, None, "large", 1)
    assert "the hours of a workspace of ada are not recorded" in caplog.text


def test_all_spawners_share_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, away)
    assert deepcopy({"recorder": recorder})["recorder"] is recorder
    # Without an event loop, as in a test of the configuration, nothing is begun.
    recorder.begin_soon()
    assert list(tmp_path.iterdir()) == []
