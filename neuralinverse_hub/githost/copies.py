"""What is known of a mirror's copies, and what follows from it: how old each is, and what is done with it next.

What is decided here is pure; the facts lie in the copies themselves, as times of two empty files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

__all__ = [
    "ASKED",
    "CHECKED",
    "CHECK_S",
    "KEEP_S",
    "LATELY_S",
    "Care",
    "Copy",
    "care",
    "copies",
    "is_there",
    "mark",
    "way",
    "when",
]

ASKED: Final = "ni-asked"
"""File in a copy: somebody asked for it then."""
CHECKED: Final = "ni-checked"
"""File in a copy: all of it was as it should be then."""

LATELY_S: Final = 3 * 86400.0
"""For so long after somebody asked for a repository its copy is kept fresh."""
KEEP_S: Final = 30 * 86400.0
"""A copy that nobody asked for in so long is removed."""
CHECK_S: Final = 86400.0
"""How often everything in a copy is read and compared with what it should be."""

Care = Literal["forget", "check", "refresh", "leave"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One repository that is here. Ages are in seconds; infinite when it never happened."""

    person: str
    name: str
    asked_age_s: float
    checked_age_s: float


def care(copy: Copy) -> Care:
    """What a round in the background does with the copy."""
    if copy.asked_age_s > KEEP_S:
        return "forget"
    if copy.asked_age_s > LATELY_S:
        return "leave"
    # One that was checked in the future was checked by a clock that was wrong.
    return "check" if abs(copy.checked_age_s) > CHECK_S else "refresh"


def way(here: Mapping[str, str] | None, there: Mapping[str, str]) -> Literal["nothing", "fetch", "build"]:
    """How a copy with the refs ``here`` (None: there is none that can be read) comes to have those of the primary."""
    if here is None:
        return "build"
    return "nothing" if here == there else "fetch"


def copies(root: Path, now: float) -> Iterator[Copy]:
    """Every copy below ``root``; ``now`` is Unix time in seconds."""
    for home in sorted(root.iterdir()):
        if home.name.startswith(".") or not home.is_dir():
            continue
        for path in sorted(home.glob("*.git")):
            if not path.name.startswith("."):
                ages = (now - when(path / ASKED), now - when(path / CHECKED))
                yield Copy(unquote(home.name), path.name.removesuffix(".git"), *ages)


def is_there(path: Path) -> bool:
    """Whether there is a copy at ``path``, whatever it is worth."""
    return (path / "HEAD").is_file()


def mark(file: Path, at: float) -> None:
    """Let ``file`` be of the time ``at``, and exist."""
    if not file.exists():
        file.touch()
    os.utime(file, (at, at))


def when(file: Path) -> float:
    """The time of ``file`` in seconds since 1970; 0 when there is none."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
