"""Log files of the processes that ``up`` starts: kept small, and read when something goes wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

LIMIT_BYTES: Final = 10_000_000

_LOGGED: Final = re.compile(r"\[[DIWEC] \d{4}-\d\d-\d\d ")
"""How a line of the hub and its services begins; what follows without it belongs to the line before."""
_TELLING: Final = re.compile(r"\[[EC] \d{4}|Traceback|^\w+(\.\w+)*(Error|Exception)\b")


def rotate(log: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Move a log that has grown past the limit to ``<name>.1`` and begin it anew.

    By copying: the process that writes it keeps the same open file, which has to be in append mode.
    """
    if log.exists() and log.stat().st_size > limit_bytes:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        with log.open("r+b") as file:
            file.truncate(0)


def tail(log: Path, since: int = 0, lines: int = 12) -> str:
    """The last lines after byte ``since`` that tell something: with errors in them if there are any."""
    try:
        said = log.read_bytes()[since:].decode(errors="replace").splitlines()
    except FileNotFoundError:
        return "(it wrote no log)"
    said = [line.rstrip()[:400] for line in said if line.strip() and "[ConfigProxy]" not in line]
    first = next((index for index, line in enumerate(said) if _TELLING.search(line)), None)
    telling = said if first is None else [line for line in said[first:] if _tells(line)]
    return "\n".join(f"  {line}" for line in telling[-lines:]) or "  (it wrote nothing)"


def _tells(line: str) -> bool:
    return _TELLING.search(line) is not None or not _LOGGED.match(line)
