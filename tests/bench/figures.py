"""How every benchmark ends: a table for people, and one JSON line for machines."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence

__all__ = ["finish", "median", "percentile", "table"]

Target = tuple[str, float]
"""``("<=", 2.0)`` or ``(">=", 5.0)``."""


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that ``percent`` % of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to their widest cell; every column but the first is right-aligned."""
    cells = [list(head), *[[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def finish(bench: str, figures: Mapping[str, float], targets: Mapping[str, Target]) -> bool:
    """Print the figures beside their targets, then the JSON line. Returns whether every target is met.

    A figure without a target is information; a target without a figure is a mistake and raises KeyError.
    """
    met = {
        name: figures[name] <= bound if sign == "<=" else figures[name] >= bound
        for name, (sign, bound) in targets.items()
    }
    rows = [
        (
            name,
            value,
            " ".join(map(str, targets[name])) if name in targets else "",
            {True: "met", False: "MISSED"}.get(met.get(name), ""),
        )
        for name, value in figures.items()
    ]
    print(table(["figure", "measured", "target", ""], rows))
    line = {
        "bench": bench,
        "figures": {name: round(value, 4) for name, value in figures.items()},
        "targets": {name: f"{sign} {bound}" for name, (sign, bound) in targets.items()},
        "met": all(met.values()),
    }
    print(json.dumps(line))
    return all(met.values())
