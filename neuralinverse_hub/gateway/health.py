"""Whether a deployment is worth asking: a circuit breaker. Pure; times are seconds of the caller's clock.

Closed, it lets everything through. After ``TRIES`` failures in a row it opens for a while; then it lets one request try,
and closes when that one is answered. Being busy (429) is no failure: that is for `turns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Breaker", "State"]

State = Literal["closed", "open", "trying"]

TRIES: Final = 5
SHORTEST_S: Final = 2.0
LONGEST_S: Final = 60.0


@dataclass(slots=True)
class Breaker:
    """One deployment's health."""

    failures: int = 0
    cause: str = ""
    """What the newest failure was, in words for people; empty when all is well."""
    _closed_from: float = float("-inf")
    _pause_s: float = 0.0
    _trying: bool = False

    def state(self, now: float) -> State:
        """``open``: do not ask. ``trying``: one request finds out, or may."""
        if not self._pause_s:
            return "closed"
        return "open" if now < self._closed_from else "trying"

    def allows(self, now: float) -> bool:
        """Whether a request may be sent now."""
        state = self.state(now)
        return state == "closed" or (state == "trying" and not self._trying)

    def opens_in(self, now: float) -> float:
        """Seconds until the next request may try; 0 when one may."""
        return max(0.0, self._closed_from - now) if self._pause_s else 0.0

    def sent(self, now: float) -> None:
        """A request goes out."""
        if self.state(now) == "trying":
            self._trying = True

    def succeeded(self) -> None:
        """An answer began."""
        self.failures, self.cause, self._pause_s, self._trying = 0, "", 0.0, False

    def left(self) -> None:
        """The request ended without a verdict: the client left, or the upstream was busy."""
        self._trying = False

    def failed(self, now: float, cause: str, *, for_good: bool = False, wait_s: float | None = None) -> None:
        """A request failed. ``for_good`` opens at once (a wrong key); ``wait_s`` is what the upstream asked for."""
        self.failures += 1
        self.cause = cause
        self._trying = False
        if for_good or self._pause_s or self.failures >= TRIES:
            doubled = min(max(self._pause_s * 2, SHORTEST_S), LONGEST_S)
            self._pause_s = max(doubled, min(wait_s or 0.0, LONGEST_S))
            self._closed_from = now + self._pause_s
