"""One span per answer, for operators who collect traces: OpenTelemetry's names for generative AI, and nothing of what was said.

Attributes: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. Who asked is in no span, as it is in no metric.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.errors import ConfigurationError, GatewayError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

__all__ = ["Trace", "Tracing", "passed_on"]

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORT_S: Final = 5.0
"""Seconds a collector may take for one batch; what it does not take is dropped."""
OPERATIONS: Final = {"chat/completions": "chat", "completions": "text_completion", "embeddings": "embeddings"}

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE: Final = re.compile(r"[\x20-\x7e]{1,512}")


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """What of a request's headers goes on to the upstream: its place in a trace, if it is one, and nothing else.

    W3C Trace Context: https://www.w3.org/TR/trace-context/.
    """
    parent = headers.get("traceparent")
    if not parent or not _TRACEPARENT.fullmatch(parent):
        return {}
    state = headers.get("tracestate")
    return (
        {"traceparent": parent, "tracestate": state}
        if state and _TRACESTATE.fullmatch(state)
        else {"traceparent": parent}
    )


class Tracing:
    """Sends spans to the collector that the ``OTEL_…`` variables name, off the way of every request."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("neuralinverse_hub.gateway")
        self._context = TraceContextTextMapPropagator()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Tracing | None:
        """Tracing to the endpoint in ``env``; None where there is none. Raises `ConfigurationError` without the packages for it."""
        named = next((name for name in ENDPOINTS if env.get(name)), None)
        if named is None or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise ConfigurationError(
                f"{named} asks for traces, and OpenTelemetry is not installed: pip install 'neuralinverse-hub[otel]'"
            ) from error
        name = env.get("OTEL_SERVICE_NAME") or "neuralinverse-gateway"
        provider = TracerProvider(resource=Resource.create({"service.name": name}))
        # The exporter reads its address, headers and certificates from the variables by itself.
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_S)))
        return cls(provider)

    def begin(self, headers: Mapping[str, str], api: str, model: str) -> Trace:
        """The span of a request for ``model`` at ``api`` (``chat/completions``), within its client's trace if it has one."""
        from opentelemetry.trace import SpanKind

        operation = OPERATIONS.get(api, api)
        span = self._tracer.start_span(
            f"{operation} {model}",
            context=self._context.extract(passed_on(headers)),
            kind=SpanKind.CLIENT,
            attributes={"gen_ai.operation.name": operation, "gen_ai.request.model": model},
        )
        return Trace(span, self._context)

    async def close(self) -> None:
        """Send what is left."""
        await asyncio.to_thread(self._provider.shutdown)


class Trace:
    """The span of one request. `end` it in any case."""

    def __init__(self, span: Span, context: Any) -> None:
        self._span = span
        self._context = context

    def headers(self) -> dict[str, str]:
        """What puts the upstream's own spans below this one."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._context.inject(carrier, context=set_span_in_context(self._span))
        return carrier

    def used(self, record: wire.UsageRecord) -> None:
        """What the answer was and used."""
        self._span.set_attributes(
            {
                "gen_ai.provider.name": record.upstream,
                "gen_ai.response.model": record.deployment,
                "gen_ai.usage.input_tokens": record.input_tokens,
                "gen_ai.usage.output_tokens": record.output_tokens,
                "neuralinverse.task": record.task,
                "neuralinverse.model": record.model,
                "neuralinverse.status": record.status,
                "neuralinverse.retries": record.retries,
            }
        )
        if record.first_token_s is not None:
            self._span.set_attribute("neuralinverse.first_token_s", record.first_token_s)

    def end(self, error: BaseException | None = None) -> None:
        """The request is over. The error's kind is noted and not its words, which may quote what was asked."""
        from opentelemetry.trace import Status, StatusCode

        if error is not None:
            kind = error.code or error.type if isinstance(error, GatewayError) else type(error).__name__
            self._span.set_attribute("error.type", kind)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
