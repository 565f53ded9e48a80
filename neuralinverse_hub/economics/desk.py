"""What every handler of the service works with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from neuralinverse_hub.economics.book import Book, PriceBook
from neuralinverse_hub.economics.metrics import Metrics
from neuralinverse_hub.economics.prices import Prices
from neuralinverse_hub.economics.whatif import Base

__all__ = ["Desk", "now"]


def now() -> int:
    """Microseconds of Unix time."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class Desk:
    """The ledger, the prices, and what is counted."""

    book: Book
    prices: PriceBook
    metrics: Metrics = field(default_factory=Metrics)
    bases: dict[int, tuple[int, Base | None, Prices | None]] = field(default_factory=dict)
    """By a month's begin: when its draws for what-ifs were made, they, and the prices that they were made with."""
