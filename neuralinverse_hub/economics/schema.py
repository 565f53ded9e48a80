"""The ledger's tables. Money is whole pico-dollars, times are whole microseconds of Unix time, so both sum and compare
exactly on every database. Alembic's revisions below ``migrations`` make the same tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

__all__ = [
    "VERSION_TABLE",
    "day_change",
    "day_figures",
    "metadata",
    "note",
    "stint",
    "usage",
    "usage_hour",
    "volume",
    "weight",
]

metadata = MetaData()

VERSION_TABLE: Final = "economics_version"
"""Alembic's own table here, so that the ledger may share a database with the hub, which has one under the usual name."""

usage = Table(
    "usage",
    metadata,
    Column("request_id", String(200), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("person", String(255), nullable=False),
    Column("workspace", String(255), nullable=False),
    Column("task", String(64), nullable=False),
    Column("model", String(200), nullable=False),
    Column("upstream", String(200), nullable=False),
    Column("deployment", String(200), nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    # None: the gateway knew no price.
    Column("pico", BigInteger),
    Column("first_token_s", Float),
    Column("duration_s", Float, nullable=False),
    Column("status", String(16), nullable=False),
    Column("retries", Integer, nullable=False),
    # As the program that asked names itself; empty: it did not.
    Column("client", String(64), nullable=False, server_default=""),
    Index("usage_at", "at"),
)
"""One row per answered request, as the gateway said it."""

usage_hour = Table(
    "usage_hour",
    metadata,
    # Unix time in whole hours.
    Column("hour", Integer, primary_key=True),
    Column("person", String(255), primary_key=True),
    Column("workspace", String(255), primary_key=True),
    Column("task", String(64), primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("pico", BigInteger, nullable=False),
    # The part of the above that the gateway knew no price for.
    Column("unpriced_requests", BigInteger, nullable=False),
    Column("unpriced_input", BigInteger, nullable=False),
    Column("unpriced_cached", BigInteger, nullable=False),
    Column("unpriced_output", BigInteger, nullable=False),
)
"""Sums of ``usage``, kept in the same transaction that adds to it."""

stint = Table(
    "stint",
    metadata,
    Column("person", String(255), primary_key=True),
    Column("workspace", String(255), primary_key=True),
    Column("started", BigInteger, primary_key=True),
    Column("size", String(64), nullable=False),
    Column("region", String(64), nullable=False),
    Column("ended", BigInteger),
    Column("exact", Boolean, nullable=False),
    # When the hub last said that it runs.
    Column("seen", BigInteger, nullable=False),
    # Of the workspace's start; 0: unknown.
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Index("stint_started", "started"),
)
"""One row per stretch of a workspace's running."""

volume = Table(
    "volume",
    metadata,
    Column("record_id", String(200), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("person", String(255), nullable=False),
    Column("workspace", String(255), nullable=False),
    Column("region", String(64), nullable=False),
    # Byte-hours of storage, or bytes of network.
    Column("amount", BigInteger, nullable=False),
    Index("volume_at", "at"),
)

day_change = Table(
    "day_change",
    metadata,
    # Unix time in whole days.
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)
"""Raised with every change of what a day says."""

day_figures = Table(
    "day_figures",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    # SHA-256 of the price list they were worked out with.
    Column("prices", String(64), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""Worked out once, from all of the above; true while the version is that of the day."""

weight = Table(
    "weight", metadata, Column("person", String(255), primary_key=True), Column("weight", String(16), nullable=False)
)
"""Who an operator gave less than a full share of the fair queues."""

note = Table(
    "note", metadata, Column("name", String(64), primary_key=True), Column("value", String(255), nullable=False)
)
"""Facts about the ledger itself, e.g. since when it keeps single records."""
