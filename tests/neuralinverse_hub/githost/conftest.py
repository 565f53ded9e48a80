from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neuralinverse_hub.githost.gitea import StandInGitea
from tests.neuralinverse_hub.sync.rig import Host, TokenServer


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


@pytest.fixture(params=["gitea", "forgejo"])
def gitea(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StandInGitea]:
    running = StandInGitea(tmp_path / "gitea", forgejo=request.param == "forgejo").start()
    yield running
    running.stop()
    assert running.misuse == []
