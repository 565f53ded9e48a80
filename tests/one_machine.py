"""The whole product as its user starts it: `neuralinverse-hub up` in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from neuralinverse_hub import wire
from neuralinverse_hub.local.ports import free_port
from spawner.names import safe_name

T = TypeVar("T")


def eventually(what: str, seen: Callable[[], T], timeout_s: float = 30) -> T:
    """The first truthy value of ``seen()``; AssertionError that says ``what`` was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := seen():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {timeout_s:.0f} s")


@dataclass
class OneMachine:
    """A running `up`, and what a test may look at."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    user: str = "ada"

    @classmethod
    @contextlib.contextmanager
    def started(cls, data_dir: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[OneMachine]:
        """Start it, wait until the hub answers, and at the end stop it as Ctrl-C does."""
        port = free_port()
        command = [sys.executable, "-m", "neuralinverse_hub.cli", "up"]
        command += ["--port", str(port), "--data-dir", str(data_dir), "--user", cls.user, *arguments]
        data_dir.mkdir(parents=True, exist_ok=True)
        with (data_dir / "up.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=data_dir, env={**os.environ, **(env or {})})
        machine = cls(f"http://127.0.0.1:{port}", data_dir, process)
        try:
            eventually("the hub serving", machine._serves, timeout_s=90)
            yield machine
        finally:
            machine.stop()

    def stop(self) -> None:
        """Ctrl-C, and wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(
                f"`up` ended with {self.process.returncode}:\n{(self.data_dir / 'up.log').read_text()}"
            )
        try:
            with urllib.request.urlopen(f"{self.url}/services/ai-gateway/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def password(self) -> str:
        return (self.data_dir / "password").read_text().strip()

    def home(self, user: str | None = None) -> Path:
        return self.data_dir / "workspaces" / safe_name(user or self.user) / "default"

    def folder(self, user: str | None = None) -> Path:
        return self.home(user) / "work"

    def processes(self, user: str | None = None) -> list[psutil.Process]:
        """All processes of the person's workspace, the agent first."""
        state = str(self.home(user) / ".neuralinverse")
        found = []
        for process in psutil.process_iter():
            # Others end while we look: what is asked of a process is asked at once.
            with contextlib.suppress(psutil.Error):
                if process.environ().get(wire.ENV_STATE) == state:
                    found.append(("neuralinverse_hub.workspace" not in process.cmdline(), process))
        return [process for _, process in sorted(found, key=lambda each: each[0])]

    def environment(self, user: str | None = None) -> dict[str, str]:
        """What a terminal in the person's workspace has in its environment."""
        for process in self.processes(user):
            with contextlib.suppress(psutil.Error):
                if "jupyterhub.singleuser" in " ".join(process.cmdline()):
                    return process.environ()
        raise AssertionError(f"no server of {user or self.user} runs")
