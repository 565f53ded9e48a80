"""What a person's account on Gitea may be called. Pure; knows no host.

Guarantees, each with a test:

- every name is one that Gitea accepts: ``[a-z0-9]`` with single ``-``, ``.`` or ``_`` between, at most 40 characters;
- the escaped names of two people are never the same, except by a collision of 40 bits of SHA-256, and no person's plain
  name is another one's escaped name.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

__all__ = ["account_names"]

_LONGEST: Final = 40
_PLAIN: Final = re.compile(r"[a-z0-9]+(?:[-._][a-z0-9]+)*")
_ESCAPED: Final = re.compile(r".*-[0-9a-f]{10}")


def account_names(person: str) -> list[str]:
    """Names to try, the best one first: the person's own where it is a possible one, then one that nobody else has.

    The second is needed when the host reserves the first, as Gitea does ``user``, or somebody else has it.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", person.lower()).strip("-")[: _LONGEST - 11].rstrip("-") or "x"
    escaped = f"{readable}-{hashlib.sha256(person.encode()).hexdigest()[:10]}"
    possible = _PLAIN.fullmatch(person) and len(person) <= _LONGEST and not _ESCAPED.fullmatch(person)
    return [person, escaped] if possible else [escaped]
