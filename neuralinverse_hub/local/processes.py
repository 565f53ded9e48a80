"""Finds and ends the processes that one-machine mode is responsible for, whatever became of their parents.

Guarantees:
- ``stop`` asks first, waits, then kills; when it returns, none of what it was given lives, nor any descendant.
- Only descendants of this process and processes that carry our marker in their environment are ever touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Iterable

import psutil

from neuralinverse_hub.local.errors import ServiceFailed

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on, descendants whose parents die become children of this process (Linux; elsewhere nothing happens).

    Without it, a hub that dies would leave proxy, services and workspaces to init, out of our sight.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise ServiceFailed(
                f"The system refused to let us look after our processes: {os.strerror(ctypes.get_errno())}."
            )


def reap(keep: Iterable[int]) -> None:
    """Let adopted processes that ended go; ``keep`` are the pids whose end somebody else waits for."""
    kept = set(keep)
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if child.pid not in kept and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def descendants() -> list[psutil.Process]:
    """All living processes below this one."""
    return [process for process in psutil.Process().children(recursive=True) if alive(process)]


def marked(variable: str, value: str) -> list[psutil.Process]:
    """Processes of this user, other than this one, whose environment says ``variable=value``, and their descendants.

    A process whose environment cannot be read is not ours.
    """
    here = psutil.Process()
    own = {here.pid, *(each.pid for each in here.parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in own or process.uids().real != os.getuid():
                continue
            if process.environ().get(variable) == value and alive(process):
                for each in (process, *process.children(recursive=True)):
                    if each.pid not in own:
                        found[each.pid] = each
    return list(found.values())


def alive(process: psutil.Process) -> bool:
    """Whether ``process`` still runs; a zombie does not."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def terminate(processes: Iterable[psutil.Process]) -> None:
    """Ask each to end."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.terminate()


def wait(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that still live after at most ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if alive(process)]
    return left


def kill(processes: Iterable[psutil.Process], timeout_s: float = 5) -> None:
    """End each, and what it started meanwhile, at once. Raises ServiceFailed when one survives ``timeout_s``."""
    left = [process for process in processes if alive(process)]
    deadline = time.monotonic() + timeout_s
    while left:
        if time.monotonic() > deadline:
            raise ServiceFailed(
                f"Could not stop the processes {', '.join(str(each.pid) for each in left)}: end them by hand."
            )
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                left_below = process.children(recursive=True)
                process.kill()
                for each in left_below:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()
        left = wait(left, 0.5)
