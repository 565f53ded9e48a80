"""What repositories hold is measured once an hour, by person, and a restart counts nothing twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from neuralinverse_hub import wire
from neuralinverse_hub.githost.repositories import Repositories
from neuralinverse_hub.githost.volumes import Held, Volumes, on_disk
from neuralinverse_hub.spool import from_line

NOON = 1_790_000_000 // 3600 * 3600


async def test_every_repository_is_measured_once_an_hour(tmp_path: Path) -> None:
    root = tmp_path / "git"
    repositories = Repositories(root)
    repositories.prepare()
    for person in ("ada", "zoë@example.org"):
        await repositories.open(person, "workspaces")
    blob = os.urandom(300_000)
    place = repositories.path("zoë@example.org", "workspaces")
    store = ["git", "hash-object", "-w", "--stdin"]
    await asyncio.to_thread(subprocess.run, store, cwd=place, input=blob, check=True, capture_output=True)
    sizes = {each.person: each.size for each in on_disk(root)}
    assert set(sizes) == {"ada", "zoë@example.org"}
    assert sizes["zoë@example.org"] > sizes["ada"] + 290_000

    taken: list[wire.VolumeRecord] = []
    both = asyncio.Event()

    async def take(lines: bytes) -> None:
        taken.extend(from_line(wire.VolumeRecord, line) for line in lines.splitlines())
        if len({each.record_id for each in taken}) == 4:
            both.set()

    async def measure() -> list[Held]:
        return await asyncio.to_thread(on_disk, root)

    at = float(NOON + 600)
    for moment in (at, at + 60, at + 3600):
        # Started anew each time: what it measures in the same hour has the same key.
        volumes = Volumes(root / ".records", measure, take, "git:eastus", "eastus", clock=lambda at=moment: at)  # type: ignore[misc]
        volumes.open()
        await volumes.measure()
        await volumes.close()
    await asyncio.wait_for(both.wait(), 10)
    keys = {(each.person, each.at.timestamp()) for each in taken}
    assert keys == {(person, NOON + hours * 3600) for person in sizes for hours in (0, 1)}
    assert len({each.record_id for each in taken}) == 4
    assert all(each.amount == sizes[each.person] and each.kind == "storage" for each in taken)
    # Where records wait is nobody's repository.
    assert len(on_disk(root)) == 2
