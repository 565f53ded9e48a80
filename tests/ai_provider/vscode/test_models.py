"""The gateway's models in VS Code's own language-model API and model picker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.ai_provider.vscode.ide import Editor, Workspace, code_server, with_extension
from tests.ai_provider.vscode.standin import TOKEN, Answer, Gateway

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workspace(
    code_server_parts: tuple[Path, Path],
    built_in_extensions: Path,
    running_gateway: Gateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Workspace]:
    """A workspace with one more extension, which uses our models as any other extension can."""
    root = tmp_path_factory.mktemp("models")
    extensions = with_extension(built_in_extensions, Path(__file__).parent / "caller", root / "extensions")
    async with code_server(*code_server_parts, extensions, root, running_gateway.url, TOKEN) as workspace:
        yield workspace


def call(arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}


async def test_a_tool_call_goes_to_the_caller_and_its_result_back_to_the_model(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    def reply(body: dict[str, Any]) -> Answer:
        if body["messages"][-1]["role"] == "tool":
            return Answer(text="Seven degrees.")
        return Answer(text="", tool_calls=[call('{"city": "Oslo"}')])

    gateway.reply = reply
    await ide.run("Caller: Ask with a tool")
    await expect(ide.text).to_contain_text("Seven degrees.", timeout=30_000)
    await expect(ide.text).to_contain_text('call weather {"city":"Oslo"}')
    await expect(ide.text).to_contain_text("model Coding, tokens 20")
    first, second = gateway.asked
    assert first["model"] == "coding"
    assert first["tools"][0]["function"]["parameters"]["properties"] == {"city": {"type": "string"}}
    assert second["messages"][-2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Oslo"}'}
    assert second["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "It is 7 degrees in Oslo.",
    }


async def test_a_tool_call_that_is_no_json_is_said_and_not_run(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    gateway.answer = Answer(text="", tool_calls=[call('{"city": ')])
    await ide.run("Caller: Ask with a tool")
    await expect(ide.text).to_contain_text("arguments that are not valid JSON, so it was not run", timeout=30_000)
    assert len(gateway.asked) == 1


async def test_a_failure_reaches_the_caller_as_a_sentence(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    gateway.answer = Answer(fault="status:503")
    await ide.run("Caller: Ask with a tool")
    await expect(ide.text).to_contain_text("error No model is set up", timeout=30_000)


async def test_the_model_picker_lists_the_gateways_models_and_the_participant_uses_the_picked_one(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    await ide.open_chat()
    picker = ide.page.locator(".chat-input-toolbars [aria-label*='Model']").first
    await picker.click()
    offered = ide.page.locator(".chat-model-picker-dropdown")
    await offered.locator(".monaco-list-row", has_text="Other Models").click()
    for name in ("Auto", "Coding", "llama-4"):
        await expect(offered).to_contain_text(name)
    await ide.shot("model-picker")
    await offered.locator(".monaco-list-row", has_text="llama-4").first.click()
    gateway.answer = Answer(text="Picked words.")
    await ide.open_chat()
    await ide.page.keyboard.type("who are you")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("Picked words.", timeout=30_000)
    assert gateway.asked[-1]["model"] == "llama-4"
