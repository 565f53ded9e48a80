"""Workspaces as an operator sees them: the hub's models in, rows and choices out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from neuralinverse_hub.local.errors import LocalError

__all__ = ["NoSuchWorkspace", "Running", "ago", "chosen", "running"]


class NoSuchWorkspace(LocalError):
    """A workspace was named that does not run."""


@dataclass(frozen=True, slots=True)
class Running:
    """A workspace that runs, starts or stops."""

    person: str
    server: str
    """Its name in the hub; empty for the person's unnamed one."""
    size: str
    state: str
    """``ready``, or what the hub is at: ``spawn``, ``stop``, ``check``."""
    started: datetime | None
    used: datetime | None
    node: str | None
    """None: the token may not see it. Empty: there are no nodes, or none yet."""

    @property
    def name(self) -> str:
        """What an operator calls it: ``ada``, ``ada/train``."""
        return f"{self.person}/{self.server}" if self.server else self.person


def running(person: str, server: Mapping[str, Any]) -> Running:
    """``server`` is the hub's model of it."""
    state = server.get("state")
    options = server.get("user_options") or {}
    return Running(
        person=person,
        server=str(server.get("name", "")),
        size=str((state or {}).get("size") or options.get("size") or ""),
        state=str(server.get("pending") or ("ready" if server.get("ready") else "stopped")),
        started=_time(server.get("started")),
        used=_time(server.get("last_activity")),
        node=None if state is None else str(state.get("node", "")),
    )


def chosen(there: Sequence[Running], names: Iterable[str]) -> list[Running]:
    """Those of ``there`` that ``names`` names. Raises `NoSuchWorkspace` for the first that does not run."""
    by_name = {each.name: each for each in there}
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in by_name:
            theirs = [each.name for each in there if each.person == name.partition("/")[0]]
            also = f"; of the same person: {', '.join(theirs)}" if theirs else ""
            raise NoSuchWorkspace(f"no workspace {name!r} runs{also}. 'workspaces list' shows all")
    return [by_name[name] for name in wanted]


def ago(then: datetime | None, now: datetime) -> str:
    """``then`` as a person says it: ``3 min ago``."""
    if then is None:
        return "-"
    passed = max(timedelta(), now - then)
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if passed >= length:
            return f"{passed // length} {unit} ago"
    return f"{passed.seconds} s ago"


def _time(text: object) -> datetime | None:
    return datetime.fromisoformat(str(text)) if text else None
