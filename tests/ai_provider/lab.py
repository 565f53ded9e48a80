"""A real JupyterLab, started as a workspace starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from ai_provider import server

PASSWORD = "a-lab-token"


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
    return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Lab:
    """``folder`` is what the person works in. ``ours`` False leaves our configuration out."""

    def __init__(self, home: Path, environment: dict[str, str], *options: str, ours: bool = True) -> None:
        self.folder = home / "work"
        self.folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NEURALINVERSE_", "JUPYTER", "IPYTHON", "JPY_"))
        }
        if ours:
            environment = {"JUPYTER_CONFIG_PATH": str(server.CONFIG_PATH), **environment}
        self._log = (home / "lab.log").open("w+")
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyterlab",
                "--allow-root",
                "--no-browser",
                f"--ServerApp.port={self.port}",
                "--ServerApp.port_retries=0",
                f"--ServerApp.root_dir={self.folder}",
                f"--IdentityProvider.token={PASSWORD}",
                *options,
            ],
            env={**kept, "HOME": str(home), **environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(self.log())
            time.sleep(0.1)

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def page(self, path: str) -> str:
        """``path`` in a layout of its own, so that no other test's tabs are open."""
        return f"{self.url}/lab/workspaces/{Path(path).stem}/tree/{path}?token={PASSWORD}"

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/status?token={PASSWORD}", timeout=5):
                return True
        except (OSError, HTTPException):
            # Not there yet; what answers in another language had the port before it was free.
            return False
