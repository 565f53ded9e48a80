"""What others ask of the daemon by a signal: SIGTERM and SIGINT to end, SIGUSR1 to save now. Each wakes who waits."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

__all__ = ["FLUSH_S", "Asked"]

FLUSH_S: Final = 10.0
"""How long the end of the workspace may take."""
_PR_SET_PDEATHSIG: Final = 1


class Asked:
    """The signals of this process, from `listen` on. ``give_up`` is called when the end takes longer than `FLUSH_S`."""

    def __init__(self, give_up: Callable[[], None]) -> None:
        self.to_end = False
        self.to_flush = False
        self.end_by = 0.0
        """On the monotonic clock, once asked to end: what is not saved by then is given up."""
        self._give_up = give_up
        self._parent = os.getppid()
        self._wake_read, self._wake_write = socket.socketpair()

    def listen(self) -> None:
        """From now on. Also asks the kernel to say when the parent, which is the workspace, is gone."""
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_end)
        signal.signal(signal.SIGUSR1, self._on_flush)
        with contextlib.suppress(OSError, AttributeError):
            # When the workspace is killed there is nothing left to protect, and its folder may be about to be deleted,
            # which must not be mistaken for the person's own deleting.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    @property
    def orphaned(self) -> bool:
        """Whether the process that started this one is gone."""
        return os.getppid() != self._parent

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._wake_read.fileno()

    def heard(self) -> None:
        """Forget that somebody woke us; what they asked stays."""
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)

    def sleep(self, seconds: float) -> None:
        """Until time is up or a signal comes."""
        self._wake_read.settimeout(max(0.001, seconds))
        with contextlib.suppress(TimeoutError, BlockingIOError):
            self._wake_read.recv(4096)
        self._wake_read.setblocking(False)

    def _on_end(self, _number: int, _frame: FrameType | None) -> None:
        if not self.to_end:
            self.to_end = True
            self.end_by = time.monotonic() + FLUSH_S - 1.0
            # Even a push that hangs does not keep the workspace from ending.
            timer = threading.Timer(FLUSH_S, self._give_up)
            timer.daemon = True
            timer.start()

    def _on_flush(self, _number: int, _frame: FrameType | None) -> None:
        self.to_flush = True
