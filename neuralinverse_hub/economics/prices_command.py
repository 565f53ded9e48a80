"""``neuralinverse-hub prices check``: is the price list right, and does it know all that is used."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from neuralinverse_hub.economics import prices

__all__ = ["arguments", "run"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``neuralinverse-hub prices``."""
    parser.add_argument("action", choices=["check"], help="what to do: look for missing, stale and retired prices")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="the price list (default: the shipped one)")
    parser.add_argument("--ledger", metavar="URL", help="look also for what this ledger uses that has no price")


def run(options: argparse.Namespace) -> int:
    """0 when all is well, 2 when there is something to look at. Raises `EconomicsError`."""
    found = prices.read(options.prices)
    models: set[str] = set()
    sizes: set[str] = set()
    if options.ledger:
        # Only here: the list itself needs no database.
        from neuralinverse_hub.economics.ledger import Ledger
        from neuralinverse_hub.economics.rows import used

        ledger = Ledger(options.ledger)
        try:
            models, sizes = used(ledger)
        finally:
            ledger.close()
    warnings = prices.warnings(found, models, sizes, datetime.now(UTC).date())
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"{len(found.sizes)} sizes, {len(found.models)} models; {len(warnings)} to look at")
    return 2 if warnings else 0
