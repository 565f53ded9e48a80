"""Names of people and servers as names of folders. Pure; knows no spawner.

Guarantees, each with a test:

- the result is one safe path component: ``[a-z0-9._-]``, no leading dot, at most 63 characters;
- two different names never give the same folder, except by a collision of 40 bits of SHA-256;
- a plain name stays as it is, so that an operator recognises folders.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["folder_name"]

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,47}")
_ESCAPED = re.compile(r".*--[0-9a-f]{10}")


def folder_name(name: str) -> str:
    """``name`` itself where that is safe, else its safe characters and a hash: ``Zoë/x`` → ``zo-x--5f0e…``."""
    if _PLAIN.fullmatch(name) and not _ESCAPED.fullmatch(name) and not name.endswith("."):
        return name
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
    return f"{readable}--{hashlib.sha256(name.encode()).hexdigest()[:10]}"
