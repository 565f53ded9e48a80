"""The ledger of the benchmarks: takes records over and writes them to SQLite, once each, as a real one would."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.spool import to_line


def take(records: Sequence[wire.UsageRecord]) -> None:
    with sqlite3.connect(os.environ["BENCH_LEDGER"]) as database:
        database.execute("CREATE TABLE IF NOT EXISTS usage (id TEXT PRIMARY KEY, line TEXT)")
        database.executemany(
            "INSERT OR IGNORE INTO usage VALUES (?, ?)", [(each.request_id, to_line(each)) for each in records]
        )
