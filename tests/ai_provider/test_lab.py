"""The chat of a real JupyterLab in a real browser."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.ai_provider.lab import Lab, free_port, listens
from tests.ai_provider.standin import WHO, StandIn

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

LOAD_MS = 60_000
"""Lab's first load compiles a lot on a small machine."""


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    standin = StandIn()
    yield standin
    standin.stop()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, standin: StandIn) -> Iterator[Lab]:
    started = Lab(tmp_path_factory.mktemp("home"), standin.environment())
    yield started
    started.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install chromium to run the browser tests")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def open_chat(page: Page, lab: Lab, name: str) -> None:
    (lab.folder / name).write_text("{}")
    page.goto(lab.page(name))
    page.locator(".jp-jai-personaControls-persona:visible").first.wait_for(timeout=LOAD_MS)


def say(page: Page, words: str) -> None:
    page.locator(".jp-chat-input-container [contenteditable], .jp-chat-input-container textarea").first.click()
    page.keyboard.type(words)
    page.keyboard.press("Enter")


def choose(page: Page, model: str) -> None:
    page.locator(".jp-jai-personaControls-control-btn:visible").last.click()
    page.locator("[role=menuitem], [role=option]").filter(has_text=re.compile(f"^{model}")).click()


@pytest.mark.browser
def test_the_chat_answers_with_our_persona_without_being_set_up(page: Page, lab: Lab, standin: StandIn) -> None:
    open_chat(page, lab, "first.chat")
    expect(page.locator(".jp-jai-personaControls-persona:visible")).to_have_text("Neural Inverse")
    say(page, "Hello there")
    answer = page.locator(".jp-chat-message").last
    expect(answer).to_contain_text("Hello from the gateway. Grüße")
    expect(answer).to_contain_text(f"— {WHO} · coding")
    say(page, "And now?")
    expect(page.locator(".jp-chat-message")).to_have_count(4)
    expect(page.locator(".jp-chat-message").last).to_contain_text(f"— {WHO} · coding")
    messages = standin.asked[-1]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"].endswith("世界"), "the signature is not part of what the model said"
    assert standin.environment()["JUPYTERHUB_API_TOKEN"] not in page.content()


@pytest.mark.browser
def test_the_picker_switches_the_task_and_an_error_is_a_short_message(page: Page, lab: Lab, standin: StandIn) -> None:
    open_chat(page, lab, "second.chat")
    choose(page, "reasoning")
    say(page, "Why?")
    expect(page.locator(".jp-chat-message").last).to_contain_text(f"— {WHO} · reasoning")
    assert standin.asked[-1]["model"] == "reasoning"
    standin.fail_next = "cut"
    say(page, "Break")
    answer = page.locator(".jp-chat-message").last
    expect(answer).to_contain_text("The answer broke off")
    expect(answer).to_contain_text("The first half")
    expect(answer).not_to_contain_text("Traceback")


@pytest.mark.browser
def test_the_stop_button_stops_the_model_and_keeps_what_came(page: Page, lab: Lab, standin: StandIn) -> None:
    open_chat(page, lab, "third.chat")
    standin.fail_next = "stall"
    say(page, "Go on")
    expect(page.locator(".jp-chat-message").last).to_contain_text("The first half")
    page.locator(".jp-jai-stopButton").click()
    expect(page.locator(".jp-chat-message").last).to_contain_text("Stopped. What came is kept.")
    expect(page.get_by_text("The first half")).to_be_visible()
    assert standin.left == ["stall"]


@pytest.mark.parametrize("ours", [True, False])
def test_the_server_that_asks_nobody_for_a_token_is_off(tmp_path: Path, ours: bool) -> None:
    port = free_port()
    lab = Lab(tmp_path, {}, f"--MCPExtensionApp.mcp_port={port}", ours=ours)
    try:
        assert ("jupyter_server_mcp | extension was successfully loaded" in lab.log()) != ours
        deadline = time.monotonic() + (0 if ours else 15)
        while not listens(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert listens(port) != ours
    finally:
        lab.stop()
