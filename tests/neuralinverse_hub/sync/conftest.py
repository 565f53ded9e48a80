from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.neuralinverse_hub.sync.rig import Host, TokenServer, Workspace


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    server = TokenServer()
    yield server
    server.close()


@pytest.fixture
def host(tmp_path: Path, tokens: TokenServer) -> Iterator[Host]:
    running = Host(tmp_path / "repositories", tokens.url)
    yield running
    running.stop()


@pytest.fixture
def make_workspace(tmp_path: Path, host: Host) -> Iterator[Callable[..., Workspace]]:
    made = []

    def make(place: str = "a", **options: str) -> Workspace:
        made.append(Workspace(tmp_path / place, host, **options))
        return made[-1]

    yield make
    for workspace in made:
        workspace.kill()


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace]) -> Workspace:
    return make_workspace()
