from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "sync_rig" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("sync_rig", Path(__file__).parents[1] / "sync" / "rig.py")
    assert _spec and _spec.loader
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["sync_rig"] = _module
    _spec.loader.exec_module(_module)
rig = sys.modules["sync_rig"]


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
