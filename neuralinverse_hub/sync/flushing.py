"""Asking the running daemon to save now."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from datetime import datetime
from pathlib import Path

from . import status
from .config import Config

__all__ = ["daemon_pid", "flush", "flush_if_running"]


def daemon_pid(private: Path) -> int | None:
    """Process id of the daemon that runs now; None when there is none."""
    try:
        with (private / "daemon.pid").open("r+") as alone:
            try:
                fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(alone.read().strip() or 0) or None
    except (FileNotFoundError, ValueError):
        pass
    return None


def flush(config: Config, timeout_s: float) -> bool:
    """Whether everything saved before the call is on the git host within ``timeout_s``; False also without a daemon."""
    asked_at = time.time()
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and (pid := daemon_pid(config.private)) is not None:
        os.kill(pid, signal.SIGUSR1)
        for _ in range(20):
            found = status.read(config.state)
            at = found["protected_at"] if found else None
            if found and at and found["pending"] == 0 and datetime.fromisoformat(at).timestamp() >= asked_at - 0.001:
                return True
            time.sleep(0.05)
    return False


def flush_if_running(config: Config, timeout_s: float) -> None:
    """`flush` when there is a daemon."""
    if daemon_pid(config.private) is not None:
        flush(config, timeout_s)
