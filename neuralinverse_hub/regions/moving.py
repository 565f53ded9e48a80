"""What a move asks of the region it goes to, before anything here is touched; and the steps that are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from .catalogue import Region
from .errors import GitHostAway
from .residence import Residence

__all__ = ["Moving", "Step"]

_IN_WORDS = {
    "database": "its hub's database does not work",
    "proxy": "its proxy does not work",
    "cluster": "its cluster does not answer",
    "git": "it does not reach the git host",
    "capacity": "it has no room for another workspace",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a move's progress."""

    name: Literal["check", "flush", "stop", "go", "failed"]
    message: str
    go: str | None = None
    """Where the browser goes next."""
    restart: bool = False
    """It failed after the workspace was stopped: start it here again."""

    def as_json(self) -> dict[str, Any]:
        return {"step": self.name, "message": self.message, "go": self.go, "restart": self.restart}


@dataclass(frozen=True, slots=True)
class Moving:
    """One workspace on its way from here to ``target``."""

    residence: Residence
    person: str
    workspace: str
    target: Region

    async def refusal(self) -> str | None:
        """Why the move cannot begin, in a sentence; None when it can."""
        here = self.residence.here
        try:
            at = (await self.residence.look(self.person)).at.get(self.workspace)
        except GitHostAway as error:
            return str(error)
        if at not in (None, here.name):
            return f"The workspace is in {self.residence.catalogue[at].place}, not here: move it from there."
        broken = await self._broken()
        if broken is None:
            return f"{self.target.place} does not answer."
        if broken:
            reasons = " and ".join(_IN_WORDS.get(name, f"its {name} does not work") for name in broken)
            return f"{self.target.place} cannot take it now: {reasons}."
        return None

    async def _broken(self) -> list[str] | None:
        """Parts that a start there needs and that do not work; None when the region does not answer."""
        url = f"{self.target.hub}/hub/region/health?need=git,capacity"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=6)) as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                said = await answer.json(content_type=None)
                if said.get("region") != self.target.name:
                    return None
                parts = said["parts"]
                return [name for name, part in parts.items() if not part["ok"] and name in _IN_WORDS]
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError, KeyError, TypeError):
            return None
