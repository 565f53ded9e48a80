"""What a person does in a browser, as functions: log in, use VS Code, chat in JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import TimeoutError as PlaywrightTimeout
from playwright.sync_api import expect

from tests.one_machine import OneMachine, eventually

__all__ = ["ask_selection", "chat", "come_back", "explorer_shows", "lab_chat", "log_in", "run_command"]


def log_in(page: Any, machine: OneMachine, user: str | None = None, password: str | None = None) -> None:
    """Fill in the hub's login form and send it."""
    page.goto(machine.url)
    page.fill("#username_input", user or machine.user)
    page.fill("#password_input", password or machine.password)
    page.click("#login_submit")


def explorer_shows(page: Any, name: str = "", timeout_s: float = 120) -> None:
    """Return when VS Code's file explorer shows ``name``, or anything."""
    row = page.locator(".explorer-folders-view .monaco-list-row").filter(has_text=name).first
    expect(row).to_be_visible(timeout=timeout_s * 1000)


def come_back(page: Any, url: str, timeout_s: float = 30) -> None:
    """Open ``url`` of a workspace that died, and reload while the hub has not noticed yet, as a person would."""
    eventually("the hub starting the workspace again", lambda: page.goto(url).status != 503, timeout_s)


def run_command(page: Any, title: str) -> None:
    """Run a command from VS Code's palette by its title."""
    box = page.locator(".quick-input-widget input.input")
    row = page.locator(".quick-input-list .monaco-list-row").first

    def offered() -> None:
        # A list that is just closing, or a workbench that is still building itself, may take the key and the text.
        if not box.is_visible():
            page.keyboard.press("F1")
        box.fill(f">{title}", timeout=5_000)
        expect(row).to_contain_text(title, timeout=5_000)

    _until(offered)
    page.keyboard.press("Enter")


def ask_selection(page: Any, question: str) -> Any:
    """Ask about what is selected in the editor; returns the place where the answer appears."""
    run_command(page, "Ask Neural Inverse")
    box = page.locator(".quick-input-widget input.input")
    # The palette's box looks the same, and closes in this moment: what ends with a question mark is ours.
    expect(box).to_have_attribute("placeholder", re.compile(r"\?$"), timeout=30_000)
    box.fill(question)
    page.keyboard.press("Enter")
    return page.locator(".interactive-response").last


def chat(page: Any, question: str) -> Any:
    """Ask ``@neuralinverse`` in VS Code's chat; returns the place where the answer appears."""
    answers = page.locator(".interactive-response")
    before = answers.count()

    def written() -> None:
        # The command puts the name into the prompt and the keyboard behind it, in steps; a key that comes between them
        # is lost. Nobody sends a question that is not there, so it is looked at before Enter, and typed again.
        run_command(page, "Neural Inverse: Open chat")
        expect(page.locator(".chat-input-container .monaco-editor.focused")).to_be_visible(timeout=15_000)
        prompt = page.locator(".chat-input-container .monaco-editor .view-lines").last
        expect(prompt).to_contain_text("@neuralinverse", timeout=15_000)
        page.keyboard.type(question)
        # Lines of an editor are shown with no-break spaces.
        expect(prompt).to_have_text(re.compile(rf"^@neuralinverse\s+{_spaced(question)}$"), timeout=5_000)

    _until(written)
    page.keyboard.press("Enter")
    expect(answers).to_have_count(before + 1, timeout=60_000)
    return answers.last


def _spaced(text: str) -> str:
    """A pattern of ``text`` with any white space between its words."""
    return r"\s+".join(map(re.escape, text.split()))


def _until(attempt: Callable[[], None], attempts: int = 4) -> None:
    """Do ``attempt``, again when the page was not ready for it; fails as it failed last."""
    for left in reversed(range(attempts)):
        try:
            return attempt()
        except (AssertionError, PlaywrightTimeout):
            if not left:
                raise


def lab_chat(page: Any, url: str, question: str) -> Any:
    """Ask the default persona in a JupyterLab chat at ``url``; returns the last message's place."""
    page.goto(url)
    page.locator(".jp-jai-personaControls-persona:visible").first.wait_for(timeout=120_000)
    prompt = page.locator(".jp-chat-input-container textarea").first
    prompt.click()
    page.keyboard.type(question)
    expect(prompt).to_have_value(question)
    page.keyboard.press("Enter")
    expect(page.locator(".jp-chat-message")).to_have_count(2, timeout=60_000)
    return page.locator(".jp-chat-message").last
