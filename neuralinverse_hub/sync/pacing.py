"""When to save: how long a burst of writes is waited for, when to try again, when a mass deletion is believed.

Pure: every time is handed in, in seconds on one monotonic clock.
"""

from __future__ import annotations

import random
from typing import Final

__all__ = ["QUIET_S", "Burst", "Deletion", "Retry"]

QUIET_S: Final = 0.2
"""A burst of writes is over when nothing has changed for this long …"""
BURST_S: Final = 1.0
"""… and is not waited for longer than this. When pushes are quick, and the writing has not gone on for long, the wait is
twice the time of a push at the least, so that not the host but the person decides how often there is one."""
LONG_S: Final = 30.0
"""Writing that goes on for longer than this is a program's, and is saved every `BURST_S`."""
SLOWEST_RETRY_S: Final = 30.0
DELETION_PATIENCE_S: Final = 5.0


class Burst:
    """How long the writes that are going on are waited for."""

    def __init__(self) -> None:
        self._since = self._last = float("-inf")

    def begins(self, now: float, push_s: float) -> float:
        """When to wait no longer. ``push_s``: how long the last snapshot and push took."""
        if now - self._last > 2 * BURST_S:
            self._since = now
        long = now - self._since > LONG_S
        return now + (BURST_S if long else min(BURST_S, max(QUIET_S, 2 * push_s)))

    def ended(self, now: float) -> None:
        """The writing has paused, or was waited for long enough."""
        self._last = now


class Retry:
    """When to try again after a failure: later each time, and not all workspaces of a host at once."""

    def __init__(self) -> None:
        self.failures = 0
        self.at = 0.0

    def failed(self, now: float, *, at_once: bool = False) -> float:
        """How long to wait. ``at_once``: the first failure of a kind that another look settles."""
        self.failures += 1
        wait_s = min(SLOWEST_RETRY_S, 2.0 ** (self.failures - 1)) * random.uniform(0.75, 1.25)
        if at_once and self.failures == 1:
            wait_s = 0.1
        self.at = now + wait_s
        return wait_s

    def worked(self) -> None:
        """Nothing is to be tried again."""
        self.failures, self.at = 0, 0.0

    def put_off(self, until: float) -> None:
        """Not a failure, but not to be done before then either."""
        self.failures = max(1, self.failures)
        self.at = until


class Deletion:
    """Most files are gone at once: is this the person, or is the whole folder being deleted under us?"""

    def __init__(self) -> None:
        self._until: float | None = None

    def doubted_until(self, now: float, before: int, after: int, *, final: bool) -> float | None:
        """Until when a snapshot of ``after`` files is not to replace one of ``before``; None: it may.

        ``final``: there is no later snapshot, so what is doubted stays undone.
        """
        if self._until is None:
            if before < 2 or after * 2 >= before:
                return None
            self._until = now + DELETION_PATIENCE_S
        if not final and now >= self._until:
            self._until = None
            return None
        return self._until
