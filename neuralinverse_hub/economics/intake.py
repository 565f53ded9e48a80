"""Records as they come over HTTP: one JSON object a line. Pure.

What is no record is named and left out, so that one wrong line never holds up the others, however often they come.
"""

from __future__ import annotations

from decimal import InvalidOperation
from typing import Any, Final

from neuralinverse_hub import wire
from neuralinverse_hub.spool import from_line

__all__ = ["KINDS", "read_lines"]

KINDS: Final[dict[str, type]] = {
    wire.USAGE_RECORDS: wire.UsageRecord,
    wire.COMPUTE_RECORDS: wire.ComputeRecord,
    wire.VOLUME_RECORDS: wire.VolumeRecord,
}
"""What is taken below which path."""


def read_lines(kind: type, body: bytes) -> tuple[list[Any], list[str]]:
    """(records of ``kind``, one sentence for each line that is none)."""
    records: list[Any] = []
    refused: list[str] = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            records.append(from_line(kind, line))
        except (ValueError, KeyError, TypeError, InvalidOperation, RecursionError) as error:
            refused.append(f"line {number}, {line[:80]!r}: {type(error).__name__}: {str(error)[:200]}")
    return records, refused
