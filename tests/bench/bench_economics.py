"""The economics with many records: what a month's report, taking records and the page's first paint cost.

Fills a ledger with ``--records`` usage records of one month (2,000 people, 8 hours of every day, 3 models) by SQL, in SQLite
and, where there is one, PostgreSQL. Then measures: the first report of the month, which works every day out; the report
after records came late for three of its days, and when nothing changed; taking batches of 1,000 records as they come over
HTTP, with request ids in no order; the size of the database; and the page in Chromium, at a hub that serves this ledger.

Usage: ``python tests/bench/bench_economics.py [--records 10000000] [--folder FOLDER] [--no-paint]``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from neuralinverse_hub import wire  # noqa: E402
from neuralinverse_hub.economics import days, report, schema  # noqa: E402
from neuralinverse_hub.economics.intake import read_lines  # noqa: E402
from neuralinverse_hub.economics.ledger import Ledger, moment  # noqa: E402
from neuralinverse_hub.economics.periods import month_of  # noqa: E402
from neuralinverse_hub.economics.prices import default_prices  # noqa: E402
from neuralinverse_hub.economics.stints import DAY, HOUR  # noqa: E402
from neuralinverse_hub.spool import to_line  # noqa: E402
from tests.bench.figures import finish  # noqa: E402
from tests.neuralinverse_hub.economics import postgres  # noqa: E402
from tests.neuralinverse_hub.economics.records import usage  # noqa: E402

BEGIN, END = month_of("2026-10")
NOW = END - 9 * HOUR
PEOPLE = 2000
BATCH = 1000
COLUMNS = [each.name for each in schema.usage.columns]

SERIES = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {a} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {b}) SELECT {columns} FROM n",
    "postgresql": "SELECT {columns} FROM generate_series(CAST({a} AS bigint), CAST({b} AS bigint) - 1) AS n(i)",
}
VALUES = {
    "request_id": "'00000000-0000-0000-0000-' || (100000000000 + i)",
    "at": f"{BEGIN} + ((i / 16000) % 31) * {DAY} + (8 + (i / 2000) % 8) * {HOUR} + (i % 3600) * 1000000",
    "person": f"'person' || (i % {PEOPLE})",
    "workspace": "'default'",
    "task": "'coding'",
    "model": "CASE (i / 496000) % 3 WHEN 0 THEN 'llama-4' WHEN 1 THEN 'mistral-large' ELSE 'deepseek-r1' END",
    "upstream": "'azure'",
    "deployment": "'azure-eastus'",
    "input_tokens": "1000 + i % 997",
    "cached_tokens": "i % 500",
    "output_tokens": "100 + i % 499",
    "reasoning_tokens": "0",
    "pico": "(1000 + i % 997) * 250000 + (100 + i % 499) * 1000000",
    "first_token_s": "0.2",
    "duration_s": "1.5",
    "status": "'complete'",
    "retries": "0",
    "client": "'OpenAI/Python 2.14.0'",
}


def fill(ledger: Ledger, records: int) -> None:
    """The month, with the sums and stints that go with it."""
    series = SERIES[ledger.engine.dialect.name]
    columns = ", ".join(VALUES[name] for name in COLUMNS)
    part = 1_000_000
    for a in range(0, records, part):
        with ledger.writing() as connection:
            select = series.format(a=a, b=min(a + part, records), columns=columns)
            if ledger.is_sqlite:
                head, _, tail = select.partition(" SELECT " + columns)
                statement = f"{head} INSERT INTO usage ({', '.join(COLUMNS)}) SELECT {columns}{tail}"
            else:
                statement = f"INSERT INTO usage ({', '.join(COLUMNS)}) {select}"
            connection.exec_driver_sql(statement.replace("%", "%%") if not ledger.is_sqlite else statement)
    with ledger.writing() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO usage_hour SELECT at / {HOUR}, person, workspace, task, model, count(*), 0, "
                "sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(pico), 0, 0, 0, 0 "
                "FROM usage GROUP BY 1, 2, 3, 4, 5"
            )
        )
        stints = [
            {
                "person": f"person{person}",
                "workspace": "default",
                "started": (started := BEGIN + day * DAY + 8 * HOUR + person * 10**6),
                "size": ("small", "medium", "large")[person % 3],
                "region": ("eastus", "westeurope")[person % 2],
                "ended": started + 8 * HOUR,
                "exact": True,
                "seen": started + 8 * HOUR,
                "generation": 1,
            }
            for person in range(PEOPLE)
            for day in range(31)
        ]
        connection.execute(schema.stint.insert(), stints)
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def month_s(ledger: Ledger) -> float:
    began = time.perf_counter()
    made = report.of(days.figures(ledger, default_prices(), BEGIN, END, NOW), BEGIN, END)
    made.by("day"), made.by("person")
    assert made.total.ai > 0 and made.total.revenue > 0
    return time.perf_counter() - began


def size(ledger: Ledger, folder: Path) -> int:
    if ledger.is_sqlite:
        return sum(each.stat().st_size for each in folder.glob("economics.sqlite*"))
    with ledger.reading() as connection:
        return int(connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)


def ingest(ledger: Ledger, batches: int) -> float:
    """Records a second: read from lines, checked, written, summed."""
    bodies = [
        "".join(
            to_line(
                usage(
                    0,
                    request_id=str(uuid.uuid4()),
                    at=moment(END + number * 10**6),
                    person=f"person{(batch * BATCH + number) % PEOPLE}",
                )
            )
            for number in range(BATCH)
        ).encode()
        for batch in range(batches)
    ]
    began = time.perf_counter()
    for body in bodies:
        records, refused = read_lines(wire.UsageRecord, body)
        assert ledger.add_usage(records).new == BATCH and not refused
    return batches * BATCH / (time.perf_counter() - began)


def late(ledger: Ledger) -> None:
    at = moment(BEGIN)
    ledger.add_usage([usage(0, request_id=str(uuid.uuid4()), at=at + timedelta(days=day)) for day in (3, 11, 22)])


def measured(url: str, folder: Path, records: int, name: str) -> dict[str, float]:
    ledger = Ledger(url)
    ledger.upgrade()
    empty = size(ledger, folder)
    began = time.perf_counter()
    fill(ledger, records)
    print(f"{name}: filled in {time.perf_counter() - began:.0f} s", flush=True)
    grown = (size(ledger, folder) - empty) / (records / 1e6) / 1e6
    figures = {f"{name}_growth_mb_per_million": grown, f"{name}_report_first_s": month_s(ledger)}
    afterwards = []
    for _ in range(5):
        late(ledger)
        afterwards.append(month_s(ledger))
    figures[f"{name}_report_after_late_s"] = statistics.median(afterwards)
    figures[f"{name}_report_unchanged_s"] = statistics.median(month_s(ledger) for _ in range(5))
    figures[f"{name}_records_per_s"] = ingest(ledger, 100)
    ledger.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the database is made (default: a temporary folder)")
    parser.add_argument("--no-paint", action="store_true", help="without hub and Chromium")
    chosen = parser.parse_args()
    targets = {"sqlite_report_after_late_s": ("<=", 5.0), "sqlite_records_per_s": (">=", 5000.0)}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as temporary:
        folder = Path(temporary)
        url = f"sqlite:///{folder}/economics.sqlite"
        figures = measured(url, folder, chosen.records, "sqlite")
        if not chosen.no_paint:
            from tests.bench.economics_paint import paint_s

            figures["first_paint_s"], figures["figures_shown_s"] = paint_s(folder, url)
            targets["first_paint_s"] = ("<=", 1.0)
        if postgres.binaries() is not None:
            with postgres.serving() as server:
                figures |= measured(server, folder, chosen.records, "postgres")
            targets["postgres_report_after_late_s"] = ("<=", 2.0)
    return 0 if finish("economics", figures, targets) else 1


if __name__ == "__main__":
    sys.exit(main())
