"""When a workspace counts as used."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.workspace import ide
from neuralinverse_hub.workspace.activity import latest

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)


def touched(folder: Path, at: datetime) -> Path:
    file = folder / wire.ACTIVE_FILE
    file.touch()
    os.utime(file, (at.timestamp(), at.timestamp()))
    return file


def test_the_files_time_is_when_somebody_worked(tmp_path: Path) -> None:
    hour_ago = NOW - timedelta(hours=1)
    assert latest(touched(tmp_path, hour_ago), ["idle"], NOW) == hour_ago


def test_nobody_was_there_yet(tmp_path: Path) -> None:
    assert latest(tmp_path / wire.ACTIVE_FILE, ["idle", "starting"], NOW) is None


def test_a_kernel_that_computes_in_silence_counts(tmp_path: Path) -> None:
    assert latest(touched(tmp_path, NOW - timedelta(hours=1)), ["idle", "busy"], NOW) == NOW


def test_a_clock_that_went_back_does_not_make_it_active_for_ever(tmp_path: Path) -> None:
    assert latest(touched(tmp_path, NOW + timedelta(days=1)), [], NOW) == NOW


def test_an_open_tab_of_vs_code_is_not_counted_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(wire.ENV_IDE_NODE, "node")
    monkeypatch.setenv(wire.ENV_IDE_ENTRY, "entry.js")
    assert ide.server()["update_last_activity"] is False
