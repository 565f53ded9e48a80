"""Faults on command: busy upstreams make people wait and never fail; broken ones are passed over, rested and found again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.failures import LONGEST_WAIT_S, failure_from, retry_after
from neuralinverse_hub.gateway.health import LONGEST_S, TRIES, Breaker
from tests.neuralinverse_hub.gateway.azure import Azure, Fault, standing_in
from tests.neuralinverse_hub.gateway.conftest import Hub, Running, azure_env, prompt, serving, until

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "Mon, 23 Nov 2026 12:00:07 GMT"}, 7.0),
        ({"Retry-After": "Mon, 23 Nov 2020 12:00:07 GMT"}, 0.0),
        ({"Retry-After": "99999999"}, LONGEST_WAIT_S),
        ({"Retry-After": "soon"}, None),
        ({"retry-after-ms": "-1"}, None),
        ({"retry-after-ms": "nan", "Retry-After": "2"}, 2.0),
        ({}, None),
    ],
)
def test_every_form_of_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds


@given(st.integers(201, 599), st.binary(max_size=80))
def test_every_status_and_body_is_some_failure(status: int, body: bytes) -> None:
    failure = failure_from(status, {}, body, now=NOW)
    assert (failure.refusal is not None) == (failure.kind in {"refused", "too_long"})


def test_an_error_that_leaves_members_empty_is_told_in_openais_shape() -> None:
    body = b'{"error": {"code": "content_filter", "message": "No.", "param": null, "type": null}}'
    refusal = failure_from(400, {}, body, now=NOW).refusal
    assert refusal is not None
    told = {"message": "No.", "type": "invalid_request_error", "param": None, "code": "content_filter"}
    assert refusal.body() == {"error": told}


def test_a_breaker_opens_after_failures_in_a_row_and_closes_with_one_success() -> None:
    breaker = Breaker()
    for _ in range(TRIES - 1):
        breaker.failed(0.0, "answered 500")
    assert breaker.allows(0.0)
    breaker.failed(0.0, "answered 500")
    assert breaker.state(0.0) == "open" and not breaker.allows(0.0)
    later = breaker.opens_in(0.0)
    assert breaker.allows(later)
    breaker.sent(later)
    assert not breaker.allows(later), "only one may try"
    breaker.failed(later, "answered 500")
    assert breaker.opens_in(later) > later
    for _ in range(20):
        breaker.failed(later, "answered 500")
    assert breaker.opens_in(later) <= LONGEST_S
    breaker.succeeded()
    assert breaker.state(later) == "closed" and breaker.cause == ""


@pytest.mark.parametrize(
    "headers", [{"retry-after-ms": "80"}, {"Retry-After": "0"}, {"x-ratelimit-remaining-requests": "-1"}]
)
async def test_busy_upstreams_make_a_request_wait_and_never_fail(
    gateway: Running, azure: Azure, headers: dict[str, str]
) -> None:
    azure.faults = [Fault("429", times=3, headers={"retry-after-ms": "50", **headers})]
    async with gateway.post(prompt()) as response:
        assert response.status == 200
    assert gateway.records[0].retries == 3


async def test_the_pause_an_upstream_asks_for_is_kept(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("429", times=1, headers={"retry-after-ms": "400"})]
    started = time.monotonic()
    async with gateway.post({**prompt(), "model": "azure/my-llama"}) as response:
        assert response.status == 200
    assert time.monotonic() - started >= 0.4


async def test_a_long_pause_spills_over_to_another_model_and_says_so(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("429", times=99, deployment="my-r1", headers={"Retry-After": "60"})]
    async with gateway.post({**prompt(), "model": "reasoning"}) as response:
        assert response.status == 200
        assert response.headers[wire.HEADER_MODEL] == "mistral-large"
        assert "could not answer in time" in response.headers["X-NeuralInverse-Notice"]
    # The next one does not even ask the one that said "in a minute".
    async with gateway.post({**prompt(), "model": "reasoning"}) as response:
        assert response.status == 200
    assert [seen.deployment for seen in azure.seen] == ["my-r1", "Mistral-Large-3", "Mistral-Large-3"]


@pytest.mark.parametrize(
    "said",
    [[], {}, {"choices": 7}, {"choices": [{"message": {"content": "<think>a</think>b", "reasoning_content": 7}}]}],
)
async def test_what_is_no_answer_is_a_failure_like_others(hub: Hub, said: object) -> None:
    async def chat(request: web.Request) -> web.Response:
        return web.json_response(said)

    application = web.Application()
    application.router.add_post("/v1/chat/completions", chat)
    async with TestServer(application) as server:
        env = {"OPENAI_UPSTREAM_URL": str(server.make_url("/v1")), "OPENAI_UPSTREAM_MODEL": "odd"}
        async with serving(hub, env) as gateway, gateway.post(prompt()) as response:
            assert response.status == 503
            assert "answered with something that is no answer" in (await response.json())["error"]["message"]


async def test_a_passing_failure_of_the_only_way_is_tried_again(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("500", times=1)]
    async with gateway.post({**prompt(), "model": "azure/my-llama"}) as response:
        assert response.status == 200
    azure.faults = [Fault("drop", times=1)]
    async with gateway.post({**prompt(stream=True), "model": "azure/my-llama"}) as response:
        assert (await response.text()).endswith("[DONE]\n\n")


async def test_a_broken_deployment_is_rested_and_found_again(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("500", times=TRIES, deployment="my-r1")]
    for _ in range(TRIES + 3):
        async with gateway.post({**prompt(), "model": "reasoning"}) as response:
            assert response.headers[wire.HEADER_MODEL] == "mistral-large"
    assert len([seen for seen in azure.seen if seen.deployment == "my-r1"]) == TRIES

    async def back() -> bool:
        async with gateway.post({**prompt(), "model": "reasoning"}) as response:
            return bool(response.headers[wire.HEADER_MODEL] == "deepseek-r1")

    await until(back)


async def test_a_model_that_is_not_deployed_is_passed_over(hub: Hub, azure: Azure) -> None:
    del azure.deployments["my-llama"]
    async with serving(hub, azure_env(azure)) as gateway:
        async with gateway.post({**prompt(), "model": "coding"}) as response:
            assert response.headers[wire.HEADER_MODEL] == "mistral-large"
        async with gateway.post({**prompt(), "model": "azure/my-llama"}) as response:
            assert response.status == 503
            assert "no such deployment" in (await response.json())["error"]["message"]


async def test_silence_before_the_first_byte_goes_elsewhere(hub: Hub, azure: Azure) -> None:
    azure.faults = [Fault("hang", deployment="my-r1", times=9)]
    async with serving(hub, azure_env(azure), first_byte_timeout_s=0.2) as gateway:
        async with gateway.post({**prompt(stream=True), "model": "reasoning"}) as response:
            assert response.headers[wire.HEADER_MODEL] == "mistral-large"


async def test_an_upstream_that_cannot_be_reached_in_time_is_passed_over(hub: Hub, azure: Azure) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        # Nobody accepts: whoever comes after the first few is not even told that it has to wait.
        waiting = [socket.create_connection(deaf.getsockname())]
        with contextlib.suppress(TimeoutError):
            while len(waiting) < 10:
                waiting.append(socket.create_connection(deaf.getsockname(), timeout=0.2))
        env = {
            **azure_env(azure),
            "AZURE_AI_ENDPOINT": f"http://127.0.0.1:{deaf.getsockname()[1]}",
            "OPENAI_UPSTREAM_URL": azure.url + "/openai/v1",
            "OPENAI_UPSTREAM_MODEL": "my-llama",
        }
        async with serving(hub, env, connect_timeout_s=0.2) as gateway:
            async with gateway.post(prompt()) as response:
                assert response.status == 200
                assert response.headers[wire.HEADER_UPSTREAM].startswith("openai")
            async with gateway.post({**prompt(), "model": "azure/Mistral-Large-3"}) as response:
                assert response.status == 503
                assert "could not be reached in 0.2 s" in (await response.json())["error"]["message"]
        for each in waiting:
            each.close()


async def test_silence_within_an_answer_ends_it_with_an_error(hub: Hub, azure: Azure) -> None:
    azure.faults = [Fault("hang-within")]
    async with serving(hub, azure_env(azure), gap_timeout_s=0.2) as gateway:
        async with gateway.post(prompt(stream=True)) as response:
            text = await response.text()
    assert "fell silent" in text and "[DONE]" not in text
    assert len(azure.seen) == 1


async def test_a_filtered_answer_is_an_answer(gateway: Running, azure: Azure) -> None:
    azure.faults = [Fault("filtered", times=2)]
    async with gateway.post(prompt()) as response:
        assert (await response.json())["choices"][0]["finish_reason"] == "content_filter"
    async with gateway.post(prompt(stream=True)) as response:
        assert '"content_filter"' in await response.text()
    assert [record.status for record in gateway.records] == ["complete", "complete"]


async def test_a_certificate_nobody_can_trust_is_named(hub: Hub, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    await asyncio.to_thread(
        subprocess.run,
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -out certificate.pem -keyout key.pem".split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with standing_in(tls) as azure, serving(hub, azure_env(azure)) as gateway:
        async with gateway.post(prompt()) as response:
            assert response.status == 503
            assert "TLS certificate" in (await response.json())["error"]["message"]


async def test_one_flooding_person_does_not_keep_another_waiting(hub: Hub, azure: Azure) -> None:
    azure.capacity = 2
    azure.pause_s = 0.02
    async with serving(hub, azure_env(azure)) as gateway:
        flood = [asyncio.create_task(finish(gateway, "bob-token")) for _ in range(40)]
        await until(lambda: len(azure.seen) > 4)
        await finish(gateway, "ada-token")
        left = [task for task in flood if not task.done()]
        assert len(left) > 20, "ada waited for most of bob's"
        await asyncio.gather(*flood)
    assert len(gateway.records) == 41 and azure.refused > 0


async def test_a_lowered_weight_gets_a_smaller_share_and_every_answer(hub: Hub, azure: Azure) -> None:
    azure.capacity = 1
    azure.faults = [Fault("hang", times=1)]
    async with serving(hub, azure_env(azure)) as gateway:
        gateway.gateway.set_weights({"bob": 0.25, "ada": "heavy"})
        first = asyncio.create_task(finish(gateway, "bob-token"))
        await until(lambda: azure.seen)
        rest = [asyncio.create_task(finish(gateway, token)) for token in ("bob-token", "ada-token") for _ in range(16)]
        gate = gateway.gateway.parts.relay.gates["azure/my-llama"]
        await until(lambda: gate.in_flight + len(gate.queue) == 33)
        azure.gate.set()
        await asyncio.gather(first, *rest)
        people = [record.person for record in gateway.records]
        # While both wait, a quarter of the weight is a quarter of the turns; nobody is left out in the end.
        assert people[1:17].count("ada") >= 11
        assert (people.count("ada"), people.count("bob")) == (16, 17)
        gateway.gateway.set_weights({})
        assert not gateway.gateway.parts.relay.weights


async def finish(gateway: Running, token: str) -> None:
    async with gateway.post({**prompt(), "model": "azure/my-llama"}, token=token) as response:
        assert response.status == 200, await response.text()


async def test_a_waiting_person_sees_their_place(hub: Hub, azure: Azure) -> None:
    azure.capacity = 1
    azure.faults = [Fault("hang", times=1)]
    async with serving(hub, azure_env(azure), heartbeat_s=0.05) as gateway:
        first = asyncio.create_task(finish(gateway, "bob-token"))
        await until(lambda: azure.seen)
        async with gateway.post({**prompt(stream=True), "model": "azure/my-llama"}) as response:
            seen = b""
            while b"you are next position=1" not in seen:
                seen += await response.content.readany()
            azure.gate.set()
            assert (await response.text()).endswith("data: [DONE]\n\n")
        await first


async def test_work_that_nobody_waits_for_comes_after_what_people_wait_for(
    hub: Hub, azure: Azure, tmp_path: Path
) -> None:
    row = {"upstream": "one", "deployment": "my-llama", "models": ["llama-4"], "at_once": 1}
    upstream = {"kind": "openai", "url": azure.url + "/openai/v1"}
    file = tmp_path / "table.json"
    file.write_text(json.dumps({"upstreams": {"one": upstream}, "deployments": [row]}))
    azure.faults = [Fault("hang", times=1)]
    order: list[str] = []

    async def ask(gateway: Running, name: str, **more: str) -> None:
        async with gateway.post({**prompt(name), "model": "coding", **more}) as response:
            assert response.status == 200
            order.append(name)

    async with serving(hub, {}, table_file=str(file)) as gateway:
        tasks = [asyncio.create_task(ask(gateway, "first"))]
        await until(lambda: azure.seen)
        for name, tier in (("work", {"service_tier": "flex"}), ("person", {})):
            tasks.append(asyncio.create_task(ask(gateway, name, **tier)))
            gate = gateway.gateway.parts.relay.gates["one/my-llama"]
            await until(lambda gate=gate, tasks=tasks: len(gate.queue) == len(tasks) - 1)
        azure.gate.set()
        await asyncio.gather(*tasks)
    assert order == ["first", "person", "work"]


async def test_long_streams_let_others_begin_before_they_end(hub: Hub, azure: Azure) -> None:
    azure.faults = [Fault("hang-within", times=40)]
    async with serving(hub, azure_env(azure)) as gateway:
        streams = [asyncio.create_task(read(gateway)) for _ in range(40)]
        # More than are sent at once before anything is known of the upstream.
        await until(lambda: azure.active == 40)
        azure.gate.set()
        assert all(text.endswith("data: [DONE]\n\n") for text in await asyncio.gather(*streams))


async def read(gateway: Running) -> str:
    async with gateway.post({**prompt(stream=True), "model": "azure/my-llama"}) as response:
        return str(await response.text())


async def test_a_waiting_person_who_leaves_gives_their_place_up(hub: Hub, azure: Azure) -> None:
    azure.capacity = 1
    azure.faults = [Fault("hang", times=1)]
    async with serving(hub, azure_env(azure)) as gateway:
        first = asyncio.create_task(finish(gateway, "bob-token"))
        await until(lambda: azure.seen)
        second = asyncio.create_task(finish(gateway, "ada-token"))
        gate = gateway.gateway.parts.relay.gates["azure/my-llama"]
        await until(lambda: len(gate.queue) == 1)
        second.cancel()
        await until(lambda: len(gate.queue) == 0)
        azure.gate.set()
        await first
        assert gate.in_flight == 0


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(hub: Hub, azure: Azure) -> None:
    rng = random.Random(3)
    azure.pause_s = 0.005
    azure.capacity = 6
    async with serving(hub, azure_env(azure), heartbeat_s=0.003) as gateway:

        async def ask(leaves_after: float) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(leaves_after):
                    async with gateway.post({**prompt(stream=True), "model": "azure/my-llama"}) as response:
                        await response.read()

        for _ in range(15):
            await asyncio.gather(*(ask(rng.uniform(0.001, 0.15)) for _ in range(20)))
        gate = gateway.gateway.parts.relay.gates["azure/my-llama"]
        await until(lambda: not gate.in_flight and not gate.queue and not gate.waiters)
        await until(lambda: azure.active == 0)
        await until(lambda: not gateway.gateway.parts.works)


async def test_shutting_down_finishes_answers_and_refuses_new_ones(hub: Hub, azure: Azure) -> None:
    azure.pieces = ["word "] * 50
    azure.pause_s = 0.02
    async with serving(hub, azure_env(azure), drain_s=20.0) as gateway:
        health = gateway.url.removesuffix("v1") + "healthz"
        async with gateway.post(prompt(stream=True)) as response, gateway.session.get(health) as idle:
            # Leaves a connection behind that is open when the shutdown begins.
            await idle.read()
            await response.content.readany()
            closing = asyncio.create_task(gateway.gateway.close())
            await until(lambda: gateway.gateway.parts.draining)
            async with gateway.post(prompt()) as late:
                assert late.status == 503
                assert (await late.json())["error"]["code"] == "shutting_down"
                assert late.headers["Connection"] == "close"
            text = await response.text()
            assert text.count("word") > 40 and text.endswith("data: [DONE]\n\n")
            await closing
    assert gateway.records[0].status == "complete"


async def test_a_replica_that_shuts_down_says_on_open_connections_that_it_is_not_ready(hub: Hub, azure: Azure) -> None:
    azure.faults = [Fault("hang-within")]
    async with serving(hub, azure_env(azure), drain_s=20.0) as gateway:
        base = gateway.url.removesuffix("v1")
        async with gateway.post(prompt(stream=True)) as response, gateway.session.get(base + "readyz") as idle:
            assert idle.status == 200
            await idle.read()
            closing = asyncio.create_task(gateway.gateway.close())
            await until(lambda: gateway.gateway.parts.draining)
            for path, status in (("readyz", 503), ("readyz?without=upstream", 503), ("healthz", 200)):
                async with gateway.session.get(base + path) as answer:
                    assert answer.status == status
            azure.gate.set()
            assert (await response.text()).endswith("data: [DONE]\n\n")
            await closing


async def test_shutting_down_waits_for_who_reads_slowly(hub: Hub, azure: Azure) -> None:
    azure.pieces = ["word " * 4_000_000]
    async with serving(hub, azure_env(azure), drain_s=20.0) as gateway:
        async with gateway.post(prompt()) as response:
            closing = asyncio.create_task(gateway.gateway.close())
            await until(lambda: gateway.gateway.parts.draining)
            await asyncio.sleep(0.3)
            assert not closing.done()
            assert len(await response.read()) > 20_000_000
        await closing


async def test_sigterm_lets_a_stream_finish_and_then_ends_the_process(hub: Hub, azure: Azure) -> None:
    azure.pieces, azure.pause_s = ["word "] * 60, 0.02
    env = {**os.environ, **azure_env(azure), "JUPYTERHUB_API_URL": hub.api, "PYTHONPATH": os.getcwd()}
    env["JUPYTERHUB_SERVICE_URL"] = "http://127.0.0.1:0"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "neuralinverse_hub.gateway", env=env, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        line = ""
        while "serves " not in line:
            line = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        url = line.rpartition("serves ")[2].strip()
        headers = {"Authorization": "Bearer ada-token"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(f"{url}/chat/completions", json=prompt(stream=True)) as response:
                await response.content.readany()
                process.terminate()
                assert (await response.text()).endswith("data: [DONE]\n\n")
        rest = (await asyncio.wait_for(process.stderr.read(), 30)).decode()
        assert await asyncio.wait_for(process.wait(), 10) == 0, rest
        assert "waiting for 1 answers" in rest and "Traceback" not in rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_setting_that_cannot_work_ends_the_start_with_one_sentence() -> None:
    env = {**os.environ, "AZURE_AI_ENDPOINT": "http://169.254.169.254", "AZURE_AI_API_KEY": "sesame"}
    env |= {"JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api", "PYTHONPATH": os.getcwd()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "neuralinverse_hub.gateway", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"metadata address" in said and b"Traceback" not in said and b"sesame" not in said
