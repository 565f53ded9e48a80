"""Names of people and servers as names of folders and refs. Pure; knows no spawner.

Guarantees, each with a test:

- the result is one safe component of a path or a ref: ``[a-z0-9_-]``, at most 63 characters, no dash in front;
- two different names never give the same result, except by a collision of 40 bits of SHA-256;
- a plain name stays as it is, so that an operator recognises it.
"""

from __future__ import annotations

import hashlib
import re

from neuralinverse_hub import wire

__all__ = ["safe_name", "workspace_name"]

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_ESCAPED = re.compile(r".*--[0-9a-f]{10}")


def safe_name(name: str) -> str:
    """``name`` itself where that is safe, else its safe characters and a hash: ``Zoë/x`` → ``zo-x--5f0e…``."""
    return name if _PLAIN.fullmatch(name) and not _ESCAPED.fullmatch(name) else _escaped(name)


def workspace_name(server: str) -> str:
    """What a person's server is called outside the hub; the unnamed one is ``default``, and no other one is."""
    if not server:
        return wire.DEFAULT_WORKSPACE
    return _escaped(server) if server == wire.DEFAULT_WORKSPACE else safe_name(server)


def _escaped(name: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
    return f"{readable}--{hashlib.sha256(name.encode()).hexdigest()[:10]}"
