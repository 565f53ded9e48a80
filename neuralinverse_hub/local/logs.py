"""Log files of the processes that ``up`` starts: kept small, and read when something goes wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

LIMIT_BYTES: Final = 10_000_000

_RECORD: Final = re.compile(r"\[[DIWEC] \d{4}-\d\d-\d\d |\d{4}-\d\d-\d\dT\S+ \[ConfigProxy\]")
"""How a record of the hub or of its proxy begins; a line without it belongs to the record before, or to nobody."""
_ROUTINE: Final = re.compile(r"\[[DIW] \d{4}-")


def rotate(log: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Move a log that has grown past the limit to ``<name>.1`` and begin it anew.

    By copying: the process that writes it keeps the same open file, which has to be in append mode.
    """
    if log.exists() and log.stat().st_size > limit_bytes:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        with log.open("r+b") as file:
            file.truncate(0)


def tail(log: Path, since: int = 0, lines: int = 12) -> str:
    """The last lines after byte ``since`` that tell something about a failure: without routine, without the proxy's."""
    try:
        said = log.read_bytes()[since:].decode(errors="replace").splitlines()
    except FileNotFoundError:
        return "  (it wrote no log)"
    telling = []
    of_proxy = False
    for line in said:
        if _RECORD.match(line):
            of_proxy = "[ConfigProxy]" in line
        if line.strip() and not of_proxy and not _ROUTINE.match(line):
            telling.append(line.rstrip()[:400])
    return "\n".join(f"  {line}" for line in telling[-lines:]) or "  (nothing that looks like an error)"
