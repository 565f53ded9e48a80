"""Records as the gateway and the hub write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from neuralinverse_hub import wire

__all__ = ["NOON", "compute", "usage"]

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def usage(number: int, usd: str | None = "0.001", **changed: Any) -> wire.UsageRecord:
    members: dict[str, Any] = {
        "request_id": f"request-{number}",
        "at": NOON + timedelta(minutes=number % 60),
        "person": "ada",
        "workspace": "default",
        "task": "coding",
        "model": "llama-4",
        "upstream": "azure",
        "deployment": "maverick",
        "input_tokens": 1000,
        "cached_tokens": 100,
        "output_tokens": 200,
        "reasoning_tokens": 0,
        "usd": None if usd is None else Decimal(usd),
        "first_token_s": 0.2,
        "duration_s": 1.5,
        "status": "complete",
    }
    return wire.UsageRecord(**{**members, **changed})


def compute(started: datetime = NOON, ended: datetime | None = None, **changed: Any) -> wire.ComputeRecord:
    members: dict[str, Any] = {"person": "ada", "workspace": "default", "size": "medium", "region": "eastus"}
    return wire.ComputeRecord(started_at=started, ended_at=ended, **{**members, **changed})
