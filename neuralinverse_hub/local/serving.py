"""The processes of one-machine mode: started, waited for, watched, and stopped so that none is left.

Knows commands, environments and ports; decides nothing about what is installed or which model answers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from neuralinverse_hub import wire
from neuralinverse_hub.local import logs, processes
from neuralinverse_hub.local.errors import ServiceFailed

BROWSER_MARKER: Final = "NEURALINVERSE_BROWSER"
"""In the environment of a browser that we opened: it is the person's, and stays when everything else stops."""

HUB_START_S: Final = 90
GATEWAY_START_S: Final = 60
MODEL_START_S: Final = 30
SAVING_S: Final = 20
"""How long the hub may take to stop its workspaces, which save what is not on the git host yet."""
ENDING_S: Final = 8
"""How long what is left after that may take to end by itself."""


@dataclass(slots=True)
class DemoModel:
    """The embedded model's server: its address once it listens. It loads the model while others start."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0

    def start(self) -> None:
        """Start it and wait until it listens. Raises ServiceFailed."""
        logs.rotate(self.log)
        since = self.log.stat().st_size if self.log.exists() else 0
        threads = max(1, min(4, (os.cpu_count() or 2) - 1))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (*self.command, "--port", str(self.port), "--threads", str(threads), "--exit-with-stdin"),
                env={**self.environment, "NEURALINVERSE_DEMO_MODEL_KEY": self.key},
                # It ends with our end of this pipe, even when we are killed.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], MODEL_START_S)
        line = self.process.stdout.readline() if readable else b""
        try:
            self.port = int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError):
            raise ServiceFailed(
                f"The demo model did not start; the last lines of {self.log}:\n{logs.tail(self.log, since)}\n"
                "Run again with --no-model to start without it."
            ) from None

    @property
    def gateway_environment(self) -> dict[str, str]:
        """How the gateway finds it."""
        return {
            "NEURALINVERSE_DEMO_MODEL_URL": f"http://127.0.0.1:{self.port}/v1",
            "NEURALINVERSE_DEMO_MODEL_KEY": self.key,
        }

    def watch(self) -> str | None:
        """Start it again, at the same address, when it ended by itself; says so in a sentence. At most three times."""
        if self.process is None or self.process.poll() is None or self.restarts >= 3:
            return None
        self.restarts += 1
        ended = f"The demo model ended with exit code {self.process.returncode} (log: {self.log})"
        if self.restarts == 3:
            return f"{ended}, for the third time: AI has no model until you start again."
        try:
            self.start()
        except ServiceFailed as error:
            return str(error)
        return f"{ended} and was started again."


@dataclass(slots=True)
class Hub:
    """JupyterHub with our configuration, and through it proxy, services and workspaces."""

    environment: Mapping[str, str] = field(repr=False)
    port: int
    """Where its proxy serves, on 127.0.0.1."""
    own_port: int
    """Where the proxy finds it."""
    log: Path
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    since: int = 0
    """Where in the log this run begins."""

    def start(self) -> None:
        logs.rotate(self.log)
        self.since = self.log.stat().st_size if self.log.exists() else 0
        configuration = Path(__file__).with_name("jupyterhub_config.py")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "jupyterhub", "-f", str(configuration)),
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A session of its own: Ctrl-C reaches us alone, and we stop everything in order.
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises ServiceFailed, with the telling lines of its log, when it ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise ServiceFailed(
                f"The hub ended with exit code {self.process.returncode}; the telling lines of {self.log}:\n"
                f"{logs.tail(self.log, self.since)}"
            )

    def await_ready(self) -> None:
        """Return when it answers through its proxy. Raises ServiceFailed."""
        # Not through the proxy at first: it logs every request that comes before the hub has registered with it.
        ready = self._await(self.own_port, "/hub/health", HUB_START_S) and self._await(self.port, "/hub/health", 10)
        if not ready:
            raise ServiceFailed(
                f"The hub did not answer within {HUB_START_S} s; the telling lines of {self.log}:\n"
                f"{logs.tail(self.log, self.since)}"
            )

    def await_gateway(self) -> bool:
        """Whether the AI gateway came up behind it; without the gateway everything but AI works."""
        return self._await(self.port, f"/services/{wire.GATEWAY_SERVICE}/healthz", GATEWAY_START_S)

    def _await(self, port: int, path: str, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not answers(port, path):
            self.check()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True


def answers(port: int, path: str) -> bool:
    """Whether ``GET path`` on this machine says 200."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status == 200
    return False


def stop(
    hub: subprocess.Popen[bytes] | None,
    data_dir: Path,
    hurry: Callable[[], bool],
) -> None:
    """End the hub first, so that it ends its workspaces in order; then whatever else is left of us.

    ``hurry``: becomes true when the person does not want to wait any longer. Raises ServiceFailed when a process
    survives being killed.
    """
    if hub is not None and hub.poll() is None:
        hub.terminate()
        _wait([psutil.Process(hub.pid)], SAVING_S, hurry)
    left = _ours(data_dir)
    processes.terminate(left)
    _wait(left, ENDING_S, hurry)
    # Again: what was ended may have started something meanwhile.
    while left := _ours(data_dir):
        processes.kill(left)


def _ours(data_dir: Path) -> list[psutil.Process]:
    found = {each.pid: each for each in processes.descendants()}
    found |= {each.pid: each for each in processes.marked(wire.ENV_DATA_DIR, str(data_dir))}
    return [each for each in found.values() if not _persons_browser(each)]


def _persons_browser(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return BROWSER_MARKER in process.environ()
    return False


def _wait(waited: Iterable[psutil.Process], timeout_s: float, hurry: Callable[[], bool]) -> None:
    deadline = time.monotonic() + timeout_s
    left = list(waited)
    while left and time.monotonic() < deadline and not hurry():
        left = processes.wait(left, 0.2)


def end_leftovers(data_dir: Path, note: Callable[[str], None]) -> None:
    """End what an ``up`` that was killed left running on this data folder. Raises ServiceFailed."""
    left = processes.marked(wire.ENV_DATA_DIR, str(data_dir))
    if not left:
        return
    note(f"Stopping {len(left)} processes that an earlier run on {data_dir} left behind; they save their work first.")
    pids = {each.pid for each in left}
    # The tops only: a hub ends its workspaces in order, each of which saves.
    processes.terminate(each for each in left if _parent(each) not in pids)
    _wait(left, SAVING_S, lambda: False)
    while left := processes.marked(wire.ENV_DATA_DIR, str(data_dir)):
        processes.kill(left)


def _parent(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return process.ppid()
    return 0
