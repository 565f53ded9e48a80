"""The ledger of the benchmarks: takes records over and writes them to SQLite, once each, as a real one would."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from neuralinverse_hub import wire
from neuralinverse_hub.spool import to_line


def rows(path: str) -> tuple[dict[str, str], int]:
    """Lines by request id, and how many records came that were there already."""
    with sqlite3.connect(path) as database:
        lines = dict(database.execute("SELECT id, line FROM usage"))
        (again,) = database.execute("SELECT count(*) FROM again").fetchone()
    return lines, again


def take(records: Sequence[wire.UsageRecord]) -> None:
    with sqlite3.connect(os.environ["BENCH_LEDGER"]) as database:
        database.execute("CREATE TABLE IF NOT EXISTS usage (id TEXT PRIMARY KEY, line TEXT)")
        database.execute("CREATE TABLE IF NOT EXISTS again (id TEXT)")
        database.executemany(
            "INSERT INTO again SELECT id FROM usage WHERE id = ?", [(each.request_id,) for each in records]
        )
        database.executemany(
            "INSERT OR IGNORE INTO usage VALUES (?, ?)", [(each.request_id, to_line(each)) for each in records]
        )
