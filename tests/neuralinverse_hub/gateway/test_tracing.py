"""A collector gets one span per answer, within the client's trace and above the upstream's, and never a word of what was said."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.gateway.tracing import Tracing, passed_on
from tests.neuralinverse_hub.gateway.azure import Azure, Fault
from tests.neuralinverse_hub.gateway.conftest import Hub, azure_env, prompt, serving, until

TRACE, PARENT = "a" * 32, "b" * 16
INCOMING = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}


class Collector:
    """Takes spans as OTLP over HTTP."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.spans: list[Any] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        self.raw.append(body)
        asked = ExportTraceServiceRequest.FromString(body)
        self.spans += [
            span for resource in asked.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]
        return web.Response(content_type="application/x-protobuf")


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@contextlib.asynccontextmanager
async def collecting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Collector, dict[str, str]]]:
    collector = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", collector.take)
    async with TestServer(application) as server:
        named = {"OTEL_EXPORTER_OTLP_ENDPOINT": str(server.make_url("")).rstrip("/"), "OTEL_BSP_SCHEDULE_DELAY": "100"}
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        yield collector, named


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_a_span(hub: Hub, azure: Azure, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    async with collecting(monkeypatch) as (collector, named):
        async with serving(hub, {**azure_env(azure), **named}) as gateway:
            asked = prompt("the secret of the cellar", stream=stream)
            async with gateway.post(asked, headers=INCOMING) as response:
                text = await response.text()
            await until(lambda: len(collector.spans) == 1)
    (span,) = collector.spans
    record = gateway.records[0]
    assert (
        span.name == f"chat {asked['model']}" and span.trace_id.hex() == TRACE and span.parent_span_id.hex() == PARENT
    )
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": asked["model"],
        "gen_ai.provider.name": record.upstream,
        "gen_ai.response.model": record.deployment,
        "gen_ai.usage.input_tokens": record.input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        "neuralinverse.task": record.task,
        "neuralinverse.model": record.model,
        "neuralinverse.status": "complete",
        "neuralinverse.retries": 0,
        "neuralinverse.first_token_s": record.first_token_s,
    }
    sent = {name.lower(): value for name, value in azure.seen[0].headers.items()}
    assert sent["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01" and sent["tracestate"] == "vendor=1"
    told = b"".join(collector.raw)
    assert b"cellar" not in told and b"ada" not in told and text


async def test_a_request_without_a_trace_begins_one_and_an_error_is_its_kind_only(
    hub: Hub, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.faults = [Fault("content_filter")]
    async with collecting(monkeypatch) as (collector, named):
        async with serving(hub, {**azure_env(azure), **named}) as gateway:
            async with gateway.post(prompt("the secret of the cellar")) as response:
                assert response.status == 400
            await until(lambda: len(collector.spans) == 1)
    (span,) = collector.spans
    assert not span.parent_span_id and span.status.code == span.status.STATUS_CODE_ERROR
    assert attributes(span)["error.type"] == "content_filter"
    assert b"cellar" not in b"".join(collector.raw)


async def test_who_leaves_ends_the_span(hub: Hub, azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    azure.faults = [Fault("hang", times=9)]
    async with collecting(monkeypatch) as (collector, named):
        async with serving(hub, {**azure_env(azure), **named}) as gateway:
            asking = asyncio.ensure_future(gateway.post(prompt()).__aenter__())
            await until(lambda: len(azure.seen) == 1)
            asking.cancel()
            await until(lambda: len(collector.spans) == 1)
    assert attributes(collector.spans[0])["neuralinverse.status"] == "partial"


async def test_a_collector_that_is_away_costs_no_answer(
    hub: Hub, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    async with serving(hub, {**azure_env(azure), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as gateway:
        async with gateway.post(prompt()) as response:
            assert response.status == 200


@pytest.mark.parametrize("env", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}])
def test_nothing_is_traced_that_nobody_collects(env: dict[str, str]) -> None:
    assert Tracing.from_env(env) is None


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"neuralinverse-hub\[otel\]"):
        Tracing.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"})


@pytest.mark.parametrize(
    ("headers", "passed"),
    [
        (INCOMING, INCOMING),
        ({"traceparent": INCOMING["traceparent"]}, {"traceparent": INCOMING["traceparent"]}),
        ({"tracestate": "vendor=1"}, {}),
        ({**INCOMING, "traceparent": "nonsense"}, {}),
        ({**INCOMING, "tracestate": "x" * 513}, {"traceparent": INCOMING["traceparent"]}),
        ({**INCOMING, "tracestate": "a\tb"}, {"traceparent": INCOMING["traceparent"]}),
    ],
)
def test_only_a_trace_goes_on_to_the_upstream(headers: dict[str, str], passed: dict[str, str]) -> None:
    assert passed_on(headers) == passed
