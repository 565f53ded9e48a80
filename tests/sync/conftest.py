from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("sync_rig", Path(__file__).with_name("rig.py"))
assert _spec and _spec.loader
rig = importlib.util.module_from_spec(_spec)
sys.modules["sync_rig"] = rig
_spec.loader.exec_module(rig)


@pytest.fixture
def tokens() -> Iterator[Any]:
    server = rig.TokenServer()
    yield server
    server.close()


@pytest.fixture
def host(tmp_path: Path, tokens: Any) -> Iterator[Any]:
    running = rig.Host(tmp_path / "repositories", tokens.url)
    yield running
    running.stop()


@pytest.fixture
def make_workspace(tmp_path: Path, host: Any) -> Iterator[Callable[..., Any]]:
    made = []

    def make(place: str = "a", **options: Any) -> Any:
        made.append(rig.Workspace(tmp_path / place, host, **options))
        return made[-1]

    yield make
    for workspace in made:
        workspace.kill()


@pytest.fixture
def workspace(make_workspace: Callable[..., Any]) -> Any:
    return make_workspace()
