"""The first minute in a workspace: the welcome file, the status bar, and a gateway that is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from neuralinverse_hub import wire
from tests.ai_provider.vscode.ide import code_server, editor, until
from tests.ai_provider.vscode.standin import TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NOBODY = "http://127.0.0.1:9/v1"
"""Port 9 of the loopback interface: nothing listens there."""


async def test_the_first_start_shows_the_welcome_file_and_a_gateway_away_is_said(
    code_server_parts: tuple[Path, Path],
    built_in_extensions: Path,
    browser: Browser,
    tmp_path: Path,
    shots: Path | None,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "WELCOME.md").write_text("# Welcome\n\nAsk about anything.\n", encoding="utf-8")
    async with code_server(*code_server_parts, built_in_extensions, tmp_path, NOBODY, TOKEN) as workspace:
        async with editor(browser, workspace.url, shots) as ide:
            text = ide.page.locator(".editor-instance .view-lines")
            await expect(text).to_contain_text("Ask about anything.", timeout=30_000)
            await expect(ide.page.locator(".editor-instance .monaco-editor.focused")).to_be_visible()
            await ide.shot("welcome")
            await ide.page.keyboard.type("typed here: ")
            await expect(text).to_contain_text("typed here: # Welcome")
            await ide.page.keyboard.press("Control+z")
            # Somebody works here, and the workspace's server can see it.
            active = workspace.state / wire.ACTIVE_FILE
            await until(lambda: exists(active))

            workspace.sync()
            await expect(ide.status).to_contain_text("Protected")
            await expect(ide.status).to_contain_text("Neural Inverse")
            workspace.sync(state="saving", pending=3)
            await expect(ide.status).to_contain_text("Saving")
            workspace.sync(state="restoring")
            await expect(ide.status).to_contain_text("Restoring")
            error = "The git host does not answer; it is tried again in 5 s."
            workspace.sync(
                state="behind", pending=3, error=error, not_protected=[{"path": "big.bin", "reason": "too large"}]
            )
            await expect(ide.status).to_contain_text("Behind")
            await ide.status.hover()
            await expect(ide.page.locator(".monaco-hover-content")).to_contain_text(error)
            await ide.shot("behind")
            await ide.status.click()
            details = ide.page.locator(".quick-input-list")
            await expect(details).to_contain_text(error)
            await expect(details).to_contain_text("Not protected: too large")
            await ide.shot("details")
            await ide.page.keyboard.press("Escape")

            await ide.open_chat()
            await ide.page.keyboard.type("hello")
            await ide.page.keyboard.press("Enter")
            await expect(ide.answer).to_contain_text(f"does not answer at {NOBODY}", timeout=30_000)
            await ide.shot("gateway-away")

        (work / "WELCOME.md").write_text("# Welcome again\n", encoding="utf-8")
        async with editor(browser, workspace.url, shots) as ide:
            # Another browser knows nothing of the first one, and still the welcome is not repeated.
            await expect(ide.page.locator(".explorer-folders-view")).to_contain_text("WELCOME.md")
            await expect(ide.page.locator(".editor-group-container.empty")).to_be_visible()
            await ide.run("Neural Inverse: Open chat")
            await expect(ide.prompt).to_contain_text("@neuralinverse")
            await expect(ide.page.locator(".editor-group-container.empty")).to_be_visible()


async def exists(path: Path) -> None:
    await asyncio.sleep(0.1)
    assert await asyncio.to_thread(path.exists)
