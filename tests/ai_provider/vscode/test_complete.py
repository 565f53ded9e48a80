"""Ghost text while typing."""

from __future__ import annotations

import itertools
import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.async_api import Browser, expect

from tests.ai_provider.vscode.ide import Editor, Workspace, editor
from tests.ai_provider.vscode.standin import Answer, Gateway

_numbers = itertools.count()
"""A file of its own for every attempt: what is typed and not saved stays in the editor."""

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_ghost_text_is_accepted_with_tab(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    workspace.write("prices.py", "def total_price(items):\n    return sum(item.price for item in items)\n")
    name = f"weights{next(_numbers)}.py"
    workspace.write(name, "def total_weight(items):\n    \n")
    gateway.completion = "eturn sum(item.weight for item in items)"
    await ide.open("prices.py")
    await ide.open(name)
    await ide.page.keyboard.press("Control+End")
    await ide.page.keyboard.press("ArrowUp")
    await ide.page.keyboard.press("End")
    await ide.page.keyboard.type("r")
    await expect(ide.ghost.filter(has_text="item.weight")).to_be_visible(timeout=30_000)
    await ide.shot("ghost-text")
    request = gateway.completions[-1]
    assert request["model"] == "coding"
    assert "# From prices.py:" in request["prompt"], "a neighbouring open file gives context"
    sent = len(gateway.completions)
    await ide.page.keyboard.type("eturn")
    await expect(ide.ghost.filter(has_text="item.weight")).to_be_visible()
    assert len(gateway.completions) == sent, "typing what is suggested asks nothing"
    await ide.page.keyboard.press("Tab")
    await expect(ide.text).to_contain_text("return sum(item.weight for item in items)")
    await expect(ide.ghost).to_have_count(0)


async def test_no_secret_goes_along_from_the_file_or_its_neighbours_and_it_comes_back_in_the_suggestion(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    number = next(_numbers)
    workspace.write(".env", "SERVICE_KEY=sk-very-secret-123\n")
    workspace.write(f"near{number}.py", 'def connect_orders():\n    return connect("orders", "sk-very-secret-123")\n')
    workspace.write(
        f"here{number}.py", 'KEY = "sk-very-secret-123"\n\ndef connect_orders_again():\n    return connect("orders", \n'
    )
    gateway.completion = '"<SERVICE_KEY from .env>")'
    await ide.open(".env")
    await ide.open(f"near{number}.py")
    await ide.open(f"here{number}.py")
    await ide.page.keyboard.press("Control+End")
    await ide.page.keyboard.press("ArrowUp")
    await ide.page.keyboard.press("End")
    await ide.page.keyboard.type(" ")
    await expect(ide.ghost.filter(has_text="sk-very-secret-123")).to_be_visible(timeout=30_000)
    asked = json.dumps(gateway.completions)
    assert f"From near{number}.py:" in asked
    assert "<SERVICE_KEY from .env>" in asked
    assert "sk-very-secret-123" not in asked
    await ide.page.keyboard.press("Escape")


async def test_a_notebooks_cell_is_completed_from_the_cells_above_it(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    name = f"cells{next(_numbers)}.ipynb"
    cells = [new_code_cell("orders = load('orders')\n"), new_markdown_cell("# Heading"), new_code_cell("paid = ")]
    workspace.write(name, nbformat.writes(new_notebook(cells=cells)))
    gateway.completion = "[each for each in orders if each.paid]"
    await ide.open_notebook(name, cells=2)
    await ide.page.keyboard.type(" ")
    await expect(ide.page.locator(".notebookOverlay .ghost-text-decoration", has_text="each.paid")).to_be_visible()
    assert gateway.completions[-1]["prompt"].endswith("orders = load('orders')\n\n\npaid =  ")
    assert "Heading" not in gateway.completions[-1]["prompt"]
    await ide.page.keyboard.press("Tab")
    await expect(ide.page.locator(".notebookOverlay .view-lines").last).to_contain_text("each.paid")


@pytest.mark.parametrize("upstream_s", [0.0, 0.5], ids=["before", "after"])
async def test_ghost_text_comes_before_or_after_the_list_of_words(
    ide: Editor, workspace: Workspace, gateway: Gateway, upstream_s: float
) -> None:
    name = f"letters{next(_numbers)}.rb"
    workspace.write(name, "letter.sincerely\n\n")
    gateway.line = "sincerely(with: all_my_heart)"
    gateway.completion_s = upstream_s
    await ide.open(name)
    await ide.page.keyboard.press("Control+End")
    await ide.page.keyboard.type("sin")
    await expect(ide.ghost.filter(has_text="all_my_heart")).to_be_visible()


NEVER_IDLE = """
const idle = window.requestIdleCallback.bind(window);
window.requestIdleCallback = (run, options) => (options?.timeout >= 5000 ? 0 : idle(run, options));
"""
"""A window that is so busy that what VS Code leaves for later, the making of an editor's suggestions, is not done."""


async def test_who_types_into_a_new_editor_of_a_busy_window_and_waits_is_suggested_something(
    workspace: Workspace, gateway: Gateway, browser: Browser
) -> None:
    name = f"early{next(_numbers)}.py"
    workspace.write(name, "# early\n")
    async with editor(browser, workspace.url, None, NEVER_IDLE) as ide:
        await ide.open(name)
        assert gateway.completions == [], "opening a file asks nothing"
        for number in range(4):
            if number:
                await ide.page.keyboard.press("Control+Backslash")
                await expect(ide.page.locator(".editor-instance .monaco-editor")).to_have_count(number + 1)
            gateway.completion = f"suggested_{number}"
            await ide.page.keyboard.press("Control+End")
            await ide.page.keyboard.type(f"value_{number} = ")
            await expect(ide.ghost.filter(has_text=f"suggested_{number}")).to_be_visible(timeout=15_000)
            await ide.page.keyboard.press("Tab")
            await ide.page.keyboard.press("Enter")


async def test_nothing_is_completed_in_the_chat_box_or_in_a_secret_file(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    gateway.completion = "COMPLETED"
    gateway.answer = Answer(text="Fine words.")
    workspace.write(".env", "KEY=abc\n")
    await ide.open(".env")
    await ide.page.keyboard.press("Control+End")
    await ide.page.keyboard.type("OTHER=")
    await ide.open_chat()
    await ide.page.keyboard.type("how are you today", delay=40)
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("Fine words.", timeout=30_000)
    prompts = [each["prompt"] for each in gateway.completions]
    assert not [prompt for prompt in prompts if "OTHER" in prompt or "how are" in prompt]


async def test_a_gateway_away_while_typing_is_said_in_the_status_bar_only(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    gateway.has_completions = False
    gateway.answer = Answer(fault="status:503")
    workspace.write("calm.py", "value = 1\n")
    await ide.open("calm.py")
    await ide.page.keyboard.press("Control+End")
    await ide.page.keyboard.type("other = ")
    await expect(ide.text).to_contain_text("other =")
    await expect(ide.status).to_have_attribute("aria-label", re.compile("Suggestions while typing are paused"))
    await expect(ide.page.locator(".notification-toast")).to_have_count(0)
