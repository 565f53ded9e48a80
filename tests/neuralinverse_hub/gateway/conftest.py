"""A gateway started whole on a free port, between a stand-in upstream and a stand-in for the hub's ``GET /user``."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import hypothesis
import openai
import pytest
import uvloop
from aiohttp import web

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.app import Gateway
from tests.neuralinverse_hub.gateway.azure import KEY, Azure, standing_in

# A machine that runs other tests at the same time is slow now and then; that is no finding.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

SCOPE = "access:services!service=ai-gateway"


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Sockets are tried on both loops that the gateway may run on: their transports differ where connections end."""
    both = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return both if item.path.name == "test_listening.py" else {"asyncio": asyncio.new_event_loop}


class Hub:
    """Answers ``GET /hub/api/user`` as the hub does; tokens can be added and revoked."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {
            "ada-token": {
                "kind": "user",
                "name": "ada",
                "admin": False,
                "scopes": [SCOPE, "access:servers!server=ada/"],
            },
            "bob-token": {
                "kind": "user",
                "name": "bob",
                "admin": False,
                "scopes": [SCOPE, "access:servers!server=bob/thesis"],
            },
            "root-token": {"kind": "user", "name": "root", "admin": True, "scopes": ["access:services", "admin:users"]},
            "plain-token": {"kind": "user", "name": "eve", "admin": False, "scopes": ["read:users:name!user=eve"]},
        }
        self.asked = 0
        self.status: int | None = None

    async def user(self, request: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(0)
        if self.status is not None:
            return web.Response(status=self.status)
        user = self.users.get(request.headers.get("Authorization", "").removeprefix("token "))
        return web.json_response(user) if user else web.json_response({"status": 403}, status=403)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/hub/api/user", self.user)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.api = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hub/api"

    async def stop(self) -> None:
        await self._runner.cleanup()


class Running:
    """A gateway that serves, and what it recorded."""

    def __init__(self, gateway: Gateway, url: str, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.url = url
        self.session = session
        self.records: list[wire.UsageRecord] = []

    def sdk(self, token: str = "ada-token") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.url, api_key=token, max_retries=0)

    def post(self, body: Any, *, token: str = "ada-token", path: str = "/chat/completions", **kwargs: Any) -> Any:
        kwargs["data"] = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        headers = {"Authorization": f"Bearer {token}", **kwargs.pop("headers", {})}
        return self.session.post(self.url + path, headers=headers, **kwargs)


def prompt(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": "general", "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    await hub.start()
    yield hub
    await hub.stop()


@pytest.fixture
async def azure() -> AsyncIterator[Azure]:
    async with standing_in() as azure:
        yield azure


def azure_env(azure: Azure) -> dict[str, str]:
    return {
        "AZURE_AI_ENDPOINT": azure.url,
        "AZURE_AI_API_KEY": KEY,
        "AZURE_AI_DEPLOYMENTS": "deepseek-r1=my-r1,llama-4=my-llama",
        "OLLAMA_HOST": "127.0.0.1:9",
    }


@contextlib.asynccontextmanager
async def serving(hub: Hub, env: dict[str, str], **settings: Any) -> AsyncIterator[Running]:
    """A gateway with the given environment and settings."""
    settings.setdefault("drain_s", 2.0)
    gateway = Gateway(env=env, url="http://127.0.0.1:0", hub_api=hub.api, service="ai-gateway", **settings)
    url = await gateway.open()
    try:
        async with aiohttp.ClientSession() as session:
            running = Running(gateway, url, session)
            gateway.sink = running.records.append
            yield running
    finally:
        await gateway.close()


@pytest.fixture
async def gateway(hub: Hub, azure: Azure) -> AsyncIterator[Running]:
    async with serving(hub, azure_env(azure)) as running:
        yield running


async def until(condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + within_s
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.01)
