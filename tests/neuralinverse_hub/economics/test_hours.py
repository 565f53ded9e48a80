"""Workspace-hours of a real hub: exact through a restart, a kill, and a workspace that dies."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.neuralinverse_hub.economics.real_hub import RealHub, processes
from tests.one_machine import eventually

pytestmark = pytest.mark.hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RealHub]:
    hub = RealHub(tmp_path)
    hub.start()
    yield hub
    hub.stop()
    # Those of a hub that was killed live on until somebody ends them.
    for process in processes(tmp_path):
        process.kill()


def stints(hub: RealHub) -> list[dict[str, Any]]:
    connection = sqlite3.connect(hub.folder / "economics.sqlite")
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM stint ORDER BY started")]
    finally:
        connection.close()


def at(row: dict[str, Any], name: str) -> datetime:
    return datetime.fromtimestamp(row[name] / 10**6, UTC)


def start(hub: RealHub, person: str) -> datetime:
    hub.api("POST", f"users/{person}")
    assert hub.api("POST", f"users/{person}/server").status_code in (201, 202)
    eventually(
        "the workspace ready", lambda: (hub.api("GET", f"users/{person}").json()["servers"].get("") or {})["ready"]
    )
    started = hub.started(person)
    assert started is not None
    return started


def test_hours_are_exact_through_restarts_and_deaths(hub: RealHub) -> None:
    before = datetime.now(UTC)
    started = start(hub, "ada")
    (row,) = eventually("the start in the ledger", lambda: stints(hub))
    assert (row["person"], row["workspace"], row["ended"], row["exact"]) == ("ada", "default", None, 1)
    assert abs((at(row, "started") - started).total_seconds()) < 1e-5 and row["generation"] > 1e12

    # The hub restarts in the middle of an hour; the workspace goes on, and so does its one stint.
    hub.stop()
    hub.start()
    eventually("the hub knowing ada's workspace", lambda: hub.started("ada") == started)
    assert hub.api("DELETE", "users/ada/server").status_code in (202, 204)
    (row,) = eventually("the end in the ledger", lambda: [row for row in stints(hub) if row["ended"]])
    assert row["exact"] and before < at(row, "started") < at(row, "ended") <= datetime.now(UTC)

    # One that dies by itself ended when the hub noticed.
    start(hub, "ada")
    (process,) = [each for each in processes(hub.folder) if "workspace.py" in " ".join(each.cmdline())]
    process.kill()
    both = eventually(
        "the death in the ledger", lambda: [row for row in stints(hub) if row["ended"]][1:] and stints(hub)
    )
    assert len(both) == 2 and both[1]["exact"] and both[1]["started"] >= both[0]["ended"]

    # A hub that is killed leaves everything on disk; who died meanwhile ended when the hub last saw it.
    start(hub, "ada")
    eventually("the third start in the ledger", lambda: len(stints(hub)) == 3)
    hub.process.send_signal(signal.SIGKILL)
    hub.process.wait()
    for process in processes(hub.folder):
        process.kill()
    psutil.wait_procs(processes(hub.folder), 10)
    hub.start()
    eventually("the hub knowing that it is gone", lambda: hub.started("ada") is None)
    start(hub, "ada")
    assert requests.get(f"{hub.economics}/healthz", timeout=30).ok
    rows = eventually("the fourth start in the ledger", lambda: len(stints(hub)) == 4 and stints(hub))
    assert rows[2]["ended"] is None and rows[3]["started"] > rows[2]["started"]
