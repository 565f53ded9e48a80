"""What administrators look at: the page, its files, and the figures that it asks for."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any, Final

from tornado import web

from neuralinverse_hub.economics import alerts, days, rows, whatif
from neuralinverse_hub.economics.access import AdminHandler, AdminPage, Handler, page
from neuralinverse_hub.economics.command import in_json
from neuralinverse_hub.economics.desk import now
from neuralinverse_hub.economics.errors import BadPrices, BadRecord, BadScenario, LedgerAway
from neuralinverse_hub.economics.figures import cells_of, figures_of
from neuralinverse_hub.economics.ledger import Ledger, moment
from neuralinverse_hub.economics.periods import day_of, month_of, months, this_month
from neuralinverse_hub.economics.report import GROUPS, Report, of
from neuralinverse_hub.economics.scenarios import outcome_json, scenario_of
from neuralinverse_hub.economics.view import alert_row, day_view, month_view

__all__ = ["DayHandler", "FileHandler", "HomeHandler", "ReportHandler", "WeightHandler", "WhatIfHandler", "plotly_name"]

_BASE_S: Final = 60
"""How long a month's draws serve what-ifs before they are made anew."""


class Figures(AdminHandler):
    """A handler that answers with figures of a period that the query names."""

    def period(self, name: str, at: int) -> tuple[int, int]:
        """(begin, end) of the ``month`` or the ``day`` asked for. Raises ValueError."""
        text = self.get_query_argument(name, "")
        if name == "month":
            return month_of(text) if text else this_month(at)
        return day_of(text)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, (BadScenario, BadRecord, ValueError)):
            self.refuse(400, str(error))
        else:
            super().write_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, (BadScenario, BadRecord, ValueError)):
            super().log_exception(typ, value, tb)


class ReportHandler(Figures):
    """``GET api/report[?month=YYYY-MM][&by=day]``: the report of a month as ``economics report --json`` prints it."""

    @web.authenticated
    async def get(self) -> None:
        at = now()
        begin, end = self.period("month", at)
        if (by := self.get_query_argument("by", "day")) not in GROUPS:
            raise ValueError(f"by is {by[:40]!r}; one of {', '.join(GROUPS)}")
        prices = self.desk.prices.current()

        def read(ledger: Ledger) -> Report:
            return of(days.figures(ledger, prices, begin, end, at), begin, end)

        self.finish(in_json(await self.desk.book.read(read), by))


class DayHandler(Figures):
    """``GET api/day?day=YYYY-MM-DD``: its hours, and its dearest workspaces."""

    @web.authenticated
    async def get(self) -> None:
        begin, end = self.period("day", now())
        prices = self.desk.prices.current()

        def read(ledger: Ledger) -> dict[str, Any]:
            found = rows.of_period(ledger, begin, end, now())
            return day_view(of(figures_of(found, prices), begin, end), cells_of(found, prices))

        self.finish(await self.desk.book.read(read))


class WhatIfHandler(Figures):
    """``GET api/whatif[?month=YYYY-MM][&heavy=25%]…``: what the month would have earned; the options are the command's."""

    @web.authenticated
    async def get(self) -> None:
        at = now()
        begin, end = self.period("month", at)
        written = {name: self.get_query_arguments(name) for name in self.request.query_arguments if name != "month"}
        scenario = scenario_of(written)
        prices = self.desk.prices.current()
        made, base, drawn = self.desk.bases.get(begin, (0, None, None))
        if base is None or drawn != prices or at - made > _BASE_S * 10**6:

            def draw(ledger: Ledger) -> whatif.Base:
                return whatif.base_of(days.figures(ledger, prices, begin, end, at))

            base = await self.desk.book.read(draw)
            self.desk.bases[begin] = at, base, prices
            while len(self.desk.bases) > 4:
                del self.desk.bases[next(iter(self.desk.bases))]
        last = (moment(end) - timedelta(days=1)).date()
        self.finish(outcome_json(base, whatif.outcome(base, scenario, prices, last)))


