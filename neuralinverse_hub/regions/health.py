"""Whether this region can serve, part by part: each part is used, not asked whether it feels well.

Anyone may read the answer, so it says which part is broken and nothing about how; the reason is in the hub's log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

__all__ = ["Broken", "Health", "PartHealth", "Probe", "answers", "describe", "lacking"]

_log = logging.getLogger(__name__)

ESSENTIAL: Final = ("database", "proxy", "cluster")
"""Without one of these nobody can work here. Without the others people go on, with less."""
PART_TIMEOUT_S: Final = 3.0
FRESH_S: Final = 2.0
"""So long an answer is given again: many probes cost no more than one."""

Probe = Callable[[], Awaitable[None]]
"""Uses a part; raises whatever it raises when the part does not work."""


class Broken(Exception):
    """A part answered, but not as one that works."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """How one part did."""

    ok: bool
    took_s: float


def lacking(parts: Mapping[str, PartHealth], need: frozenset[str] = frozenset()) -> list[str]:
    """Parts that do not work and that are essential, or that the asker says they ``need``."""
    return [name for name, part in parts.items() if not part.ok and (name in ESSENTIAL or name in need)]


def describe(region: str, parts: Mapping[str, PartHealth], at: datetime, need: frozenset[str]) -> dict[str, Any]:
    """The answer's body. ``status`` is ``down``, ``degraded`` or ``ok``."""
    broken = any(not part.ok for part in parts.values())
    return {
        "region": region,
        "status": "down" if lacking(parts, need) else "degraded" if broken else "ok",
        "parts": {name: {"ok": part.ok, "ms": round(part.took_s * 1000, 1)} for name, part in parts.items()},
        "checked_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


class Health:
    """Looks at all parts at once when asked, at most every `FRESH_S`."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self.probes = dict(probes)
        self._parts: dict[str, PartHealth] = {}
        self._at = datetime.fromtimestamp(0, UTC)
        self._until = 0.0
        self._looking: asyncio.Task[None] | None = None

    def __deepcopy__(self, memo: Any) -> Health:
        # traitlets copies what stands in a configuration; this is one thing with one memory.
        return self

    async def now(self) -> tuple[dict[str, PartHealth], datetime]:
        """Every part, and when they were looked at."""
        if time.monotonic() >= self._until:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            # Whoever asked may go away; the look is everybody's.
            await asyncio.shield(self._looking)
        return self._parts, self._at

    async def _look(self) -> None:
        at = datetime.now(UTC)
        found = await asyncio.gather(*(self._try(name, probe) for name, probe in self.probes.items()))
        for name, part in zip(self.probes, found, strict=True):
            if part.ok and name in self._parts and not self._parts[name].ok:
                _log.warning("health: %s works again", name)
        self._parts, self._at = dict(zip(self.probes, found, strict=True)), at
        self._until = time.monotonic() + FRESH_S

    async def _try(self, name: str, probe: Probe) -> PartHealth:
        began = time.monotonic()
        try:
            await asyncio.wait_for(probe(), PART_TIMEOUT_S)
            ok = True
        except Exception as error:
            # Whatever it is, the part does not work; once said, it is not said again until it changes.
            ok = False
            if name not in self._parts or self._parts[name].ok:
                _log.warning("health: %s does not work: %s", name, str(error) or type(error).__name__)
        return PartHealth(ok, time.monotonic() - began)


def answers(url: str) -> Probe:
    """A probe that wants ``GET url`` to say 200."""

    async def probe() -> None:
        async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise Broken(f"GET {url} says {answer.status}")

    return probe
