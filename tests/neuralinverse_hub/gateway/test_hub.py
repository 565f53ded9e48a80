"""The gateway as the hub runs it: a managed service behind the hub's proxy, asked with a workspace's own token."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from tests.chromium import launch
from tests.neuralinverse_hub.gateway.azure import Azure, Fault
from tests.neuralinverse_hub.gateway.conftest import prompt
from tests.neuralinverse_hub.gateway.real_hub import RealHub, hub_serving

pytestmark = pytest.mark.hub


async def test_a_workspace_asks_with_the_token_it_already_has(azure: Azure, tmp_path: Path) -> None:
    async with hub_serving(tmp_path, azure) as real_hub, aiohttp.ClientSession() as session:
        token = await real_hub.workspace_token(session, "ada")
        async with openai.AsyncOpenAI(base_url=real_hub.gateway, api_key=token, max_retries=0) as sdk:
            assert [card.id for card in (await sdk.models.list()).data][:2] == ["auto", "reasoning"]
            stream = await sdk.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
            words = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(words) == "Hello from the model."
        assert len([word for word in words if word]) == 5

        # The same token opens nothing else: it is the gateway's key and not the person's.
        headers = {"Authorization": f"token {token}"}
        async with session.get(f"{real_hub.url}/hub/api/users", headers=headers) as response:
            assert response.status == 403

        # And the gateway opens for nobody else.
        async with openai.AsyncOpenAI(base_url=real_hub.gateway, api_key="made-up", max_retries=0) as sdk:
            with pytest.raises(openai.AuthenticationError, match="the hub does not know this token"):
                await sdk.models.list()
        assert await real_hub.api(session, "DELETE", "users/ada/server") in (202, 204)


def log_in(page: Any, hub: RealHub, person: str) -> None:
    page.goto(f"{hub.url}/services/ai-gateway/")
    page.fill("input[name=username]", person)
    page.fill("input[name=password]", "any")
    page.click("input[type=submit], button[type=submit]")


def look_at_the_page(hub: RealHub, break_it: Any, output: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright, launch(playwright) as browser:
        stranger = browser.new_context().new_page()
        log_in(stranger, hub, "ada")
        expect(stranger.get_by_text("for administrators of the hub")).to_be_visible(timeout=20_000)

        page = browser.new_context(viewport={"width": 1100, "height": 700}).new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        log_in(page, hub, "root")
        row = page.get_by_role("row").filter(has_text="azure/my-r1")
        expect(row).to_contain_text("well", timeout=20_000)
        expect(page.locator("#retirements")).to_contain_text("deepseek-r1 retired on 2026-08-13")
        break_it()
        expect(row).to_contain_text("resting", timeout=20_000)
        expect(row).to_contain_text("answered 500")
        output.mkdir(exist_ok=True)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            expect(page.locator("html")).to_have_attribute("data-bs-theme", re.compile(scheme))
            page.screenshot(path=output / f"gateway_admin_{scheme}.png")
        page.set_viewport_size({"width": 360, "height": 700})
        wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        assert not wide, "the page scrolls sideways on a phone"
        assert complaints == []
        cookies = [each for each in page.context.cookies() if each["name"].startswith("neuralinverse-gateway")]
        # People's own servers are on the same host: they must not be sent an administrator's login.
        assert [(each["path"], each["httpOnly"]) for each in cookies] == [("/services/ai-gateway/", True)]


@pytest.mark.browser
async def test_an_administrator_sees_deployments_and_their_health_live(azure: Azure, tmp_path: Path) -> None:
    async with hub_serving(tmp_path, azure) as hub, aiohttp.ClientSession() as session:
        assert await hub.api(session, "POST", "users/root") in (201, 409)
        token = await hub.token(session, "root")
        loop = asyncio.get_running_loop()

        async def fail() -> None:
            azure.faults = [Fault("500", times=99, deployment="my-r1")]
            for _ in range(5):
                body = {**prompt(), "model": "deepseek-r1"}
                headers = {"Authorization": f"Bearer {token}"}
                async with session.post(f"{hub.gateway}/chat/completions", json=body, headers=headers) as response:
                    assert response.status == 200

        def break_it() -> None:
            asyncio.run_coroutine_threadsafe(fail(), loop).result(30)

        output = Path(__file__).parents[2] / "output"
        await asyncio.to_thread(look_at_the_page, hub, break_it, output)
