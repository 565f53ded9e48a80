"""An Azure invoice beside the ledger: where what was billed drifts from what was reckoned. Pure.

Takes the cost export that Azure's portal and its APIs write as CSV, in any of its forms (pay-as-you-go, enterprise and
customer agreements): columns are known by their names, whatever their order and case.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from neuralinverse_hub.economics.errors import BadFile
from neuralinverse_hub.economics.money import parse_usd, to_pico

__all__ = ["Drift", "Line", "component", "drift", "read"]

_DATE: Final = ("date", "usagedate", "usagedatetime")
_USD: Final = ("costinusd", "paygcostinusd", "costinbillingcurrency", "pretaxcost", "cost")
"""In order: USD before the currency that is billed."""
_CURRENCY: Final = ("billingcurrency", "billingcurrencycode", "currency", "currencycode")
_CATEGORY: Final = ("metercategory", "servicename", "consumedservice", "servicefamily")
_METER: Final = ("metersubcategory", "metername", "product", "productname", "resourcetype")

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "ai": ("foundry", "openai", "cognitive", "ai services", "machine learning", "azure ai", "deepseek", "mistral"),
    "machine": ("virtual machine", "virtual machines licenses", "kubernetes", "container instances", "compute"),
    "storage": ("storage", "disk", "files", "backup"),
    "network": ("bandwidth", "network", "load balancer", "ip address", "nat gateway", "content delivery", "dns", "vpn"),
}
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the invoice."""

    day: date
    component: str
    pico: int


@dataclass(frozen=True, slots=True)
class Drift:
    """A component: what was billed, and what the ledger has, in pico-dollars."""

    component: str
    billed: int
    reckoned: int

    @property
    def difference(self) -> int:
        """Billed less reckoned."""
        return self.billed - self.reckoned

    @property
    def share(self) -> Decimal | None:
        """The difference as a share of what was reckoned; None when that is nothing."""
        return Decimal(self.difference) / self.reckoned if self.reckoned else None


def component(*words: str) -> str:
    """Which component of ours a line with these words is of; ``other`` when none."""
    text = " ".join(words).lower()
    return next((name for name, known in _WORDS.items() if any(word in text for word in known)), OTHER)


def read(lines: Iterable[str], name: str = "the invoice") -> Iterator[Line]:
    """The lines of a CSV. Raises `BadFile`, which names the line."""
    rows = csv.reader(lines, strict=True)
    try:
        head = next(rows, None)
        if head is None:
            raise BadFile(f"{name} is empty; export the costs as CSV once more")
        columns = {each.strip().lower().replace(" ", "").lstrip("\ufeff"): place for place, each in enumerate(head)}
        day_at, usd_at = _find(columns, _DATE, name, head), _find(columns, _USD, name, head)
        in_usd = head[usd_at].strip().lower().endswith("inusd")
        currency_at = next((columns[each] for each in _CURRENCY if each in columns), None)
        words_at = [columns[each] for each in (*_CATEGORY, *_METER) if each in columns]
        if not words_at:
            raise BadFile(f"{name} has no column that says what was billed; wanted one of {', '.join(_CATEGORY)}")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            at = f"{name}, line {rows.line_num}"
            if len(row) != len(head):
                raise BadFile(f"{at} has {len(row)} cells, and the first line {len(head)}: is the file cut off?")
            currency = row[currency_at].strip().upper() if currency_at is not None else "USD"
            if not in_usd and currency not in ("USD", ""):
                raise BadFile(f"{at} is in {currency}; the ledger is in USD: export with the column costInUsd")
            yield Line(_day(row[day_at], at), component(*(row[place] for place in words_at)), _pico(row[usd_at], at))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadFile(f"{name}, line {rows.line_num}, is no CSV: {error}") from error


def _find(columns: Mapping[str, int], names: tuple[str, ...], file: str, head: list[str]) -> int:
    for name in names:
        if name in columns:
            return columns[name]
    raise BadFile(f"{file} has none of the columns {', '.join(names)}; it has {', '.join(head)[:200]}")


def _day(text: str, at: str) -> date:
    for form in ("%Y-%m-%d", "%m/%d/%Y", "%Y%m%d", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            return datetime.strptime(text.strip(), form).date()
        except ValueError:
            continue
    raise BadFile(f"{at}: {text[:40]!r} is no day; write 2026-10-31 or 10/31/2026")


def _pico(text: str, at: str) -> int:
    try:
        # Refunds are below zero.
        usd = parse_usd(text.strip() or "0")
    except ValueError as error:
        raise BadFile(f"{at}: {error}") from None
    if abs(usd) > 10**9:
        raise BadFile(f"{at}: {usd} USD; a line of more than a billion is a mistake")
    return to_pico(usd)


def drift(billed: Iterable[Line], reckoned: Mapping[str, int]) -> list[Drift]:
    """Component by component, ours first, then what the ledger knows nothing of."""
    sums: dict[str, int] = dict.fromkeys((*_WORDS, OTHER), 0)
    for line in billed:
        sums[line.component] += line.pico
    return [Drift(name, pico, reckoned.get(name, 0)) for name, pico in sums.items()]
