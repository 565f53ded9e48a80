"""What a person does in a browser, as functions: log in, use VS Code, chat in JupyterLab."""

from __future__ import annotations

from typing import Any

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
    page.keyboard.press("F1")
    box = page.locator(".quick-input-widget input.input")
    expect(box).to_be_visible()
    box.fill(f">{title}")
    expect(page.locator(".quick-input-list .monaco-list-row").first).to_contain_text(title)
    page.keyboard.press("Enter")


def ask_selection(page: Any, question: str) -> Any:
    """Ask about what is selected in the editor; returns the place where the answer appears."""
    run_command(page, "Ask Neural Inverse")
    box = page.locator(".quick-input-widget input.input")
    expect(box).to_be_visible()
    box.fill(question)
    page.keyboard.press("Enter")
    return page.locator(".interactive-response").last


def chat(page: Any, question: str) -> Any:
    """Ask ``@neuralinverse`` in VS Code's chat; returns the place where the answer appears."""
    run_command(page, "Neural Inverse: Open chat")
    prompt = page.locator(".chat-input-container .monaco-editor").last
    expect(prompt).to_contain_text("@neuralinverse")
    answers = page.locator(".interactive-response")
    before = answers.count()
    page.keyboard.type(question)
    page.keyboard.press("Enter")
    expect(answers).to_have_count(before + 1, timeout=30_000)
    return answers.last


def lab_chat(page: Any, url: str, question: str) -> Any:
    """Ask the default persona in a JupyterLab chat at ``url``; returns the last message's place."""
    page.goto(url)
    page.locator(".jp-jai-personaControls-persona:visible").first.wait_for(timeout=120_000)
    page.locator(".jp-chat-input-container [contenteditable], .jp-chat-input-container textarea").first.click()
    page.keyboard.type(question)
    page.keyboard.press("Enter")
    expect(page.locator(".jp-chat-message")).to_have_count(2, timeout=30_000)
    return page.locator(".jp-chat-message").last
