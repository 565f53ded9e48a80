"""Keeps the values of a project's ``.env`` files out of everything that is sent to a model.

It decides which values are secret and takes them out of text; it never logs, shows or keeps them anywhere else.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Secrets", "folders_up", "is_secret_file", "secrets_near"]

TELLING = re.compile(r"key|token|secret|passw|pwd|credential|private|auth|dsn|connection", re.IGNORECASE)
"""Names that say that a value is secret however short it is."""

HARMLESS = {".example", ".sample", ".template", ".dist"}
"""Endings of ``.env`` files that are written to be shared."""

LONG = 12
"""From this length on a value counts as secret whatever its name; below it only ``TELLING`` names do."""

SHORTEST = 4
LARGEST_FILE = 65_536

QUOTED = re.compile(r"""(["'])(.*?)\1\s*(?:#.*)?$""")
ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True)
class Secrets:
    """Values that must not leave, each with the name it has in its file."""

    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Value → name."""

    def redact(self, text: str) -> str:
        """``text`` with each secret value replaced by ``<NAME from .env>``."""
        for value in sorted(self.names, key=len, reverse=True):  # a value may contain a shorter one
            text = text.replace(value, f"<{self.names[value]} from .env>")
        return text

    def found_in(self, text: str) -> list[str]:
        """The names of the secrets that ``text`` contains, in order of name."""
        return sorted({name for value, name in self.names.items() if value in text})


def is_secret_file(path: Path) -> bool:
    """Whether the whole file must stay here: ``.env``, ``.env.local``, …, but not ``.env.example``."""
    return (path.name == ".env" or path.name.startswith(".env.")) and path.suffix not in HARMLESS


def secrets_in(content: str) -> dict[str, str]:
    """Value → name of the secrets in the content of one ``.env`` file."""
    found = {}
    for line in content.splitlines():
        assigned = ASSIGNMENT.match(line)
        if assigned is None:
            continue
        name, value = assigned.groups()
        quoted = QUOTED.match(value)
        value = quoted.group(2) if quoted is not None else value.split(" #", 1)[0].rstrip()
        if len(value) >= (SHORTEST if TELLING.search(name) else LONG):
            found[value] = name
    return found


def secrets_near(folders: Iterable[Path]) -> Secrets:
    """The secrets of the ``.env`` files in ``folders``. A file that cannot be read is passed over: we cannot send it either."""
    names: dict[str, str] = {}
    for folder in dict.fromkeys(folders):
        try:
            candidates = sorted(path for path in folder.glob(".env*") if is_secret_file(path))
        except OSError:
            continue
        for path in candidates:
            try:
                with path.open(encoding="utf-8", errors="replace") as file:
                    names.update(secrets_in(file.read(LARGEST_FILE)))
            except OSError:
                continue
    return Secrets(names)


def folders_up(start: Path, top: Path) -> list[Path]:
    """``start`` and its parents up to ``top``; ``start`` and ``top`` alone when one is not below the other."""
    if top == start or top not in start.parents:
        return [start, top]
    parents = list(start.parents)
    return [start, *parents[: parents.index(top) + 1]]
