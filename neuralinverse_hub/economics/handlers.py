"""HTTP in, JSON out: records from services, figures for administrators."""

from __future__ import annotations

import json
import re
from typing import Any

from tornado import web

from neuralinverse_hub import wire
from neuralinverse_hub.economics import days
from neuralinverse_hub.economics.access import AdminHandler, AdminPage, CallbackHandler, Handler, ServiceHandler, page
from neuralinverse_hub.economics.command import in_json
from neuralinverse_hub.economics.desk import Desk, now
from neuralinverse_hub.economics.errors import LedgerAway
from neuralinverse_hub.economics.intake import KINDS, read_lines
from neuralinverse_hub.economics.ledger import Ledger, Taken
from neuralinverse_hub.economics.metrics import CONTENT_TYPE
from neuralinverse_hub.economics.periods import month_of, this_month
from neuralinverse_hub.economics.report import GROUPS, Report, of

__all__ = ["routes"]


def routes(prefix: str, desk: Desk) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """Every URL of the service. ``prefix`` begins and ends with a slash."""
    base, given = re.escape(prefix), {"desk": desk}
    return [
        (rf"{base}healthz", HealthHandler, given),
        (rf"{base}metrics", MetricsHandler, given),
        *((rf"{base}{path}", RecordsHandler, {**given, "path": path}) for path in KINDS),
        (rf"{base}api/report", ReportHandler, given),
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


class HomeHandler(AdminPage):
    """The page."""

    @web.authenticated
    def get(self) -> None:
        self.finish(page(self.hub_auth.hub_prefix, "Economics", ""))


class ReportHandler(AdminHandler):
    """``GET api/report[?month=YYYY-MM][&by=day]``: the report of a month as ``economics report --json`` prints it."""

    @web.authenticated
    async def get(self) -> None:
        at = now()
        month = self.get_query_argument("month", "")
        by = self.get_query_argument("by", "day")
        if by not in GROUPS:
            self.refuse(400, f"by is {by[:40]!r}; one of {', '.join(GROUPS)}")
            return
        try:
            begin, end = month_of(month) if month else this_month(at)
        except ValueError as error:
            self.refuse(400, str(error))
            return
        prices = self.desk.prices.current()

        def read(ledger: Ledger) -> Report:
            return of(days.figures(ledger, prices, begin, end, at), begin, end)

        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(in_json(await self.desk.book.read(read), by)))
