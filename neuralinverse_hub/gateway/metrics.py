"""What an operator's monitoring sees. Names follow OpenTelemetry's ``gen_ai`` conventions, as Prometheus spells them.

One registry per gateway, so that several can live in one process; persons are never labels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.gate import Gate

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_MODEL: Final = ("gen_ai_request_model", "upstream")
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)


class _Histogram:
    """Observations in buckets, as plain numbers: a library's locks and lookups cost more than all else about a record."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = list(zip(names, map(float, accumulate(self._counts)), strict=True))
        family.add_metric(labels, buckets, self._sum)


class _Line:
    """What is counted for one model on one upstream."""

    __slots__ = ("duration", "first", "input", "output", "unpriced", "usd")

    def __init__(self) -> None:
        self.duration = _Histogram(_SECONDS)
        self.first = _Histogram(_SECONDS)
        self.input = _Histogram(_TOKENS)
        self.output = _Histogram(_TOKENS)
        self.usd = Decimal(0)
        self.unpriced = 0


class Metrics:
    """Counters and histograms of one gateway. ``gates`` gives its gates whenever someone looks."""

    def __init__(self, gates: Callable[[], Mapping[str, Gate]]) -> None:
        registry = self.registry = CollectorRegistry()
        self._errors = Counter(
            "neuralinverse_gateway_errors", "Requests that got an error", ("code",), registry=registry
        )
        self.under_way = Gauge("neuralinverse_gateway_under_way", "Requests being answered", registry=registry)
        self.ledger_waiting = Gauge(
            "neuralinverse_gateway_usage_waiting", "Usage records the ledger does not have yet", registry=registry
        )
        self.ledger_lost = Counter(
            "neuralinverse_gateway_usage_lost", "Usage records given up because the spool was full", registry=registry
        )
        self._requests: dict[tuple[str, str, str, str], int] = {}
        self._lines: dict[tuple[str, str], _Line] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        registry.register(_Answers(self._requests, self._lines, self._attempts))
        registry.register(_Gates(gates))

    def answered(self, record: wire.UsageRecord) -> None:
        """Take note of an answered request."""
        kind = (record.task, record.model, record.upstream, record.status)
        self._requests[kind] = self._requests.get(kind, 0) + 1
        line = self._lines.get(kind[1:3])
        if line is None:
            line = self._lines[kind[1:3]] = _Line()
        line.duration.observe(record.duration_s)
        if record.first_token_s is not None:
            line.first.observe(record.first_token_s)
        line.input.observe(record.input_tokens)
        line.output.observe(record.output_tokens)
        if record.usd is None:
            line.unpriced += 1
        else:
            line.usd += record.usd

    def failed(self, code: str) -> None:
        """Take note of a request that got an error."""
        self._errors.labels(code[:60]).inc()

    def tried(self, deployment: str, outcome: str) -> None:
        """Take note of one attempt at a deployment."""
        attempt = (deployment, outcome)
        self._attempts[attempt] = self._attempts.get(attempt, 0) + 1

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


class _Answers(Collector):
    """What was counted, when someone looks."""

    def __init__(
        self,
        requests: Mapping[tuple[str, str, str, str], int],
        lines: Mapping[tuple[str, str], _Line],
        attempts: Mapping[tuple[str, str], int],
    ) -> None:
        self._requests = requests
        self._lines = lines
        self._attempts = attempts

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "neuralinverse_gateway_requests", "Answered requests", labels=("task", "model", "upstream", "status")
        )
        for kind, count in self._requests.items():
            requests.add_metric(kind, count)
        attempts = CounterMetricFamily(
            "neuralinverse_gateway_attempts",
            "What deployments did with what they were sent",
            labels=("deployment", "outcome"),
        )
        for attempt, count in self._attempts.items():
            attempts.add_metric(attempt, count)
        usd = CounterMetricFamily("neuralinverse_gateway_usd", "Cost of priced answers in USD", labels=_MODEL)
        unpriced = CounterMetricFamily(
            "neuralinverse_gateway_unpriced", "Answers of deployments without a price", labels=_MODEL
        )
        duration = HistogramMetricFamily(
            "gen_ai_client_operation_duration_seconds", "Seconds from a request to its end", labels=_MODEL
        )
        first = HistogramMetricFamily(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "Seconds from a request to the first of its answer",
            labels=_MODEL,
        )
        tokens = HistogramMetricFamily(
            "gen_ai_client_token_usage", "Tokens per request", labels=(*_MODEL, "gen_ai_token_type")
        )
        for labels, line in self._lines.items():
            usd.add_metric(labels, float(line.usd))
            unpriced.add_metric(labels, line.unpriced)
            line.duration.add_to(duration, labels)
            line.first.add_to(first, labels)
            line.input.add_to(tokens, (*labels, "input"))
            line.output.add_to(tokens, (*labels, "output"))
        yield from (requests, attempts, usd, unpriced, duration, first, tokens)


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
