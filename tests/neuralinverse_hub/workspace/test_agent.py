"""The agent as a process, with a small program in the place of the Jupyter server and no Git host.

That it restores and flushes is shown with real parts by tests/neuralinverse_hub/test_hub.py and tests/e2e.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.workspace import ide
from tests.one_machine import eventually

_AGENT = """
import asyncio, os, sys
from neuralinverse_hub.workspace import agent
from neuralinverse_hub.workspace.place import Place
place = Place.of(os.environ)
place.prepare()
sys.exit(asyncio.run(agent.run(os.environ, place, [sys.executable, "-c", *sys.argv[1:]])))
"""

_UNTIL_TOLD = """
import pathlib, signal, sys
def told(*_):
    pathlib.Path("ended-in-order").touch()
    sys.exit(3)
signal.signal(signal.SIGTERM, told)
pathlib.Path("serving").touch()
signal.pause()
"""


class Agent:
    """A running agent and its workspace."""

    def __init__(self, home: Path, server: str) -> None:
        self.folder, self.state = home / "work", home / ".neuralinverse"
        ours = {wire.ENV_FOLDER: str(self.folder), wire.ENV_STATE: str(self.state), wire.ENV_GENERATION: "7"}
        environ = {**os.environ, **ours, "HOME": str(home)}
        environ.pop(wire.ENV_GIT_REMOTE, None)
        self.process = subprocess.Popen([sys.executable, "-c", _AGENT, server], env=environ)

    def serving(self) -> psutil.Process:
        """The server's process, once it serves."""
        eventually("the server serving", (self.folder / "serving").exists)
        (server,) = psutil.Process(self.process.pid).children()
        return server


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[list[Agent]]:
    started: list[Agent] = []
    yield started
    for agent in started:
        agent.process.kill()
        agent.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_ends_the_server_in_order(agents: list[Agent], tmp_path: Path, number: signal.Signals) -> None:
    agents.append(agent := Agent(tmp_path, _UNTIL_TOLD))
    agent.serving()
    agent.process.send_signal(number)
    assert agent.process.wait(20) == 0
    assert (agent.folder / "ended-in-order").exists()


def test_a_server_that_ends_by_itself_ends_the_workspace_with_its_code(agents: list[Agent], tmp_path: Path) -> None:
    agents.append(agent := Agent(tmp_path, "raise SystemExit(41)"))
    assert agent.process.wait(20) == 41


def test_the_files_in_place_are_announced_with_their_generation(agents: list[Agent], tmp_path: Path) -> None:
    agents.append(agent := Agent(tmp_path, _UNTIL_TOLD))
    ready = agent.state / ide.READY_FILE
    eventually("the ready file", lambda: ready.exists() and ready.read_text() == "7")
    assert (agent.folder / "WELCOME.md").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_killed_it_takes_the_server_with_it(agents: list[Agent], tmp_path: Path) -> None:
    agents.append(agent := Agent(tmp_path, _UNTIL_TOLD))
    server = agent.serving()
    agent.process.kill()
    eventually("the server gone", lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
    assert not (agent.folder / "ended-in-order").exists()
