"""What a person does in a browser, as functions: log in, wait for VS Code."""

from __future__ import annotations

from typing import Any

from tests.one_machine import OneMachine

__all__ = ["log_in", "open_vscode"]


def log_in(page: Any, machine: OneMachine, user: str | None = None, password: str | None = None) -> None:
    """Fill in the hub's login form and send it."""
    page.goto(machine.url)
    page.fill("#username_input", user or machine.user)
    page.fill("#password_input", password or machine.password)
    page.click("#login_submit")


def open_vscode(page: Any, timeout_s: float = 90) -> None:
    """Return when VS Code's file explorer shows the workspace folder."""
    page.wait_for_selector(".explorer-folders-view .monaco-list-row", timeout=timeout_s * 1000)
