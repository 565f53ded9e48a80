"""What an operator's Prometheus sees of the economics: USD by component, hours, and how records come in.

One registry per service. Persons are never labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neuralinverse_hub.economics.money import from_pico
from neuralinverse_hub.economics.report import Amounts
from neuralinverse_hub.economics.stints import HOUR

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_COMPONENTS: Final = ("revenue", "ai", "storage", "network", "machine")


class _Totals(Collector):
    """What was earned and spent since the ledger's first record; nothing until that is known."""

    def __init__(self) -> None:
        self.amounts: Amounts | None = None
        self.unpriced_tokens = 0

    def collect(self) -> Iterator[Metric]:
        if self.amounts is None:
            return
        for component in _COMPONENTS:
            title = "Earned" if component == "revenue" else f"Cost of {component}"
            family = CounterMetricFamily(f"neuralinverse_economics_{component}_usd", f"{title}, in USD.")
            # Prometheus knows floats only; the ledger's own sums stay exact.
            family.add_metric([], float(from_pico(getattr(self.amounts, component))))
            yield family
        margin = GaugeMetricFamily("neuralinverse_economics_margin_usd", "Earned less all cost, in USD.")
        margin.add_metric([], float(from_pico(self.amounts.margin)))
        yield margin
        hours = CounterMetricFamily("neuralinverse_economics_workspace_hours", "Hours that workspaces ran.")
        hours.add_metric([], float(Decimal(self.amounts.time) / HOUR))
        yield hours
        unpriced = CounterMetricFamily("neuralinverse_economics_unpriced_tokens", "Tokens of models without a price.")
        unpriced.add_metric([], self.unpriced_tokens)
        yield unpriced


class Metrics:
    """All metrics of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.totals = _Totals()
        self.registry.register(self.totals)
        self.records = Counter(
            "neuralinverse_economics_records", "Records that came.", ["kind", "outcome"], registry=self.registry
        )
        self.ready = Gauge("neuralinverse_economics_ledger_up", "1 while the ledger answers.", registry=self.registry)
        self.reconciled = Gauge(
            "neuralinverse_economics_reconciled_timestamp_seconds",
            "When the hub last said what runs, in Unix time.",
            registry=self.registry,
        )

        self.unusual = Gauge(
            "neuralinverse_economics_unusual_hours",
            "Person-hours of the last two days whose AI is far outside of what is usual.",
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
