"""The ledger's tables as files, CSV or Parquet, in parts, so that a large table needs little memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.errors import BadFile
from neuralinverse_hub.economics.ledger import Ledger, moment
from neuralinverse_hub.economics.money import from_pico
from neuralinverse_hub.economics.stints import HOUR

__all__ = ["TABLES", "write"]

TABLES: Final = {
    "usage": schema.usage,
    "usage-hours": schema.usage_hour,
    "workspaces": schema.stint,
    "volumes": schema.volume,
}
_TIMES: Final = {"at", "started", "ended", "seen"}
_ROWS: Final = 10_000


def write(
    ledger: Ledger, table: str, to: Path, period: tuple[int, int] | None = None, person: str | None = None
) -> int:
    """Write a table to a ``.csv`` or ``.parquet`` file; how many rows. Money is in USD, exact; times are UTC.

    ``period`` (begin, end) and ``person`` choose the rows that a report's figures of them are made of; a workspace that ran
    over the period's edge is one of them, whole. Raises `BadFile`.
    """
    if to.suffix not in (".csv", ".parquet"):
        raise BadFile(f"{to} ends with neither .csv nor .parquet, so there is no saying what to write")
    part = to.with_name(f"{to.name}.part")
    try:
        write_parts = _csv if to.suffix == ".csv" else _parquet
        count = write_parts(TABLES[table], _parts(ledger, TABLES[table], period, person), part)
        # A file under its name is whole.
        part.replace(to)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadFile(f"{to} cannot be written: {error.strerror}") from error
    return count


def _within(table: sa.Table, begin: int, end: int) -> sa.ColumnElement[bool]:
    if table is schema.usage_hour:
        return table.c.hour.between(begin // HOUR, end // HOUR - 1)
    if table is schema.stint:
        return (table.c.started < end) & (table.c.ended.is_(None) | (table.c.ended > begin))
    return (table.c.at >= begin) & (table.c.at < end)


def _parts(
    ledger: Ledger, table: sa.Table, period: tuple[int, int] | None, person: str | None
) -> Iterator[Sequence[Sequence[Any]]]:
    query = sa.select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS)
    if period is not None:
        query = query.where(_within(table, *period))
    if person is not None:
        query = query.where(table.c.person == person)
    names = [each.name for each in table.columns]
    with ledger.reading() as connection:
        for rows in connection.execute(query).partitions():
            yield [[_value(name, value) for name, value in zip(names, row, strict=True)] for row in rows]


def _names(table: sa.Table) -> list[str]:
    return ["usd" if each.name == "pico" else each.name for each in table.columns]


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "pico":
        return from_pico(value)
    return moment(value) if name in _TIMES else value


def _csv(table: sa.Table, parts: Iterator[Sequence[Sequence[Any]]], to: Path) -> int:
    count = 0
    with to.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = _names(table)
        writer.writerow(names)
        money = names.index("usd") if "usd" in names else None
        for rows in parts:
            for row in rows:
                if money is not None and row[money] is not None:
                    row = [*row[:money], f"{row[money]:f}", *row[money + 1 :]]
                writer.writerow(each.isoformat() if hasattr(each, "isoformat") else each for each in row)
            count += len(rows)
    return count


def _parquet(table: sa.Table, parts: Iterator[Sequence[Sequence[Any]]], to: Path) -> int:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise BadFile("Parquet needs pyarrow: pip install 'neuralinverse-hub[parquet]', or write a .csv") from error
    kinds: dict[type, Any] = {sa.String: pyarrow.string(), sa.Boolean: pyarrow.bool_(), sa.Float: pyarrow.float64()}
    fields = []
    for column in table.columns:
        if column.name == "pico":
            fields.append(("usd", pyarrow.decimal128(38, 12)))
        elif column.name in _TIMES:
            fields.append((column.name, pyarrow.timestamp("us", "UTC")))
        else:
            fields.append((column.name, kinds.get(type(column.type), pyarrow.int64())))
    layout = pyarrow.schema(fields)
    count = 0
    with pyarrow.parquet.ParquetWriter(to, layout) as writer:
        for rows in parts:
            columns = [
                pyarrow.array(each, kind) for each, (_, kind) in zip(zip(*rows, strict=True), fields, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=layout))
            count += len(rows)
    return count
