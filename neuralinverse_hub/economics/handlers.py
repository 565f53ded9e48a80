"""Every URL of the service, and what programs do with it: hand records in, ask for its health and its metrics."""

from __future__ import annotations

import re
from typing import Any

from tornado import web

from neuralinverse_hub import wire
from neuralinverse_hub.economics.access import CallbackHandler, Handler, ServiceHandler
from neuralinverse_hub.economics.desk import Desk
from neuralinverse_hub.economics.errors import LedgerAway
from neuralinverse_hub.economics.intake import KINDS, read_lines
from neuralinverse_hub.economics.ledger import Ledger, Taken
from neuralinverse_hub.economics.metrics import CONTENT_TYPE
from neuralinverse_hub.economics.pages import (
    DayHandler,
    FileHandler,
    HomeHandler,
    ReportHandler,
    WeightHandler,
    WhatIfHandler,
)

__all__ = ["routes"]


def routes(prefix: str, desk: Desk) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """Every URL of the service. ``prefix`` begins and ends with a slash."""
    base, given = re.escape(prefix), {"desk": desk}
    return [
        (rf"{base}healthz", HealthHandler, given),
        (rf"{base}metrics", MetricsHandler, given),
        *((rf"{base}{path}", RecordsHandler, {**given, "path": path}) for path in KINDS),
        (rf"{base}api/report", ReportHandler, given),
        (rf"{base}api/day", DayHandler, given),
        (rf"{base}api/whatif", WhatIfHandler, given),
        (rf"{base}api/weight", WeightHandler, given),
        (rf"{base}files/([a-z0-9.-]+\.(?:js|css))", FileHandler, given),
        (rf"{base}oauth_callback", CallbackHandler, given),
        (base, HomeHandler, given),
        (r".*", NothingHandler, given),
    ]


class HealthHandler(Handler):
    """``GET healthz``: 200 while records can be taken; says nothing else to anybody."""

    def get(self) -> None:
        if self.desk.book.cause:
            self.refuse(503, "the ledger is away; records wait where they are")
        else:
            self.finish({"status": "ok"})


class NothingHandler(Handler):
    """Every other URL."""

    def prepare(self) -> None:
        self.refuse(404, "there is nothing here")


class RecordsHandler(ServiceHandler):
    """``POST records/…``: one JSON object a line. 200 when they are in the ledger, all of them that are records."""

    def initialize(self, desk: Desk, path: str = "") -> None:
        super().initialize(desk)
        self.path_ = path

    async def post(self) -> None:
        body, kind = self.request.body, KINDS[self.path_]

        def take(ledger: Ledger) -> tuple[Taken, dict[str, float]]:
            records, refused = read_lines(kind, body)
            add: dict[str, Any] = {
                wire.USAGE_RECORDS: ledger.add_usage,
                wire.COMPUTE_RECORDS: ledger.add_compute,
                wire.VOLUME_RECORDS: ledger.add_volume,
            }
            taken: Taken = add[self.path_](records)
            taken.refused += refused
            return taken, ledger.weights() if self.path_ == wire.USAGE_RECORDS else {}

        name = self.path_.rpartition("/")[2]
        metrics = self.desk.metrics
        try:
            taken, weights = await self.desk.book.write(take)
        except LedgerAway as error:
            metrics.records.labels(name, "away").inc()
            self.refuse(503, str(error))
            return
        metrics.records.labels(name, "new").inc(taken.new)
        metrics.records.labels(name, "known").inc(taken.known)
        metrics.records.labels(name, "refused").inc(len(taken.refused))
        answer: dict[str, Any] = {"new": taken.new, "known": taken.known, "refused": taken.refused}
        if self.path_ == wire.USAGE_RECORDS:
            answer["weights"] = weights
        self.finish(answer)


class MetricsHandler(ServiceHandler):
    """``GET metrics`` for Prometheus, with the token of a service that may call this one."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(self.desk.metrics.exposition())
