"""Who may ask, who asked, and how soon a revoked token stops working."""

from __future__ import annotations

import asyncio

import aiohttp
import openai
import pytest

from neuralinverse_hub.gateway import auth
from neuralinverse_hub.gateway.auth import MUST_ASK_S, REFRESH_S, Caller, HubIdentity, bearer
from neuralinverse_hub.gateway.errors import HubUnavailable, NotAllowed, NotAuthenticated
from tests.neuralinverse_hub.gateway.conftest import Hub, Running, prompt, until


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_workspace_token_is_its_person_and_workspace(hub: Hub) -> None:
    async with aiohttp.ClientSession() as session:
        identity = HubIdentity(session, hub.api)
        assert await identity.caller("bob-token") == Caller("bob", "thesis")
        assert await identity.caller("ada-token") == Caller("ada", "default")
        assert await identity.caller("root-token") == Caller("root", "default", admin=True)


async def test_a_token_without_the_scope_is_never_let_in(hub: Hub) -> None:
    async with aiohttp.ClientSession() as session:
        identity = HubIdentity(session, hub.api)
        with pytest.raises(NotAllowed, match="access:services!service=ai-gateway"):
            await identity.caller("plain-token")
        with pytest.raises(NotAuthenticated):
            await identity.caller("made-up")


async def test_many_simultaneous_requests_cost_the_hub_one_call(hub: Hub) -> None:
    async with aiohttp.ClientSession() as session:
        identity = HubIdentity(session, hub.api)
        await asyncio.gather(*(identity.caller("ada-token") for _ in range(50)))
    assert hub.asked == 1


async def test_a_revoked_token_stops_working_within_a_minute(hub: Hub) -> None:
    clock = Clock()
    async with aiohttp.ClientSession() as session:
        identity = HubIdentity(session, hub.api, clock=clock)
        await identity.caller("ada-token")
        del hub.users["ada-token"]
        clock.now = MUST_ASK_S
        assert MUST_ASK_S < 60
        with pytest.raises(NotAuthenticated):
            await identity.caller("ada-token")


async def test_a_token_that_is_revoked_while_it_is_used_stops_working(
    gateway: Running, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("REFRESH_S", 0.1), ("MUST_ASK_S", 0.3), ("REFUSED_S", 0.1)):
        monkeypatch.setattr(auth, name, seconds)

    async def status(path: str) -> int:
        async with gateway.post(prompt(), path=path) as response:
            return int(response.status)

    assert await status("/chat/completions") == 200
    user = hub.users.pop("ada-token")

    async def refused() -> bool:
        return await status("/chat/completions") == 401

    await until(refused, within_s=5)
    assert await status("/responses") == 401
    hub.users["ada-token"] = user

    async def welcome() -> bool:
        return await status("/chat/completions") == 200

    await until(welcome, within_s=5)


async def test_an_answer_is_refreshed_in_the_background_before_it_is_too_old(hub: Hub) -> None:
    clock = Clock()
    async with aiohttp.ClientSession() as session:
        identity = HubIdentity(session, hub.api, clock=clock)
        await identity.caller("ada-token")
        del hub.users["ada-token"]
        clock.now = REFRESH_S
        await identity.caller("ada-token")
        await asyncio.gather(*identity._asking.values())
        with pytest.raises(NotAuthenticated):
            await identity.caller("ada-token")


async def test_a_hub_that_is_away_for_a_moment_locks_nobody_out(hub: Hub) -> None:
    clock = Clock()
    async with aiohttp.ClientSession() as session:
        identity = HubIdentity(session, hub.api, clock=clock)
        await identity.caller("ada-token")
        hub.status = 502
        clock.now = MUST_ASK_S - 1
        assert (await identity.caller("ada-token")).person == "ada"
        await asyncio.gather(*identity._asking.values())
        assert (await identity.caller("ada-token")).person == "ada"
        with pytest.raises(HubUnavailable, match="502"):
            await identity.caller("bob-token")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer a\x00b", "Bearer " + "x" * 5000]
)
def test_a_header_without_a_token_is_refused(header: str | None) -> None:
    with pytest.raises(NotAuthenticated):
        bearer(header)


async def test_refusals_over_http_are_openai_shaped(gateway: Running) -> None:
    for token, error in [("nobody", openai.AuthenticationError), ("plain-token", openai.PermissionDeniedError)]:
        async with gateway.sdk(token) as sdk:
            with pytest.raises(error):
                await sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hi"}])
            with pytest.raises(error):
                await sdk.models.list()
    async with gateway.post(prompt(), headers={"Authorization": ""}) as response:
        assert response.status == 401
        assert "Bearer" in (await response.json())["error"]["message"]
