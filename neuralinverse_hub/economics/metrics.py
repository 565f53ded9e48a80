"""What an operator's Prometheus sees of the economics: USD by component, hours, and how records come in.

One registry per service. Persons are never labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neuralinverse_hub.economics.money import from_pico
from neuralinverse_hub.economics.report import Amounts
from neuralinverse_hub.economics.stints import HOUR

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_COMPONENTS: Final = ("revenue", "ai", "storage", "network", "machine")


class _Totals(Collector):
    """What was earned and spent since the ledger's first record; nothing until that is known.

    They fall when a figure is corrected: an end of a workspace that is reported late, a new price list. So they are gauges,
    whatever their names: of a counter that falls Prometheus thinks that it began again, and adds all of it once more.
    """

    def __init__(self) -> None:
        self.amounts: Amounts | None = None
        self.unpriced_tokens = 0

    def collect(self) -> Iterator[Metric]:
        if self.amounts is None:
            return
        # Prometheus knows floats only; the ledger's own sums stay exact.
        for component in _COMPONENTS:
            title = "Earned" if component == "revenue" else f"Cost of {component}"
            yield _gauge(f"{component}_usd_total", f"{title}, in USD.", from_pico(getattr(self.amounts, component)))
        yield _gauge("margin_usd", "Earned less all cost, in USD.", from_pico(self.amounts.margin))
        yield _gauge("workspace_hours_total", "Hours that workspaces ran.", Decimal(self.amounts.time) / HOUR)
        yield _gauge("unpriced_tokens_total", "Tokens of models without a price.", self.unpriced_tokens)


def _gauge(name: str, title: str, value: Decimal | int) -> Metric:
    family = GaugeMetricFamily(f"neuralinverse_economics_{name}", f"{title} Since the first record.")
    family.add_metric([], float(value))
    return family


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
