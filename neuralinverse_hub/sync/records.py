"""What sync remembers on the workspace's own disk, between two runs. Small JSON files, replaced whole.

- ``restored.json``: the generation that a restore was begun for, whether it is whole, and how it went;
- ``live.json``: the generation that the folder belongs to, and its newest snapshot: the folder is that or newer.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from .config import Config

__all__ = [
    "Restoring",
    "forget_live",
    "is_live",
    "is_whole",
    "live_generation",
    "read",
    "remember_live",
    "restore_of",
    "write",
]

_LIVE: Final = "live.json"


def read(path: Path) -> dict[str, object]:
    """The content of a file of ours; empty when there is none, or it is not one of ours."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, content: dict[str, object]) -> None:
    """Replace a file of ours; a reader sees the old or the new content."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)


class Restoring:
    """How far the restore of ``config``'s generation is."""

    def __init__(self, config: Config) -> None:
        self._path = config.private / "restored.json"
        self._generation = config.generation
        found = read(self._path)
        mine = found.get("generation") == config.generation
        self.done = mine and bool(found.get("whole"))
        """It was finished before."""
        self.begun = mine and not self.done
        """It was begun before, and not finished."""

    def begin(self) -> None:
        """From now on the folder is not whole."""
        write(self._path, {"generation": self._generation, "whole": False})

    def going_on(self, files: int) -> None:
        """So many files are being written."""
        write(self._path, {"generation": self._generation, "whole": False, "files": files})

    def finish(self, how: dict[str, object]) -> None:
        """The folder is whole."""
        write(self._path, {"generation": self._generation, "whole": True, **how})


def restore_of(config: Config) -> dict[str, object]:
    """How the restore of ``config``'s generation goes: ``{}`` before it began, else ``whole`` and, as soon as it is known,
    ``files``; at its end also what `Restored` has."""
    found = read(config.private / "restored.json")
    return found if found.get("generation") == config.generation else {}


def remember_live(config: Config, commit: bytes) -> None:
    """The folder is, or is newer than, what ``commit`` of our generation holds."""
    write(config.private / _LIVE, {"generation": config.generation, "commit": commit.hex()})


def forget_live(config: Config) -> None:
    """There is nothing in the folder that sync has protected."""
    (config.private / _LIVE).unlink(missing_ok=True)


def live_generation(config: Config) -> int | None:
    """The generation that the folder belongs to; None when sync has not protected it yet."""
    found = read(config.private / _LIVE).get("generation")
    return found if isinstance(found, int) else None


def is_live(config: Config) -> bool:
    """Whether the folder is one that sync has protected before, with something in it."""
    try:
        return live_generation(config) is not None and any(config.folder.iterdir())
    except OSError:
        return False


def is_whole(config: Config) -> bool:
    """Whether the folder is one that sync has protected before, and no restore into it is unfinished."""
    return is_live(config) and read(config.private / "restored.json").get("whole") is not False
