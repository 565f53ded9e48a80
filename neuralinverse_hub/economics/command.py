"""``neuralinverse-hub economics report | whatif | invoice | export``: the operator's figures in a terminal or a script."""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from neuralinverse_hub.economics.scenarios import KNOBS
from neuralinverse_hub.wire import ENV_LEDGER

if TYPE_CHECKING:
    from neuralinverse_hub.economics.ledger import Ledger
    from neuralinverse_hub.economics.report import Amounts, Report

__all__ = ["arguments", "in_json", "run"]

_COMPONENTS: Final = ("revenue", "ai", "storage", "network", "services", "machine", "cost", "margin")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``neuralinverse-hub economics``."""
    parser.add_argument(
        "--ledger", metavar="URL", default=os.environ.get(ENV_LEDGER), help=f"the database (default: {ENV_LEDGER})"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    report = actions.add_parser("report", help="what workspace-hours earned and cost in a month")
    report.add_argument("--month", type=_month, metavar="YYYY-MM", help="which month, in UTC (default: this one)")
    report.add_argument("--by", choices=("day", "hour", "size", "region", "person"), default="day")
    report.add_argument("--prices", type=Path, metavar="FILE", help="the price list (default: the shipped one)")
    report.add_argument("--json", action="store_true", help="print one JSON object; money is text in USD, exact")
    whatif = actions.add_parser("whatif", help="what a month would have earned under other prices and habits")
    whatif.add_argument(
        "--month", type=_month, metavar="YYYY-MM", help="the month measured, in UTC (default: this one)"
    )
    whatif.add_argument("--prices", type=Path, metavar="FILE", help="the price list (default: the shipped one)")
    whatif.add_argument("--json", action="store_true", help="print one JSON object; money is text in USD, exact")
    for name, words in KNOBS.items():
        whatif.add_argument(f"--{name}", action="append", default=[], metavar=name.upper(), help=words)
    invoice = actions.add_parser("invoice", help="how an Azure invoice drifts from the ledger")
    invoice.add_argument("file", type=Path, help="Azure's cost export, a .csv")
    invoice.add_argument("--month", type=_month, metavar="YYYY-MM", help="which month, in UTC (default: this one)")
    invoice.add_argument("--prices", type=Path, metavar="FILE", help="the price list (default: the shipped one)")
    invoice.add_argument("--json", action="store_true", help="print one JSON object; money is text in USD, exact")
    export = actions.add_parser("export", help="write a table of the ledger to a file")
    export.add_argument("table", choices=("usage", "usage-hours", "workspaces", "volumes"))
    export.add_argument("file", type=Path, help="a .csv or .parquet file")
    when = export.add_mutually_exclusive_group()
    when.add_argument("--month", type=_month, metavar="YYYY-MM", help="what happened in it, in UTC (default: ever)")
    when.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="the same of one day")
    export.add_argument("--person", help="what one person did, as the ledger has the name (default: everybody)")
    export.add_argument("--json", action="store_true", help="print one JSON object: the file and how many rows it has")


def _month(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write for example 2026-10") from None


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write for example 2026-10-31") from None


def run(options: argparse.Namespace) -> int:
    """0 when done. Raises `EconomicsError`."""
    from neuralinverse_hub.economics import days, export, prices, report
    from neuralinverse_hub.economics.errors import LedgerAway
    from neuralinverse_hub.economics.ledger import Ledger, micros

    if not options.ledger:
        raise LedgerAway(f"which ledger? Give --ledger URL before the action, or set {ENV_LEDGER}")
    ledger = Ledger(options.ledger)
    try:
        if options.action == "export":
            period = None
            if options.day or options.month:
                begin, end = (options.day, options.day + timedelta(days=1)) if options.day else _period(options.month)
                period = micros(begin), micros(end)
            count = export.write(ledger, options.table, options.file, period, options.person)
            said = json.dumps({"file": str(options.file), "rows": count})
            print(said if options.json else f"{count} rows in {options.file}")
            return 0
        if options.action == "whatif":
            return _what_if(ledger, options)
        if options.action == "invoice":
            return _invoice(ledger, options)
        begin, end = _period(options.month)
        found = days.figures(ledger, prices.read(options.prices), micros(begin), micros(end), time.time_ns() // 1000)
        made = report.of(found, micros(begin), micros(end))
    finally:
        ledger.close()
    if options.json:
        print(json.dumps(in_json(made, options.by)))
    else:
        _show(made, options.by, f"{begin:%B %Y}")
    return 0


def _period(month: datetime | None) -> tuple[datetime, datetime]:
    begin = month or datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)


def _what_if(ledger: Ledger, options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from neuralinverse_hub.economics import days, prices, scenarios, whatif
    from neuralinverse_hub.economics.ledger import micros
    from neuralinverse_hub.economics.money import show_usd

    begin, end = _period(options.month)
    list_ = prices.read(options.prices)
    scenario = scenarios.scenario_of({name: getattr(options, name.replace("-", "_")) for name in KNOBS})
    base = whatif.base_of(days.figures(ledger, list_, micros(begin), micros(end), time.time_ns() // 1000))
    found = whatif.outcome(base, scenario, list_, (end - timedelta(days=1)).date())
    if options.json:
        print(json.dumps(scenarios.outcome_json(base, found)))
        return 0
    table = Table(title=f"{begin:%B %Y}, in USD")
    for name in ("", "measured", "what if"):
        table.add_column(name, justify="left" if not name else "right")
    for name in ("revenue", "ai", "storage", "network", "machine", "cost", "margin"):
        table.add_row(name, *(show_usd(getattr(each, name)) for each in (base.total, found.amounts)))
    console = Console()
    console.print(table)
    if found.low is not None and found.high is not None:
        console.print(
            f"Margin in 9 of 10 months drawn: {_percent(found.low)} to {_percent(found.high)} of the revenue."
        )
    console.print(scenarios.sentence(found))
    return 0


def _invoice(ledger: Ledger, options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from neuralinverse_hub.economics import days, invoice, prices
    from neuralinverse_hub.economics.errors import BadFile
    from neuralinverse_hub.economics.ledger import micros
    from neuralinverse_hub.economics.money import from_pico, show_usd

    begin, end = _period(options.month)
    try:
        with options.file.open(encoding="utf-8", newline="") as opened:
            lines = [each for each in invoice.read(opened, str(options.file)) if begin.date() <= each.day < end.date()]
    except OSError as error:
        raise BadFile(f"{options.file} cannot be read: {error.strerror}") from error
    if not lines:
        raise BadFile(f"{options.file} has no line of {begin:%Y-%m}; say which month with --month")
    total = days.figures(ledger, prices.read(options.prices), micros(begin), micros(end), time.time_ns() // 1000).total
    known = {name: getattr(total, name) for name in ("ai", "machine", "storage", "network")}
    found = invoice.drift(lines, known)
    if options.json:
        rows = [
            {
                "component": each.component,
                "billed_usd": f"{from_pico(each.billed):f}",
                "reckoned_usd": f"{from_pico(each.reckoned):f}",
                "difference_usd": f"{from_pico(each.difference):f}",
                "share": None if each.share is None else f"{each.share:.6f}",
            }
            for each in found
        ]
        print(json.dumps({"month": f"{begin:%Y-%m}", "components": rows}))
        return 0
    table = Table(title=f"{begin:%B %Y}, in USD")
    for name in ("component", "billed", "in the ledger", "difference", "drift"):
        table.add_column(name, justify="left" if name == "component" else "right")
    for each in found:
        money = [show_usd(value) for value in (each.billed, each.reckoned, each.difference)]
        table.add_row(each.component, *money, "" if each.share is None else _percent(each.share))
    Console().print(table)
    return 0


def in_json(report: Report, by: Any) -> dict[str, Any]:
    """The report with money as text in USD, exactly, and shares as text; null is unknown, never zero."""
    from neuralinverse_hub.economics.ledger import moment
    from neuralinverse_hub.economics.money import from_pico

    def usd(pico: int) -> str:
        return f"{from_pico(pico):f}"

    def row(amounts: Amounts) -> dict[str, str | None]:
        share = amounts.share(amounts.ai)
        return {
            "hours": f"{amounts.hours:f}",
            **{f"{name}_usd": usd(getattr(amounts, name)) for name in _COMPONENTS},
            "ai_share": None if share is None else f"{share:.6f}",
        }

    spread, even = report.spread, report.break_even
    return {
        "begin": moment(report.begin).isoformat(),
        "end": moment(report.end).isoformat(),
        "total": row(report.total),
        "by": {"kind": by, "rows": {name: row(amounts) for name, amounts in report.by(by).items()}},
        "models": [dict(zip(("model", "requests", "input", "output"), each, strict=True)) for each in report.models],
        "ai_per_person_hour": {
            "count": spread.count,
            **{f"{name}_usd": usd(getattr(spread, name)) for name in ("p50", "p90", "p99", "max")},
            "top_percent_share": None if spread.top_percent is None else f"{spread.top_percent:.6f}",
        },
        "break_even": even
        and {
            "usd_per_hour": usd(even.pico_per_hour),
            "tokens_per_hour": even.tokens_per_hour,
            "tokens_per_hour_of_one_model": dict(even.by_model),
        },
        "unpriced": report.unpriced.words(),
    }


def _show(report: Report, by: Any, title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from neuralinverse_hub.economics.money import show_usd

    console = Console()
    if not report.figures.places:
        console.print(f"{title}: the ledger has no records.")
    table = Table(title=f"{title}, in USD, by {by}")
    table.add_column(by)
    titles = ("revenue", "AI", "storage", "network", "AI + storage + network", "machine", "all cost", "margin")
    for name in ("hours", *titles, "AI share"):
        table.add_column(name, justify="right")

    def cells(amounts: Amounts) -> list[str]:
        share = amounts.share(amounts.ai)
        money = [show_usd(getattr(amounts, name)) for name in _COMPONENTS]
        return [f"{amounts.hours:,.2f}", *money, "" if share is None else _percent(share)]

    for name, amounts in report.by(by).items():
        table.add_row(escape(name) or "(none)", *cells(amounts))
    table.add_section()
    table.add_row("total", *cells(report.total))
    console.print(table)
    spread = report.spread
    if spread.top_percent is not None:
        figures = ", ".join(f"{name} {show_usd(getattr(spread, name), 4)}" for name in ("p50", "p90", "p99", "max"))
        console.print(
            f"AI per person-hour, USD: {figures}; the most expensive 1 % have {_percent(spread.top_percent)} of it."
        )
    if (even := report.break_even) is not None:
        tokens = "" if even.tokens_per_hour is None else f", {even.tokens_per_hour:,} tokens of this mix of models"
        console.print(f"An hour breaks even at {show_usd(even.pico_per_hour, 4)} USD of AI{tokens}.")
        if len(even.by_model) > 1:
            alone = ", ".join(f"{count:,} of {escape(model)}" for model, count in even.by_model.items())
            console.print(f"In tokens of one model alone: {alone}.")
    for words in report.unpriced.words():
        console.print(f"[bold]unpriced[/bold], in no figure above: {escape(words)}")


def _percent(share: Decimal) -> str:
    return f"{share * 100:.1f} %"
