"""What an operator's monitoring sees. Names follow OpenTelemetry's ``gen_ai`` conventions, as Prometheus spells them.

One registry per gateway, so that several can live in one process; persons are never labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.gate import Gate

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines that one kind of answer counts on."""

    requests: Counter
    duration: Histogram
    first: Histogram
    input: Histogram
    output: Histogram
    usd: Counter
    unpriced: Counter


class Metrics:
    """Counters and histograms of one gateway. ``gates`` gives its gates whenever someone looks."""

    def __init__(self, gates: Callable[[], Mapping[str, Gate]]) -> None:
        registry = self.registry = CollectorRegistry()
        model = ("gen_ai_request_model", "upstream")
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens per request",
            (*model, "gen_ai_token_type"),
            registry=registry,
            buckets=_TOKENS,
        )
        self._duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Seconds from a request to its end",
            model,
            registry=registry,
            buckets=_SECONDS,
        )
        self._first = Histogram(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Seconds from a request to the first of its answer",
            model,
            registry=registry,
            buckets=_SECONDS,
        )
        self._requests = Counter(
            "neuralinverse_gateway_requests",
            "Answered requests",
            ("task", "model", "upstream", "status"),
            registry=registry,
        )
        self._errors = Counter(
            "neuralinverse_gateway_errors", "Requests that got an error", ("code",), registry=registry
        )
        self._attempts = Counter(
            "neuralinverse_gateway_attempts",
            "What deployments did with what they were sent",
            ("deployment", "outcome"),
            registry=registry,
        )
        self._usd = Counter("neuralinverse_gateway_usd", "Cost of priced answers in USD", model, registry=registry)
        self._unpriced = Counter(
            "neuralinverse_gateway_unpriced", "Answers of deployments without a price", model, registry=registry
        )
        self.under_way = Gauge("neuralinverse_gateway_under_way", "Requests being answered", registry=registry)
        self.ledger_waiting = Gauge(
            "neuralinverse_gateway_usage_waiting", "Usage records the ledger does not have yet", registry=registry
        )
        self.ledger_lost = Counter(
            "neuralinverse_gateway_usage_lost", "Usage records given up because the spool was full", registry=registry
        )
        registry.register(_Gates(gates))
        self._lines: dict[tuple[str, str, str, str], _Lines] = {}
        self._outcomes: dict[tuple[str, str], Counter] = {}

    def answered(self, record: wire.UsageRecord) -> None:
        """Take note of an answered request."""
        kind = (record.task, record.model, record.upstream, record.status)
        lines = self._lines.get(kind)
        if lines is None:
            # Looking a labelled line up costs more than counting on it.
            lines = self._lines[kind] = self._lines_of(record)
        lines.requests.inc()
        lines.duration.observe(record.duration_s)
        if record.first_token_s is not None:
            lines.first.observe(record.first_token_s)
        lines.input.observe(record.input_tokens)
        lines.output.observe(record.output_tokens)
        if record.usd is None:
            lines.unpriced.inc()
        else:
            lines.usd.inc(float(record.usd))

    def _lines_of(self, record: wire.UsageRecord) -> _Lines:
        labels = (record.model, record.upstream)
        return _Lines(
            requests=self._requests.labels(record.task, record.model, record.upstream, record.status),
            duration=self._duration.labels(*labels),
            first=self._first.labels(*labels),
            input=self._tokens.labels(*labels, "input"),
            output=self._tokens.labels(*labels, "output"),
            usd=self._usd.labels(*labels),
            unpriced=self._unpriced.labels(*labels),
        )

    def failed(self, code: str) -> None:
        """Take note of a request that got an error."""
        self._errors.labels(code[:60]).inc()

    def tried(self, deployment: str, outcome: str) -> None:
        """Take note of one attempt at a deployment."""
        line = self._outcomes.get((deployment, outcome))
        if line is None:
            line = self._outcomes[deployment, outcome] = self._attempts.labels(deployment, outcome)
        line.inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Gates(Collector):
    """The gates' state at the moment someone looks."""

    def __init__(self, gates: Callable[[], Mapping[str, Gate]]) -> None:
        self._gates = gates

    def collect(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "neuralinverse_gateway_waiting", "Requests that wait for a turn", labels=("deployment",)
        )
        people = GaugeMetricFamily(
            "neuralinverse_gateway_people_waiting", "People who wait for a turn", labels=("deployment",)
        )
        flight = GaugeMetricFamily("neuralinverse_gateway_in_flight", "Requests sent", labels=("deployment",))
        limit = GaugeMetricFamily(
            "neuralinverse_gateway_limit", "Requests sent at once at most", labels=("deployment",)
        )
        healthy = GaugeMetricFamily("neuralinverse_gateway_healthy", "1: asked; 0: not", labels=("deployment",))
        for name, gate in self._gates().items():
            waiting.add_metric((name,), len(gate.queue))
            people.add_metric((name,), gate.queue.people())
            flight.add_metric((name,), gate.in_flight)
            limit.add_metric((name,), gate.limit.limit)
            healthy.add_metric((name,), float(gate.breaker.state(gate.clock()) == "closed"))
        yield from (waiting, people, flight, limit, healthy)
