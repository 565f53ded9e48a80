"""JSON in and out, fast for what is usual and right for what is not. Knows nothing of what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

__all__ = ["compact", "read"]


def read(data: bytes, *, constant: Callable[[str], Any] | None = None) -> Any:
    """The value in ``data``; whole numbers of more than 64 bits become floats.

    Raises ValueError, or RecursionError for what is nested too deeply.
    ``constant`` is called for ``NaN`` and the infinities, which are no JSON; None: they are floats.
    """
    try:
        return orjson.loads(data)
    except ValueError:
        # Half a surrogate pair, a NaN, or a mistake that the standard library describes in words people know.
        return json.loads(data, parse_constant=constant)


def compact(value: Any) -> bytes:
    """JSON without spaces; what is no character in UTF-8 (half a surrogate pair) passes as it came."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
