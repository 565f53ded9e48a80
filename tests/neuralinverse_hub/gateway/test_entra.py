"""Entra ID: each flow against a stand-in authority, refreshed ahead of need, and errors without secrets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from neuralinverse_hub.gateway.entra import AHEAD_S, EntraIdentity, EntraRefused, identity_from
from neuralinverse_hub.gateway.errors import ConfigurationError
from tests.neuralinverse_hub.gateway.azure import Azure
from tests.neuralinverse_hub.gateway.conftest import Hub, prompt, serving

SECRET = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "very-secret"}


class Authority:
    """Gives out tokens, numbered."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        form = dict(await request.post()) if request.method == "POST" else dict(request.query)
        self.asked.append({name: str(value) for name, value in form.items()} | {"path": request.path})
        if self.status != 200:
            return web.json_response({"error": "invalid_client"}, status=self.status)
        return web.json_response({"access_token": f"token-{len(self.asked)}", "expires_in": 3600})


@pytest.fixture
async def authority() -> AsyncIterator[tuple[Authority, str]]:
    authority = Authority()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", authority.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield authority, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_client_secret_gets_a_token(authority: tuple[Authority, str]) -> None:
    server, url = authority
    async with aiohttp.ClientSession() as session:
        identity = EntraIdentity(session, {**SECRET, "AZURE_AUTHORITY_HOST": url})
        assert await asyncio.gather(*(identity.token() for _ in range(20))) == ["token-1"] * 20
    assert server.asked[0]["path"] == "/t/oauth2/v2.0/token"
    assert server.asked[0]["scope"] == "https://ai.azure.com/.default"
    assert server.asked[0]["client_secret"] == "very-secret"


async def test_workload_identity_reads_its_assertion_anew(authority: tuple[Authority, str], tmp_path: Path) -> None:
    server, url = authority
    file = tmp_path / "assertion"
    env = {**SECRET, "AZURE_CLIENT_SECRET": "", "AZURE_FEDERATED_TOKEN_FILE": str(file), "AZURE_AUTHORITY_HOST": url}
    now = 0.0
    async with aiohttp.ClientSession() as session:
        identity = EntraIdentity(session, env, clock=lambda: now)
        file.write_text("first\n")
        assert await identity.token() == "token-1"
        file.write_text("second\n")
        now = 3600.0
        assert await identity.token() == "token-2"
    assert [each["client_assertion"] for each in server.asked] == ["first", "second"]


async def test_managed_identity_asks_the_machine(authority: tuple[Authority, str]) -> None:
    server, url = authority
    async with aiohttp.ClientSession() as session:
        identity = EntraIdentity(session, {"AZURE_MANAGED_IDENTITY_ENDPOINT": url, "AZURE_CLIENT_ID": "mine"})
        assert await identity.token() == "token-1"
    assert server.asked[0]["resource"] == "https://ai.azure.com" and server.asked[0]["client_id"] == "mine"


async def test_a_token_is_replaced_before_it_ends_and_nobody_waits(authority: tuple[Authority, str]) -> None:
    _, url = authority
    now = 0.0
    async with aiohttp.ClientSession() as session:
        identity = EntraIdentity(session, {**SECRET, "AZURE_AUTHORITY_HOST": url}, clock=lambda: now)
        await identity.token()
        now = 3600 - AHEAD_S + 1
        assert await identity.token() == "token-1"
        assert identity._asking is not None
        await identity._asking
        assert await identity.token() == "token-2"


async def test_a_refusal_says_why_and_no_secret(authority: tuple[Authority, str]) -> None:
    server, url = authority
    server.status = 401
    async with aiohttp.ClientSession() as session:
        identity = EntraIdentity(session, {**SECRET, "AZURE_AUTHORITY_HOST": url})
        with pytest.raises(EntraRefused, match="client secret: 401 invalid_client") as caught:
            await identity.token()
    assert "very-secret" not in str(caught.value) + repr(identity_from(SECRET))


def test_half_an_identity_is_named() -> None:
    with pytest.raises(ConfigurationError, match="AZURE_TENANT_ID"):
        identity_from({"AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"})


async def test_the_gateway_asks_azure_with_the_token(hub: Hub, azure: Azure, authority: tuple[Authority, str]) -> None:
    _, url = authority
    azure.bearer = "token-1"
    env = {**SECRET, "AZURE_AUTHORITY_HOST": url, "AZURE_AI_ENDPOINT": azure.url}
    async with serving(hub, env) as gateway, gateway.post(prompt()) as response:
        assert response.status == 200, await response.text()
    assert "api-key" not in {name.lower() for name in azure.seen[0].headers}
