"""Records as they are handed in, made into the ledger's rows: what cannot be so is refused, with the value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from neuralinverse_hub import wire
from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.errors import BadRecord
from neuralinverse_hub.economics.money import LARGEST_PICO, to_pico
from neuralinverse_hub.economics.stints import Stint

__all__ = ["check_texts", "micros", "moment", "stint_of", "usage_row"]

_MOST_TOKENS: Final = 10**12


def micros(at: datetime) -> int:
    """Microseconds of Unix time, exactly. Raises BadRecord for a time without a zone."""
    if at.tzinfo is None:
        raise BadRecord(f"{at} has no time zone")
    span = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (span.days * 86400 + span.seconds) * 10**6 + span.microseconds


def moment(at: int) -> datetime:
    """The time that `micros` made a number of."""
    return datetime.fromtimestamp(at // 10**6, UTC).replace(microsecond=at % 10**6)


def check_texts(row: Mapping[str, Any], table: sa.Table) -> None:
    for column in table.columns:
        if isinstance(column.type, sa.String):
            text = row[column.name]
            if not isinstance(text, str) or len(text) > (column.type.length or 0) or "\0" in text:
                raise BadRecord(f"{column.name} is {str(text)[:60]!r}; text of at most {column.type.length} characters")
            try:
                text.encode()
            except UnicodeEncodeError:
                raise BadRecord(f"{column.name} is {str(text)[:60]!r}, which is no text") from None


def usage_row(record: wire.UsageRecord, since: int) -> dict[str, Any]:
    row = {each.name: getattr(record, each.name) for each in schema.usage.columns if each.name not in ("at", "pico")}
    check_texts(row, schema.usage)
    for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "retries"):
        value = row[name]
        if type(value) is not int or not 0 <= value <= (_MOST_TOKENS if name != "retries" else 10**6):
            raise BadRecord(f"{name} is {value!r}; a whole number from 0")
    if record.cached_tokens > record.input_tokens:
        raise BadRecord(f"{record.cached_tokens} cached tokens of {record.input_tokens}")
    for name in ("duration_s", "first_token_s"):
        if row[name] is not None and not 0 <= row[name] < 10**9:
            raise BadRecord(f"{name} is {row[name]!r}")
    row["at"] = micros(record.at)
    if row["at"] < since:
        raise BadRecord(f"is of {record.at}, and single requests are kept since {moment(since)} only")
    row["pico"] = None
    if record.usd is not None:
        if not record.usd.is_finite() or not 0 <= record.usd * 10**12 <= LARGEST_PICO:
            raise BadRecord(f"costs {record.usd} USD; 0 to a million")
        row["pico"] = to_pico(record.usd)
    return row


def stint_of(record: wire.ComputeRecord) -> Stint:
    started = micros(record.started_at)
    ended = micros(record.ended_at) if record.ended_at else None
    stint = Stint(
        record.person,
        record.workspace,
        started,
        record.size,
        record.region,
        ended,
        record.exact,
        max(started, ended or 0),
        record.generation,
    )
    if type(record.generation) is not int or not 0 <= record.generation < 2**63:
        raise BadRecord(f"generation is {record.generation!r}; a whole number from 0")
    check_texts(asdict(stint), schema.stint)
    if ended is not None and ended < started:
        # A clock was set back in between: it ran, and nobody can say for how long.
        return replace(stint, ended=started, exact=False, seen=started)
    return stint
