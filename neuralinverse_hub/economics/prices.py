"""The price list: what things cost and earn from which day on. Pure: JSON in, whole pico-dollars out.

A price is never rewritten: a new one is a new row with a later ``since``, so a report of last month says today what it said
then. What has no price on a day has none; it is reported as unpriced and never as zero.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from neuralinverse_hub.economics.errors import BadPrices
from neuralinverse_hub.economics.money import parse_usd, to_pico

__all__ = ["Dated", "ModelPrice", "Prices", "SizePrice", "default_prices", "parse", "read", "warnings"]

Value = TypeVar("Value")

_ABSURD: Final = Decimal(100_000)
"""USD, for any unit: more is a slip of the pen."""
_STALE_DAYS: Final = 180
GB: Final = 10**9


@dataclass(frozen=True, slots=True)
class Dated(Generic[Value]):
    """A price and the day, in UTC, from which it is valid."""

    since: date
    value: Value


@dataclass(frozen=True, slots=True)
class SizePrice:
    """Pico-dollars per hour of a workspace: what it earns, and what its machine costs (None: unknown)."""

    revenue: int
    machine: int | None


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Pico-dollars per token. ``cached`` is what the cached part of the input costs."""

    input: int
    output: int
    cached: int

    def of(self, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """What tokens cost; ``cached_tokens`` are part of the input."""
        fresh = input_tokens - cached_tokens
        return fresh * self.input + cached_tokens * self.cached + output_tokens * self.output


@dataclass(frozen=True, slots=True)
class Prices:
    """A whole price list. Sizes may have prices of their own in a region, under ``<size>@<region>``."""

    currency: str
    checked: date | None
    sizes: Mapping[str, tuple[Dated[SizePrice], ...]]
    models: Mapping[str, tuple[Dated[ModelPrice], ...]]
    storage: tuple[Dated[int], ...]
    """Pico-dollars per GB (10^9 bytes) and hour."""
    network: tuple[Dated[int], ...]
    """Pico-dollars per GB."""
    retired: Mapping[str, date]

    def size(self, name: str, region: str, on: date) -> SizePrice | None:
        """The price of a size that day; the region's own if it has one."""
        return valid(self.sizes.get(f"{name}@{region}", ()), on) or valid(self.sizes.get(name, ()), on)

    def model(self, name: str, on: date) -> ModelPrice | None:
        """The price of a model that day; None when there was none yet."""
        return valid(self.models.get(name, ()), on)


def valid(rows: tuple[Dated[Value], ...], on: date) -> Value | None:
    """The newest of ``rows``, which are in order, that is valid ``on`` that day."""
    return next((row.value for row in reversed(rows) if row.since <= on), None)


def default_prices() -> Prices:
    """The list that this version ships, with its sources beside each price."""
    text = resources.files("neuralinverse_hub.economics").joinpath("prices.json").read_text("utf-8")
    return parse(json.loads(text))


def read(path: Path | None) -> Prices:
    """The list in a file, or the shipped one. Raises `BadPrices`."""
    if path is None:
        return default_prices()
    try:
        return parse(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise BadPrices(f"the price list {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadPrices(f"the price list {path} is not JSON: {error}") from error
    except BadPrices as error:
        raise BadPrices(f"{path}: {error}") from error


def parse(written: Any) -> Prices:
    """A price list out of its JSON form. Raises `BadPrices`, which names the entry."""
    known = {"currency", "checked", "sizes", "models", "storage", "network"}
    if not isinstance(written, Mapping):
        raise BadPrices(f"a price list is an object with {', '.join(sorted(known))}; this is {str(written)[:60]!r}")
    if unknown := sorted(set(written) - known):
        raise BadPrices(
            f"{', '.join(map(repr, unknown))} is nothing a price list has; known: {', '.join(sorted(known))}"
        )
    currency = written.get("currency", "USD")
    if currency != "USD":
        raise BadPrices(f"currency is {currency!r}; the gateway reckons in USD, so write prices in USD")
    models = _mapping("models", written.get("models", {}))
    return Prices(
        currency=currency,
        checked=_day("checked", written["checked"]) if "checked" in written else None,
        sizes={
            name: _rows(f"sizes.{name}", rows, ("usd_per_hour", "machine_usd_per_hour"), _size)
            for name, rows in _mapping("sizes", written.get("sizes", {})).items()
        },
        models={
            name: _rows(f"models.{name}", _model(name, row)["prices"], ("input", "output", "cached"), _model_price)
            for name, row in models.items()
        },
        storage=_rows("storage", written.get("storage", []), ("usd_per_gb_hour",), _single("usd_per_gb_hour")),
        network=_rows("network", written.get("network", []), ("usd_per_gb",), _single("usd_per_gb")),
        retired={
            name: _day(f"models.{name}.retires", row["retires"]) for name, row in models.items() if "retires" in row
        },
    )


def warnings(prices: Prices, used_models: Collection[str], used_sizes: Collection[str], today: date) -> list[str]:
    """What an operator should look at: what is used and has no price, prices long unchecked, models that are retired."""
    found = [f"model {name} is used and has no price: its use is reported as unpriced" for name in sorted(used_models)
             if prices.model(name, today) is None]  # fmt: skip
    found += [
        f"size {name or '(none)'} is used and has no price: its hours are reported as unpriced"
        for name in sorted(used_sizes)
        if prices.size(name, "", today) is None
    ]
    for name, rows in sorted(prices.sizes.items()):
        if (price := valid(rows, today)) and price.machine is None:
            found.append(f"size {name} has no machine_usd_per_hour: margins leave the machine out")
    if prices.checked is None:
        found.append('nobody wrote down when the prices were last checked: add "checked": "YYYY-MM-DD"')
    elif today - prices.checked > timedelta(days=_STALE_DAYS):
        found.append(f"the prices were last checked on {prices.checked}, over {_STALE_DAYS} days ago")
    for name, day in sorted(prices.retired.items()):
        if day <= today:
            found.append(f"model {name} was retired on {day}: is its price still what its successor costs?")
    for name, volume in (("storage", prices.storage), ("network", prices.network)):
        if valid(volume, today) is None:
            found.append(f"{name} has no price: its cost is reported as unpriced")
    return found


def _mapping(place: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadPrices(f"{place} is {value!s:.60}; write an object with names and their prices")
    return dict(value)


def _model(name: str, written: Any) -> Mapping[str, Any]:
    row = _mapping(f"models.{name}", written)
    if unknown := sorted(set(row) - {"prices", "retires"}):
        raise BadPrices(f"models.{name} has {', '.join(map(repr, unknown))}; known: prices, retires")
    if "prices" not in row:
        raise BadPrices(f"models.{name} has no prices; write [] when it has none yet")
    return row


def _rows(
    place: str, rows: Any, names: tuple[str, ...], make: Callable[[str, Mapping[str, Any]], Value]
) -> tuple[Dated[Value], ...]:
    if not isinstance(rows, list):
        raise BadPrices(f"{place} is {str(rows)[:60]!r}; write a list of prices, each with a since")
    found: dict[date, Value] = {}
    for number, row in enumerate(rows):
        at = f"{place}[{number}]"
        if unknown := sorted(set(_mapping(at, row)) - {"since", "source", *names}):
            raise BadPrices(f"{at} has {', '.join(map(repr, unknown))}; known: since, source, {', '.join(names)}")
        since = _day(f"{at}.since", row.get("since"))
        if since in found:
            raise BadPrices(f"{place} has two prices since {since}; a price is changed by a row with a later since")
        found[since] = make(at, row)
    return tuple(Dated(since, found[since]) for since in sorted(found))


def _day(place: str, value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadPrices(f'{place} is {value!r}; write a day like "2026-01-31"') from None


def _amount(at: str, row: Mapping[str, Any], name: str) -> int:
    try:
        usd = parse_usd(row.get(name))
    except ValueError as error:
        raise BadPrices(f"{at}.{name}: {error}") from None
    if not 0 <= usd <= _ABSURD:
        raise BadPrices(f"{at}.{name} is {usd} USD; write 0 to {_ABSURD}")
    pico = to_pico(usd)
    if pico != usd * 10**12:
        raise BadPrices(f"{at}.{name} is {usd}; twelve decimals are the most that is kept")
    return pico


def _per_token(at: str, row: Mapping[str, Any], name: str) -> int:
    per_million = _amount(at, row, name)
    if per_million % 10**6:
        raise BadPrices(f"{at}.{name} is {row[name]}; per million tokens, six decimals are the most that is kept")
    return per_million // 10**6


def _size(at: str, row: Mapping[str, Any]) -> SizePrice:
    machine = _amount(at, row, "machine_usd_per_hour") if row.get("machine_usd_per_hour") is not None else None
    return SizePrice(_amount(at, row, "usd_per_hour"), machine)


def _model_price(at: str, row: Mapping[str, Any]) -> ModelPrice:
    input_ = _per_token(at, row, "input")
    cached = _per_token(at, row, "cached") if row.get("cached") is not None else input_
    return ModelPrice(input_, _per_token(at, row, "output"), cached)


def _single(name: str) -> Callable[[str, Mapping[str, Any]], int]:
    return lambda at, row: _amount(at, row, name)
