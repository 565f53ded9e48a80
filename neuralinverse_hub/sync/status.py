"""The status file: what is protected, what is not, and why, for the IDE and for people."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from neuralinverse_hub import wire

__all__ = ["StatusFile", "describe", "read"]

_LISTED: Final = 200
"""How many unprotected paths are listed one by one; the rest is counted."""


def rfc3339(at_s: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class StatusFile:
    """Writes ``sync.json``; a reader sees the old or the new content, never half of it."""

    def __init__(self, state: Path, generation: int) -> None:
        self._path = state / wire.SYNC_STATUS_FILE
        self._generation = generation

    def write(
        self,
        state: wire.SyncState,
        *,
        now_s: float,
        protected_at_s: float | None,
        pending: int = 0,
        not_protected: Sequence[tuple[bytes, str]] = (),
        error: str | None = None,
    ) -> None:
        """Replace the file. A disk that is full is no reason to stop protecting: the old content stays then."""
        listed: list[wire.NotProtected] = [
            {"path": os.fsencode(path).decode(errors="replace"), "reason": why} for path, why in not_protected[:_LISTED]
        ]
        if len(not_protected) > _LISTED:
            listed.append({"path": "…", "reason": f"and {len(not_protected) - _LISTED} more"})
        status: wire.SyncStatus = {
            "version": 1,
            "state": state,
            "generation": self._generation,
            "protected_at": None if protected_at_s is None else rfc3339(protected_at_s),
            "pending": pending,
            "not_protected": listed,
            "error": error,
            "updated_at": rfc3339(now_s),
        }
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps(status, ensure_ascii=False, indent=1) + "\n")
            os.replace(temporary, self._path)
        except OSError:
            temporary.unlink(missing_ok=True)


def read(state: Path) -> wire.SyncStatus | None:
    """The status as last written; None when there is none yet."""
    try:
        status: wire.SyncStatus = json.loads((state / wire.SYNC_STATUS_FILE).read_text())
    except FileNotFoundError:
        return None
    return status


_STATES: Final[dict[str, str]] = {
    "restoring": "Your work is being brought back; saving starts when it is whole.",
    "protected": "Everything saved up to {at} is on the git host.",
    "saving": "Saving; everything up to {at} is on the git host.",
    "behind": "Not everything is on the git host: {pending} waiting, last saved {at}.",
    "stopped": "Saving has stopped; the git host has everything up to {at}.",
}


def describe(status: wire.SyncStatus) -> str:
    """The status for a person to read in a terminal."""
    at = status["protected_at"] or "never"
    count = status["pending"]
    pending = "an unknown number of changes" if count < 0 else f"{count} change{'s' if count != 1 else ''}"
    lines = [_STATES[status["state"]].format(at=at, pending=pending)]
    if status["error"]:
        lines.append(status["error"])
    if status["not_protected"]:
        lines.append("Not protected:")
        lines += [f"  {item['path']}: {item['reason']}" for item in status["not_protected"]]
    return "\n".join(lines)