class WeightHandler(Figures):
    """``POST api/weight`` with ``{"person": …, "weight": "0.5" | null}``: a person's share beside others who wait.

    It limits nobody: alone, everybody is as fast as ever. The gateway learns it with its next records.
    """

    @web.authenticated
    async def post(self) -> None:
        try:
            asked = json.loads(self.request.body)
            person, weight = asked["person"], asked["weight"]
            if not isinstance(person, str) or not 0 < len(person) <= 255:
                raise ValueError
            if weight is not None and not (isinstance(weight, str) and 0 < float(weight) <= 1):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise ValueError('send {"person": "<name>", "weight": "0.5"}, above 0 and at most 1, or null') from None
        await self.desk.book.write(lambda ledger: ledger.set_weight(person, weight))
        self.finish({"person": person, "weight": weight})


class HomeHandler(AdminPage):
    """The page, with the figures of the month in it, so that the first paint shows them."""

    @web.authenticated
    async def get(self) -> None:
        at = now()
        text = self.get_query_argument("month", "")
        try:
            begin, end = month_of(text) if text else this_month(at)
        except ValueError as error:
            raise web.HTTPError(400, reason=str(error)) from None
        shown: dict[str, Any] = {"problem": None, "view": None}
        try:
            prices = self.desk.prices.current()

            def read(ledger: Ledger) -> dict[str, Any]:
                figures = days.figures(ledger, prices, begin, end, at)
                first = rows.first(ledger)
                weights = ledger.weights()
                known = months(at if first is None else first, at)
                return {
                    "view": month_view(of(figures, begin, end), moment(at).date()),
                    "alerts": [alert_row(each, weights) for each in alerts.of_period(ledger, figures)],
                    "months": [moment(each).date().isoformat()[:7] for each, _ in known],
                    "weights": weights,
                    "sizes": {name: None for name in sorted({size for _, size, _ in figures.places} - {""})},
                    "priced_models": sorted(prices.models),
                }

            shown |= await self.desk.book.read(read)
            shown["problem"] = self.desk.prices.problem or None
        except (LedgerAway, BadPrices) as error:
            shown["problem"] = str(error)
        data = json.dumps(shown).replace("<", "\\u003c")
        token = self.xsrf_token
        head = (
            '<link rel="stylesheet" href="files/economics.css">'
            # In this order: figures and tables do not wait for the plots.
            '<script type="module" src="files/economics.js"></script>'
            f'<script src="files/{plotly_name()}" defer></script>'
        )
        body = resources.files("neuralinverse_hub.economics").joinpath("page", "body.html").read_text("utf-8")
        body = body.replace("[[data]]", data)
        body = body.replace("[[xsrf]]", token.decode() if isinstance(token, bytes) else str(token))
        self.finish(page(self.hub_auth.hub_prefix, "Economics", body, head))


@cache
def plotly_name() -> str:
    """Name of the plotting library's file, with its version: it may be kept for ever."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"plotly-{version('plotly')}.min.js"
    except PackageNotFoundError:
        return "plotly-missing.min.js"


@cache
def _plotly() -> bytes | None:
    """The library as the package ships it, compressed; None where it is not installed: then there are tables only."""
    try:
        file = resources.files("plotly").joinpath("package_data", "plotly.min.js")
        return gzip.compress(file.read_bytes(), 6)
    except (ModuleNotFoundError, FileNotFoundError):
        return None


class FileHandler(Handler):
    """The page's scripts and style: for everybody, because nothing of theirs is in them."""

    async def get(self, name: str) -> None:
        if name == plotly_name():
            await self._library()
            return
        file = resources.files("neuralinverse_hub.economics").joinpath("page", name)
        kind = "text/javascript" if name.endswith(".js") else "text/css"
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        if not file.is_file():
            raise web.HTTPError(404, "no such file")
        self.finish(file.read_bytes())

    async def _library(self) -> None:
        packed = await self.desk.book.beside(_plotly)
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        if packed is None:
            self.finish("")
            return
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            self.finish(packed)
        else:
            self.finish(gzip.decompress(packed))
