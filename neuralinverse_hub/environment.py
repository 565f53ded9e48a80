"""What a process of ours is told by its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["needed"]


def needed(environ: Mapping[str, str], name: str, what: str, error: Callable[[str], Exception]) -> str:
    """The value of the variable ``name``, which should hold ``what``; raises ``error`` with that sentence when it is not set."""
    value = environ.get(name, "")
    if not value:
        raise error(f"{name} is not set; it should hold {what}.")
    return value
