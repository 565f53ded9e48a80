"""chat/completions over real sockets: routing, streaming, metering, fallback and every kind of bad input."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.gateway import connection, handlers, listening
from tests.neuralinverse_hub.gateway.azure import Azure, Fault
from tests.neuralinverse_hub.gateway.conftest import KEY, Hub, Running, azure_env, prompt, serving, until


async def test_the_official_sdk_gets_an_answer_with_the_real_name_of_the_model(gateway: Running) -> None:
    async with gateway.sdk() as sdk:
        answer = await sdk.chat.completions.create(model="general", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content == "Hello from the model."
    assert answer.model == "Mistral-Large-3"
    assert answer.usage is not None and answer.usage.completion_tokens == 5


async def test_the_official_sdk_streams_word_by_word(gateway: Running) -> None:
    async with gateway.sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="coding", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert words == ["Hello", " from", " the", " model", "."]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {"Llama-4-Maverick-17B-128E-Instruct-FP8"}


@pytest.mark.parametrize(
    ("task", "deployment"),
    [("reasoning", "my-r1"), ("coding", "my-llama"), ("general", "Mistral-Large-3"), ("llama-4", "my-llama")],
)
async def test_each_task_goes_to_its_model(gateway: Running, azure: Azure, task: str, deployment: str) -> None:
    async with gateway.post({**prompt(), "model": task}) as response:
        assert response.status == 200, await response.text()
        assert response.headers[wire.HEADER_REASON] == "asked"
        assert response.headers[wire.HEADER_UPSTREAM] == f"azure/{deployment}"
    assert [seen.deployment for seen in azure.seen] == [deployment]


async def test_a_retired_model_is_served_by_its_successor_and_the_answer_and_the_log_say_so(
    hub: Hub, azure: Azure, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(hub, {**azure_env(azure), "AZURE_AI_DEPLOYMENTS": ""}) as gateway:
        async with gateway.post({**prompt(), "model": "deepseek-r1"}) as response:
            assert (await response.json())["model"] == "DeepSeek-V4-Pro"
            assert response.headers[wire.HEADER_MODEL] == "deepseek-v4-pro"
            notice = response.headers[handlers.NOTICE]
            assert notice == "deepseek-r1 retired on 2026-08-13; its successor is deepseek-v4-pro"
            assert f"{response.headers['x-request-id']}: {notice}" in caplog.text


async def test_auto_decides_by_the_prompt_and_says_why(gateway: Running, azure: Azure) -> None:
    text = "Write a Python function validate_email(email) and unit tests"
    async with gateway.post({**prompt(text), "model": "auto"}) as response:
        assert response.headers[wire.HEADER_TASK] == "coding"
        assert response.headers[wire.HEADER_REASON].startswith("classifier")
        assert response.headers[wire.HEADER_MODEL] == "llama-4"
    assert azure.seen[0].deployment == "my-llama"


async def test_usage_is_metered_and_hidden_from_a_client_that_did_not_ask(gateway: Running, azure: Azure) -> None:
    async with gateway.post(prompt("three word prompt", stream=True)) as response:
        text = await response.text()
    assert azure.seen[0].body["stream_options"] == {"include_usage": True}
    assert "usage" not in text
    assert text.endswith("data: [DONE]\n\n") and text.count("[DONE]") == 1
    record = gateway.records[0]
    assert (record.person, record.workspace, record.status) == ("ada", "default", "complete")
    assert (record.input_tokens, record.output_tokens) == (3, 5)
    assert record.usd is not None and record.usd == Decimal("0.000009")


@pytest.mark.parametrize(
    ("usage", "counts", "usd"),
    [
        pytest.param(
            {
                "prompt_tokens": 1000,
                "completion_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 800},
                "completion_tokens_details": {"reasoning_tokens": 60},
            },
            (1000, 800, 100, 60),
            "0.00065",
            id="cached and reasoning tokens",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 99},
                "completion_tokens_details": {"reasoning_tokens": -1},
            },
            (10, 10, 2, 0),
            "0.000008",
            id="parts larger than their whole",
        ),
        pytest.param({"prompt_tokens": "3", "completion_tokens": None}, (5, 0, 2, 0), "0.0000055", id="no numbers"),
    ],
)
async def test_what_an_upstream_counted_is_what_is_recorded(
    gateway: Running, azure: Azure, usage: dict[str, Any], counts: tuple[int, ...], usd: str
) -> None:
    events = [{"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}]
    events += [{"choices": [], "usage": usage}]
    azure.raw = lambda name: [*(b"data: %b\n\n" % json.dumps(each).encode() for each in events), b"data: [DONE]\n\n"]
    async with gateway.post(prompt(stream=True)) as response:
        assert (await response.text()).endswith("data: [DONE]\n\n")
    record = gateway.records[0]
    recorded = (record.input_tokens, record.cached_tokens, record.output_tokens, record.reasoning_tokens)
    assert recorded == counts
    assert record.usd == Decimal(usd)


async def test_usage_reaches_a_client_that_asked(gateway: Running) -> None:
    async with gateway.post(prompt(stream=True, stream_options={"include_usage": True})) as response:
        events = [json.loads(line[6:]) for line in (await response.text()).split("\n\n")[:-2]]
    assert events[-1]["usage"]["completion_tokens"] == 5 and events[-1]["choices"] == []


async def test_a_client_that_leaves_takes_the_upstream_request_with_it_and_is_still_metered(
    gateway: Running, azure: Azure
) -> None:
    azure.pieces = ["word "] * 2000
    azure.pause_s = 0.01
    response = await gateway.post(prompt(stream=True))
    await response.content.readany()
    response.close()
    await until(lambda: azure.seen[0].aborted)
    record = await until(lambda: gateway.records and gateway.records[0])
    assert record.status == "partial"
    assert 0 < record.output_tokens < 2000


async def test_an_upstream_is_stopped_within_two_pieces_of_its_clients_leaving(gateway: Running, azure: Azure) -> None:
    written = 0

    def pieces() -> Iterator[bytes]:
        nonlocal written
        for _ in range(1000):
            written += 1
            yield b'data: {"choices": [{"index": 0, "delta": {"content": "word"}}]}\n\n'

    azure.raw = lambda name: pieces()  # type: ignore[assignment, return-value]  # one after the other, as they are sent
    azure.pause_s = 0.1
    response = await gateway.post(prompt(stream=True))
    await response.content.readany()
    seen = written
    response.close()
    await until(lambda: azure.seen[0].aborted)
    assert written - seen <= 2


async def test_a_client_that_leaves_before_the_answer_aborts_too(gateway: Running, azure: Azure) -> None:
    azure.pause_s = 60
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.3), gateway.post(prompt()) as response:
            await response.read()
    await until(lambda: azure.seen[0].aborted)
    record = await until(lambda: gateway.records and gateway.records[0])
    assert (record.status, record.output_tokens, record.first_token_s) == ("partial", 0, None)
    assert record.input_tokens > 0


async def test_a_broken_deployment_is_passed_over_before_the_first_byte(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("500", times=99, deployment="my-r1")]
    async with gateway.post({**prompt(), "model": "reasoning"}) as response:
        assert response.status == 200
        assert response.headers[wire.HEADER_MODEL] == "mistral-large"
        assert (await response.json())["model"] == "Mistral-Large-3"


async def test_nothing_is_tried_again_after_the_first_byte(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("half-event", times=1)]
    async with gateway.post(prompt(stream=True)) as response:
        text = await response.text()
    assert len(azure.seen) == 1
    last = json.loads(text.strip().split("\n\n")[-1][6:])
    assert "broke" in last["error"]["message"] and "[DONE]" not in text
    assert gateway.records[0].status == "partial"


async def test_the_official_sdk_raises_on_a_stream_that_breaks(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("half-event", times=1)]
    async with gateway.sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="general", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="broke"):
            async for _ in stream:
                pass


async def test_when_every_way_is_broken_the_error_names_each_cause(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("500", times=99)]
    async with gateway.post({**prompt(), "model": "reasoning"}) as response:
        assert response.status == 503
        message = (await response.json())["error"]["message"]
    assert "azure/my-r1 answered 500" in message and "azure/Mistral-Large-3 answered 500" in message
    assert (gateway.records[0].status, gateway.records[0].usd) == ("failed", 0)


async def test_a_content_filter_is_told_and_not_tried_elsewhere(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("content_filter")]
    async with gateway.post(prompt()) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "content_filter"
    assert len(azure.seen) == 1


async def test_a_wrong_key_is_the_operators_and_never_shown(hub: Hub, azure: Azure) -> None:
    env = {**azure_env(azure), "AZURE_AI_API_KEY": "wrong-secret"}
    async with serving(hub, env) as gateway, gateway.post(prompt()) as response:
        text = await response.text()
        assert response.status == 503
        assert "does not accept the gateway's key" in text and "wrong-secret" not in text


async def test_a_waiting_stream_gets_heartbeats(hub: Hub, azure: Azure) -> None:
    azure.faults = [Fault("hang")]
    async with serving(hub, azure_env(azure), heartbeat_s=0.05) as gateway:
        async with gateway.post(prompt(stream=True)) as response:
            assert response.headers["Content-Type"].startswith("text/event-stream")
            assert (await response.content.readuntil(b"\n\n")).startswith(b": ")
            azure.gate.set()
            text = await response.text()
    assert text.endswith("data: [DONE]\n\n")


async def test_reasoning_in_tags_becomes_reasoning_content(gateway: Running, azure: Azure) -> None:
    azure.pieces = ["<th", "ink>\n2+2", " is 4</thi", "nk>\n\n", "Four", "."]
    async with gateway.sdk() as sdk:
        stream = await sdk.chat.completions.create(
            model="reasoning", messages=[{"role": "user", "content": "2+2?"}], stream=True
        )
        deltas = [chunk.choices[0].delta async for chunk in stream]
        whole = await sdk.chat.completions.create(model="reasoning", messages=[{"role": "user", "content": "2+2?"}])
    assert "".join(delta.content or "" for delta in deltas) == "Four."
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "2+2 is 4"
    assert whole.choices[0].message.content == "Four."
    assert whole.choices[0].message.reasoning_content == "2+2 is 4"  # type: ignore[attr-defined]


# -- bad input ----------------------------------------------------------------------------------------------------------


async def bad(gateway: Running, body: object, *, status: int = 400, says: str) -> None:
    async with gateway.post(body) as response:
        text = await response.text()
        assert response.status == status, text
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert says in error["message"]


async def test_an_unknown_model_is_told_the_known_ones(gateway: Running) -> None:
    await bad(
        gateway, {**prompt(), "model": "gpt-5"}, status=404, says="'gpt-5'; known: auto, reasoning, coding, general, "
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{not json", "not JSON"),
        (b"", "no body"),
        (b"[1]", "must be a JSON object"),
        (b"\xff\xfe", "not"),
        (b'{"messages": [' * 100_000, "not JSON"),
        (b'{"temperature": NaN}', "NaN"),
        ({"model": "general"}, "'messages'"),
        ({"messages": []}, "'messages'"),
        ({"messages": "hi"}, "a string"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        (prompt(""), "prompt is empty"),
        (prompt(" \n\t"), "prompt is empty"),
        ({"messages": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": ""}]}, "prompt is empty"),
        (prompt(stream="yes"), "'stream'"),
        (prompt(model=7), "'model'"),
        (prompt(n=0), "'n'"),
        (prompt(n=3), "n > 1"),
        (prompt(max_tokens=-1), "'max_tokens'"),
        (prompt(tools={"a": 1}), "'tools'"),
    ],
)
async def test_a_body_that_is_wrong_is_told_how(gateway: Running, body: object, says: str) -> None:
    await bad(gateway, body, says=says)


async def test_a_prompt_above_every_window_says_the_largest(gateway: Running, azure: Azure) -> None:
    await bad(gateway, prompt("word " * 2**20), says="the largest window connected is 1,000,000 tokens")
    assert azure.seen == []


async def test_a_long_prompt_goes_past_the_models_it_does_not_fit(gateway: Running, azure: Azure) -> None:
    async with gateway.post({**prompt("word " * 240_000), "model": "general"}) as response:
        assert response.status == 200
        assert response.headers[wire.HEADER_MODEL] == "llama-4"


async def test_a_body_of_50_mb_is_refused_in_words(gateway: Running) -> None:
    await bad(gateway, b" " * 50 * 2**20, status=413, says="more than 32 MB")


async def test_an_unknown_address_is_told_where_the_api_is(gateway: Running) -> None:
    async with gateway.post({}, path="/nothing") as response:
        assert response.status == 404
        assert "below" in (await response.json())["error"]["message"]


async def test_with_no_upstream_the_error_says_what_to_set(hub: Hub) -> None:
    async with serving(hub, {"OLLAMA_HOST": "127.0.0.1:9"}) as gateway:
        async with gateway.post(prompt()) as response:
            assert response.status == 503
            assert response.headers["x-should-retry"] == "false"
            message = (await response.json())["error"]["message"]
        assert "AZURE_AI_ENDPOINT" in message and "OPENAI_UPSTREAM_URL" in message and "Ollama" in message
        async with gateway.session.get(
            gateway.url + "/models", headers={"Authorization": "Bearer ada-token"}
        ) as answer:
            cards = {card["id"]: card["neuralinverse"] for card in (await answer.json())["data"]}
        assert cards["auto"]["served_by"] is None
        # Whoever asks is to read that, also where a cluster passes requests on to ready pods only.
        base = gateway.url.removesuffix("v1")
        for path, status in (("readyz", 503), ("readyz?without=upstream", 200), ("readyz?without=hub", 503)):
            async with gateway.session.get(base + path) as ready:
                assert ready.status == status, path


async def test_models_lists_tasks_and_models_with_who_answers(gateway: Running) -> None:
    async with gateway.sdk() as sdk:
        cards = {card.id: card.model_dump()["neuralinverse"] for card in (await sdk.models.list()).data}
        one = await sdk.models.retrieve("llama-4")
    assert list(cards)[:4] == ["auto", "reasoning", "coding", "general"]
    assert {"deepseek-r1", "llama-4", "mistral-large"} <= set(cards)
    assert cards["coding"]["served_by"] == "Llama-4-Maverick-17B-128E-Instruct-FP8"
    assert cards["coding"]["kind"] == "task" and cards["llama-4"]["kind"] == "model"
    assert one.id == "llama-4"


async def raw(gateway: Running, data: bytes) -> bytes:
    """What the gateway answers to these very bytes."""
    parts = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(65536), 10)
    finally:
        writer.close()


async def test_headers_cannot_be_injected_in_either_direction(gateway: Running, azure: Azure) -> None:
    head = b"POST /services/ai-gateway/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\n"
    body = json.dumps(prompt(model="general\r\nX-Evil: 1")).encode()
    answer = await raw(gateway, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert b" 404 " in answer.split(b"\r\n")[0] and b"\nX-Evil" not in answer.split(b"\r\n\r\n")[0]
    headers = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "X-Evil": "1", "api-key": "mine"}
    async with gateway.post(prompt(), headers=headers) as response:
        assert response.status == 200
    sent = {name.lower(): value for name, value in azure.seen[0].headers.items()}
    assert sent["traceparent"] == headers["traceparent"]
    assert "x-evil" not in sent and sent["api-key"] == KEY and "authorization" not in sent


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_what_no_header_can_hold_is_shown_as_well_as_it_can(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, stream: bool, version: str
) -> None:
    disclose = handlers.AnswerExchange._disclose

    def oddly(self: handlers.AnswerExchange, *details: Any) -> None:
        self.shown["X-Odd"] = "\u6a21\u578b \u00e9\r\nX-Evil: 1"
        disclose(self, *details)

    monkeypatch.setattr(handlers.AnswerExchange, "_disclose", oddly)
    body = json.dumps(prompt(stream=stream)).encode()
    head = f"POST /services/ai-gateway/v1/chat/completions HTTP/{version}\r\nHost: x\r\nAuthorization: Bearer ada-token\r\n"
    answer = await raw(gateway, head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    shown = answer.split(b"\r\n\r\n")[0]
    assert b" 200 OK" in shown and b"X-Odd: ?? \xe9 X-Evil: 1" in shown, shown


async def test_a_token_is_needed_before_a_body_is_read(gateway: Running) -> None:
    head = b"POST /services/ai-gateway/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nobody\r\n"
    for more in (b"", b"Expect: 100-continue\r\n"):
        answer = await raw(gateway, head + more + b"Content-Length: 1000000\r\n\r\n")
        assert b" 401 " in answer.split(b"\r\n")[0]
        # Whether the body comes after all is not known, so nothing that follows could be told from it.
        assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
async def test_an_address_for_answers_takes_nothing_but_post(gateway: Running, method: str, version: str) -> None:
    head = f"{method} /services/ai-gateway/v1/chat/completions HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n"
    shown, _, body = (await raw(gateway, head.encode())).partition(b"\r\n\r\n")
    assert b" 405 " in shown and b"\r\nAllow: POST\r\n" in shown
    assert (body == b"") == (method == "HEAD")


async def test_who_asks_for_a_head_and_goes_on_gets_no_body_in_between(gateway: Running) -> None:
    head = b"HEAD /services/ai-gateway/v1/chat/completions HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /services/ai-gateway/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    reader, writer = await connected(gateway)
    writer.write(head + last)
    first, _, second = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    assert b" 405 " in first and second.startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_a_whole_answer_that_nobody_reads_does_not_stay(
    gateway: Running, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNREAD_S", 0.3)
    azure.pieces = ["word " * 4_000_000]
    reader, writer = await connected(gateway)
    body = json.dumps(prompt()).encode()
    head = b"POST /services/ai-gateway/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\n"
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    record = await until(lambda: gateway.records and gateway.records[0])
    assert record.status == "complete" and not gateway.gateway.parts.works
    with contextlib.suppress(ConnectionError):
        assert len(await reader.read()) < 20_000_000
    writer.close()


@pytest.mark.parametrize("path", ["chat/completions", "models"])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"Authorization: Bearer ada", id="half a header"),
        pytest.param(b"Authorization: Bearer ada-token\r\nContent-Length: 1000\r\n\r\n{", id="half a body"),
    ],
)
async def test_a_request_that_comes_drop_by_drop_is_given_up(
    hub: Hub, azure: Azure, monkeypatch: pytest.MonkeyPatch, path: str, sent: bytes
) -> None:
    monkeypatch.setattr(listening, "IDLE_S", 0.4)
    monkeypatch.setattr(connection, "BODY_S", 0.4)
    async with serving(hub, azure_env(azure)) as gateway:
        head = f"POST /services/ai-gateway/v1/{path} HTTP/1.1\r\nHost: x\r\n".encode()
        answer = await raw(gateway, head + sent if sent else b"")
        assert answer == b"" or (path == "models" and b" 405 " in answer)
        azure.pieces, azure.pause_s = ["word "] * 30, 0.03
        async with gateway.post(prompt(stream=True)) as response:
            # What takes long to answer is not what takes long to arrive.
            assert (await response.text()).endswith("data: [DONE]\n\n")


async def test_a_single_message_of_1_mb_is_an_ordinary_request(gateway: Running) -> None:
    async with gateway.post({**prompt("x" * 2**20), "model": "coding"}) as response:
        assert response.status == 200


async def test_metrics_health_and_readiness(gateway: Running) -> None:
    async with gateway.post(prompt()) as response:
        await response.read()
    base = gateway.url.removesuffix("v1")
    for token, status in (("ada-token", 403), ("nobody", 401)):
        async with gateway.session.get(base + "metrics", headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == status
    async with gateway.session.get(base + "metrics", headers={"Authorization": "Bearer root-token"}) as response:
        text = await response.text()
    assert 'gen_ai_client_token_usage_sum{gen_ai_request_model="mistral-large"' in text
    assert 'gen_ai_client_operation_duration_seconds_count{gen_ai_request_model="mistral-large"' in text
    assert 'gen_ai_client_operation_time_to_first_chunk_seconds_count{gen_ai_request_model="mistral-large"' in text
    assert 'neuralinverse_gateway_healthy{deployment="azure/Mistral-Large-3"} 1.0' in text
    assert "ada" not in text, "persons are no labels"
    for path, status in (("healthz", 200), ("readyz", 200), ("readyz?without=upstream", 200)):
        async with gateway.session.get(base + path) as response:
            assert response.status == status


async def test_prompts_and_answers_are_in_no_log(
    gateway: Running, azure: Azure, caplog: pytest.LogCaptureFixture
) -> None:
    azure.pieces = ["unspeakable", " answer"]
    azure.faults = [Fault("500"), Fault("half-event")]
    with caplog.at_level("DEBUG"):
        for stream in (False, True, True):
            async with gateway.post(prompt("a private question", stream=stream)) as response:
                await response.read()
        for body in (b'{"messages": "a private question"', b'{"input": "a private question", "model": "unknown"}'):
            for path in ("/chat/completions", "/responses", "/completions", "/embeddings", "/nothing"):
                async with gateway.post(body, path=path) as response:
                    assert response.status in (400, 404)
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "private question" not in said and "unspeakable" not in said and KEY not in said


async def test_a_client_that_stops_reading_is_given_up_in_the_end(
    gateway: Running, azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UNREAD_S", 0.3)
    azure.pieces = ["word " * 20_000] * 400
    body = json.dumps(prompt(stream=True)).encode()
    head = b"POST /services/ai-gateway/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\n"
    _, writer = await connected(gateway)
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    record = await until(lambda: gateway.records and gateway.records[0])
    assert record.status == "partial"
    await until(lambda: azure.seen[0].aborted)
    writer.close()


async def connected(gateway: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose client reads no more than it asks for."""
    parts = urlsplit(gateway.url)
    return await asyncio.open_connection(parts.hostname, parts.port, limit=1024)
