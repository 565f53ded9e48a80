"""Settings become rows: what each means, and one clear sentence for each that cannot work."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from neuralinverse_hub.gateway.catalogue import (
    azure_base,
    explicit_rows,
    parse_table,
    safe_url,
    shipped_rows,
    stand_ins,
)
from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.gateway.tablefile import read_table
from neuralinverse_hub.gateway.upstreams import upstream_session
from tests.neuralinverse_hub.gateway.azure import Azure
from tests.neuralinverse_hub.gateway.conftest import KEY, Hub, azure_env, prompt, serving, until

TABLE = parse_table(shipped_rows())
AZURE = {"AZURE_AI_ENDPOINT": "https://res.openai.azure.com", "AZURE_AI_API_KEY": "sesame"}


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("https://res.openai.azure.com", "https://res.openai.azure.com/openai/v1/"),
        ("https://res.openai.azure.com/", "https://res.openai.azure.com/openai/v1/"),
        ("https://res.openai.azure.com/openai/v1/", "https://res.openai.azure.com/openai/v1/"),
        ("https://res.services.ai.azure.com/openai", "https://res.services.ai.azure.com/openai/v1/"),
        ("https://gw.example.com/team/openai/v1", "https://gw.example.com/team/openai/v1/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/openai/v1/"),
        ("https://res.services.ai.azure.com/models", "https://res.services.ai.azure.com/openai/v1/"),
        ("https://res.services.ai.azure.com/api/projects/p", "https://res.services.ai.azure.com/openai/v1/"),
    ],
)
def test_every_form_of_azures_endpoint_is_understood(endpoint: str, base: str) -> None:
    assert azure_base("AZURE_AI_ENDPOINT", endpoint) == base


def test_without_names_the_models_own_are_expected_and_retired_ones_left_out() -> None:
    rows = {row.deployment: row.models for row in explicit_rows(TABLE, AZURE)}
    assert rows["Mistral-Large-3"] == {"mistral-large"} and rows["DeepSeek-V4-Pro"] == {"deepseek-v4-pro"}
    assert "DeepSeek-R1" not in rows


def test_a_retired_model_the_operator_names_is_still_asked() -> None:
    env = {**AZURE, "AZURE_AI_DEPLOYMENTS": "deepseek-r1=my-r1, llama-4 = my-llama"}
    rows = {row.deployment: row.models for row in explicit_rows(TABLE, env)}
    assert rows["my-r1"] == {"deepseek-r1"} and rows["my-llama"] == {"llama-4"}
    assert "DeepSeek-V4-Pro" not in rows


def test_keys_are_in_no_repr() -> None:
    assert "sesame" not in repr(explicit_rows(TABLE, AZURE))


def test_the_older_azure_api_is_used_when_asked_for() -> None:
    upstream = explicit_rows(TABLE, {**AZURE, "AZURE_AI_LEGACY_API": "1"})[0].upstream
    assert upstream.url.endswith("azure.com/models/") and upstream.query == "?api-version=2024-05-01-preview"


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"AZURE_AI_ENDPOINT": "https://x.example"}, "AZURE_AI_API_KEY is not"),
        ({"AZURE_AI_API_KEY": "k"}, "AZURE_AI_ENDPOINT is not"),
        ({**AZURE, "AZURE_AI_ENDPOINT": "ftp://x"}, "http"),
        ({**AZURE, "AZURE_AI_ENDPOINT": "https://user:pw@x.example"}, "plain base URL"),
        ({**AZURE, "AZURE_AI_ENDPOINT": "https://x.example\r\nHost: evil"}, "line break"),
        ({**AZURE, "AZURE_AI_API_KEY": "a\nb"}, "line break"),
        ({**AZURE, "AZURE_AI_DEPLOYMENTS": "deepseek-r1"}, "<model>=<deployment>"),
        ({**AZURE, "AZURE_AI_DEPLOYMENTS": "gpt-5=x"}, "unknown model 'gpt-5'"),
        ({**AZURE, "AZURE_AI_DEPLOYMENTS": "llama-4=../x"}, "<model>=<deployment>"),
        ({"AZURE_AI_ENDPOINT": "https://x.example", "AZURE_AI_AUTH": "magic"}, "'entra' and 'key'"),
        ({"OPENAI_UPSTREAM_API_KEY": "k"}, "OPENAI_UPSTREAM_URL is not"),
        ({"OPENAI_UPSTREAM_URL": "http://169.254.169.254/latest"}, "metadata"),
        ({"OPENAI_UPSTREAM_URL": "http://[fd00:ec2::254]/v1"}, "metadata"),
        ({"OPENAI_UPSTREAM_URL": "http://[::ffff:169.254.169.254]/v1"}, "metadata"),
        ({"OPENAI_UPSTREAM_URL": "http://metadata.google.internal./v1"}, "metadata"),
        ({"OPENAI_UPSTREAM_URL": "http://127.0.0.1:99999/v1"}, "not a URL"),
    ],
)
def test_a_setting_that_cannot_work_is_named(env: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        explicit_rows(TABLE, env)
    assert "sesame" not in str(caught.value)


async def test_a_name_that_leads_to_the_metadata_address_is_not_connected() -> None:
    async with upstream_session() as session:
        with pytest.raises(aiohttp.ClientConnectorError, match="metadata"):
            await session.get("http://0xa9fea9fe:80/v1/models")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434/v1/"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1/"),
        ("0.0.0.0:8081", "http://127.0.0.1:8081/v1/"),
        ("gpu.lan:11434", "http://gpu.lan:11434/v1/"),
        ("https://ollama.example", "https://ollama.example:443/v1/"),
        ("http://[::1]:11434", "http://[::1]:11434/v1/"),
    ],
)
def test_every_form_of_ollamas_host_is_understood(host: str, url: str) -> None:
    assert stand_ins(TABLE, {"OLLAMA_HOST": host})[0].upstream.url == url


def test_a_plain_server_gets_v1_and_a_longer_path_stays() -> None:
    row = explicit_rows(TABLE, {"OPENAI_UPSTREAM_URL": "http://127.0.0.1:8080", "OPENAI_UPSTREAM_MODEL": "m"})[0]
    assert row.upstream.url == "http://127.0.0.1:8080/v1/"
    assert safe_url("X", "https://api.example.com/api/paas/v4") == "https://api.example.com/api/paas/v4/"


# -- the operator's table file ----------------------------------------------------------------------------------------


def own(azure: Azure, **more: Any) -> dict[str, Any]:
    upstreams = {"sweden": {"kind": "azure", "url": azure.url, "key_env": "SWEDEN_KEY"}}
    rows = [{"upstream": "sweden", "deployment": "my-llama", "models": ["llama-4"]}]
    return {"upstreams": upstreams, "deployments": rows, **more}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"modles": {}}, "unknown members"),
        ({"tasks": {"coding": []}}, "'coding' has no model"),
        ({"tasks": {"coding": ["gpt"]}}, "unknown model 'gpt'"),
        ({"models": {"llama-4": {"can": ["fly"]}}}, "fly"),
        ({"models": {"new": {}}}, "'new' is not right"),
        ({"models": {"llama-4": {"prices": [{"since": "2026-01-01", "input": "cheap", "output": "1"}]}}}, "not right"),
        ({"models": {"llama-4": {"successor": "x"}}}, "unknown successor"),
        ({"upstreams": {"sweden": {"kind": "aws", "url": "https://x.example"}}}, "none of azure"),
        ({"upstreams": {"sweden": {"kind": "azure", "url": "https://x.example", "key_env": "UNSET"}}}, "UNSET"),
        ({"upstreams": {"sweden": {"kind": "openai", "url": "http://169.254.169.254"}}}, "metadata"),
        ({"deployments": [{"upstream": "norway", "deployment": "x", "models": []}]}, "unknown upstream 'norway'"),
        ({"deployments": [{"upstream": "sweden", "deployment": "x", "models": ["y"]}]}, "unknown models"),
        ({"deployments": [{"deployment": "x"}]}, "KeyError 'upstream'"),
        ({"deployments": [3]}, "not right"),
    ],
)
def test_a_table_file_that_is_not_right_names_the_row(
    change: dict[str, Any], says: str, azure: Azure, tmp_path: Path
) -> None:
    file = tmp_path / "table.json"
    file.write_text(json.dumps({**own(azure), **change}))
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_table(shipped_rows(), file, {"SWEDEN_KEY": KEY})
    assert str(file) in str(caught.value)


async def test_a_new_table_is_used_without_dropping_a_stream(hub: Hub, azure: Azure, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(json.dumps(own(azure)))
    azure.pieces, azure.pause_s = ["word "] * 60, 0.02
    async with serving(hub, {"SWEDEN_KEY": KEY}, table_file=str(file)) as gateway:
        async with gateway.post({**prompt(stream=True), "model": "coding"}) as response:
            assert response.headers["X-NeuralInverse-Upstream"] == "sweden/my-llama"
            await response.content.readany()
            changed = own(azure)
            changed["deployments"][0] |= {"deployment": "Mistral-Large-3", "models": ["mistral-large"]}
            file.write_text(json.dumps(changed))
            await gateway.gateway.reload()
            async with gateway.post(prompt(stream=True)) as new:
                assert new.headers["X-NeuralInverse-Upstream"] == "sweden/Mistral-Large-3"
            assert (await response.text()).endswith("data: [DONE]\n\n")
        file.write_text("{not json")
        await gateway.gateway.reload()
        async with gateway.post(prompt()) as still:
            assert still.status == 200
        await until(lambda: set(gateway.gateway.parts.relay.gates) == {"sweden/my-llama", "sweden/Mistral-Large-3"})


async def test_regions_share_by_weight_and_load(hub: Hub, azure: Azure, tmp_path: Path) -> None:
    azure.deployments["second"] = "Llama-4"
    rows = [
        {"upstream": "sweden", "deployment": "my-llama", "models": ["llama-4"], "weight": 2},
        {"upstream": "sweden", "deployment": "second", "models": ["llama-4"], "weight": 1},
    ]
    file = tmp_path / "table.json"
    file.write_text(json.dumps(own(azure, deployments=rows)))
    azure.pause_s = 0.3
    async with serving(hub, {"SWEDEN_KEY": KEY}, table_file=str(file)) as gateway:

        async def ask() -> None:
            async with gateway.post({**prompt(), "model": "coding"}) as response:
                assert response.status == 200

        await asyncio.gather(*(ask() for _ in range(12)))
    asked = [seen.deployment for seen in azure.seen]
    assert (asked.count("my-llama"), asked.count("second")) == (8, 4)


@pytest.mark.parametrize(("days", "warned"), [(1, True), (30, True), (31, False)])
async def test_the_operator_is_warned_of_retirements(
    hub: Hub, azure: Azure, tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, warned: bool
) -> None:
    # What retires in 30 days is warned of, and not a day before that.
    soon = (datetime.now(UTC) + timedelta(days=days)).date()
    file = tmp_path / "table.json"
    file.write_text(json.dumps(own(azure, models={"llama-4": {"retires": str(soon)}})))
    async with serving(hub, {**azure_env(azure), "SWEDEN_KEY": KEY}, table_file=str(file)) as gateway:
        sentences = gateway.gateway.parts.directory.retirements()
    assert any(sentence.startswith(f"llama-4 retires on {soon}") for sentence in sentences) is warned
    assert (f"llama-4 retires on {soon}" in caplog.text) is warned
    assert any(sentence.startswith("deepseek-r1 retired on 2026-08-13") for sentence in sentences)


@pytest.mark.parametrize("kind", ["Ollama", "demo model"])
async def test_a_server_on_this_machine_is_found_when_it_starts_later(hub: Hub, kind: str) -> None:
    asked: list[str | None] = []

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "nomic-embed-text"}, {"id": "qwen3:8b"}]})

    async def chat(request: web.Request) -> web.Response:
        asked.append(request.headers.get("Authorization"))
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        return web.json_response({"model": (await request.json())["model"], "choices": [choice]})

    application = web.Application()
    application.router.add_get("/v1/models", models)
    application.router.add_post("/v1/chat/completions", chat)
    port = unused_port()
    env = {"OLLAMA_HOST": f"127.0.0.1:{port if kind == 'Ollama' else 9}"}
    if kind == "demo model":
        env |= {"NEURALINVERSE_DEMO_MODEL_URL": f"http://127.0.0.1:{port}/v1", "NEURALINVERSE_DEMO_MODEL_KEY": "demo"}
    async with serving(hub, env) as gateway:
        async with gateway.post(prompt()) as response:
            assert response.status == 503
        async with TestServer(application, host="127.0.0.1", port=port), gateway.post(prompt()) as response:
            assert response.status == 200
            # The first one that answers, under its real name.
            assert (await response.json())["model"] == ("qwen3:8b" if kind == "Ollama" else "qwen3:8b (demo model)")
        assert asked == [None if kind == "Ollama" else "Bearer demo"]
        # It told no usage, and what it costs nobody knows.
        record = gateway.records[-1]
        assert record.input_tokens > 0 and record.output_tokens > 0 and record.usd is None
