"""Edits that are proposed as a diff, quick fixes, slash commands and commit messages."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import nbformat
import pytest
import pytest_asyncio
from nbformat.v4 import new_code_cell, new_notebook
from playwright.async_api import expect

from tests.ai_provider.vscode.ide import Editor, Workspace, code_server, until
from tests.ai_provider.vscode.standin import MODEL, TOKEN, Answer, Gateway

_numbers = itertools.count()
"""A file of its own for every attempt."""

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workspace(
    code_server_parts: tuple[Path, Path],
    built_in_extensions: Path,
    running_gateway: Gateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Workspace]:
    """A workspace that is a Git repository."""
    root = tmp_path_factory.mktemp("repository")
    (root / "work").mkdir()
    (root / "work/sum.py").write_text("def add(a, b):\n    return a - b\n", encoding="utf-8")
    git(root / "work", "init", "-q")
    git(root / "work", "add", ".")
    git(root / "work", "commit", "-qm", "Start")
    async with code_server(*code_server_parts, built_in_extensions, root, running_gateway.url, TOKEN) as workspace:
        yield workspace


async def edit(ide: Editor, instruction: str) -> None:
    await ide.run("Neural Inverse: Edit selection")
    await ide.answer_input(instruction)


async def test_an_edit_is_shown_as_a_diff_and_changes_the_file_when_accepted(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    path = workspace.write("clamp.py", "def clamp(x):\n    return x\n\n\nprint(clamp(3))\n")
    gateway.answer = Answer(
        text='Sure:\n\n```python\ndef clamp(x: int) -> int:\n    """x, never below 0."""\n    return max(0, x)\n```'
    )
    await ide.open("clamp.py")
    await ide.page.keyboard.press("Control+Home")
    await ide.page.keyboard.press("Shift+ArrowDown")
    await ide.page.keyboard.press("Shift+ArrowDown")
    await edit(ide, "never below zero, with a docstring")
    message = await ide.notice(f"{MODEL} changed lines 1\N{EN DASH}2 of clamp.py")
    await expect(ide.page.locator(".monaco-diff-editor")).to_be_visible()
    await expect(ide.page.locator(".monaco-diff-editor .modified-in-monaco-diff-editor")).to_contain_text("max(0, x)")
    await ide.shot("edit-diff")
    asked = gateway.asked[-1]["messages"][-1]["content"]
    assert "never below zero, with a docstring" in asked
    await message.get_by_role("button", name="Accept").click()
    await expect(ide.page.locator(".monaco-diff-editor")).to_have_count(0)
    await expect(ide.text).to_contain_text("return max(0, x)")
    await expect(ide.text).to_contain_text("print(clamp(3))")
    await ide.shot("edit-accepted")
    assert path.read_text().startswith("def clamp(x):\n"), "accepting changes the editor; saving stays the person's"


async def test_an_edit_that_is_rejected_leaves_everything_as_it_was(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("keep.py", "keep = True\n")
    gateway.answer = Answer(text="```python\nkeep = False\n```")
    await ide.open("keep.py")
    await ide.select_all()
    await edit(ide, "turn it off")
    await ide.notice("changed line 1 of keep.py")
    await expect(ide.page.locator(".monaco-diff-editor")).to_be_visible()
    await ide.page.keyboard.press("Escape")
    await expect(ide.page.locator(".monaco-diff-editor")).to_have_count(0)
    await expect(ide.text).to_contain_text("keep = True")
    await ide.dismiss()


async def test_a_cell_of_a_notebook_is_edited_in_its_own_language_by_what_the_cells_above_say(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    name = f"cells{next(_numbers)}.ipynb"
    workspace.write(name, nbformat.writes(new_notebook(cells=[new_code_cell("a = 1"), new_code_cell("b = a\nc = 2")])))
    gateway.answer = Answer(text="```python\nb = a + 100\nc = 2\n```")
    await ide.open_notebook(name, cells=2)
    await ide.page.keyboard.press("Control+a")
    await ide.page.keyboard.press("Control+k")
    await ide.page.keyboard.press("e")
    await ide.answer_input("a hundred more")
    message = await ide.notice(f"changed lines 1\N{EN DASH}2 of {name}, cell 2.")
    assert "a = 1" in gateway.asked[-1]["messages"][-1]["content"]
    await expect(ide.page.locator(".squiggly-error")).to_have_count(0)
    await expect(ide.page.locator("[id='status.editor.mode']")).to_contain_text("Python")
    await message.get_by_role("button", name="Accept").click()
    await expect(ide.page.locator(".notebookOverlay .view-lines").last).to_contain_text("b = a + 100")


async def test_an_edit_never_overwrites_what_was_typed_in_the_meantime(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    path = workspace.write("race.py", "speed = 1\n")
    gateway.answer = Answer(text="```python\nspeed = 2\n```")
    await ide.open("race.py")
    await ide.select_all()
    await edit(ide, "faster")
    message = await ide.notice("changed line 1 of race.py")
    path.write_text("mine = 3\n", encoding="utf-8")
    await expect(ide.page.locator(".monaco-diff-editor .original-in-monaco-diff-editor")).to_contain_text("mine = 3")
    await message.get_by_role("button", name="Accept").click()
    await ide.notice("race.py has changed where the edit belongs. Nothing was overwritten")
    await ide.run("Neural Inverse: Reject edit")
    await expect(ide.text).to_contain_text("mine = 3")
    await ide.dismiss()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [("cut", "The connection broke"), ("length", "reached the end of what it can write")],
)
async def test_a_cut_edit_keeps_what_arrived_and_asks(
    ide: Editor, workspace: Workspace, gateway: Gateway, fault: str, sentence: str
) -> None:
    workspace.write("long.py", "a = 0\n")
    gateway.answer = Answer(text="```python\na = 1\nb = 2\nc = 3\nd = 4\ne = 5\n```", fault=fault, word_s=0.03)
    await ide.open("long.py")
    await ide.select_all()
    await edit(ide, "more letters")
    message = await ide.notice(sentence)
    await expect(message).to_contain_text("Accept what arrived?")
    await expect(ide.page.locator(".monaco-diff-editor .modified-in-monaco-diff-editor")).to_contain_text("b =")
    await message.get_by_role("button", name="Reject").click()
    await expect(ide.text).to_contain_text("a = 0")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(fault="empty"), "gave an empty answer"),
        (Answer(text="\n"), "gave an empty answer"),
        (Answer(text="```python\n```"), "answered without any code"),
    ],
    ids=["empty", "blank", "an empty fence"],
)
async def test_an_empty_answer_overwrites_nothing(
    ide: Editor, workspace: Workspace, gateway: Gateway, answer: Answer, sentence: str
) -> None:
    before = "kept = 'as it is'\n"
    path = workspace.write("kept.py", before)
    gateway.answer = answer
    await ide.open("kept.py")
    await ide.select_all()
    await edit(ide, "shorter")
    await ide.notice(sentence)
    await expect(ide.page.locator(".monaco-diff-editor")).to_have_count(0)
    await expect(ide.text).to_contain_text("kept")
    assert path.read_text() == before
    await ide.dismiss()


async def test_a_huge_selection_is_not_replaced_by_an_answer_to_a_part_of_it(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    before = "".join(f"value_{n} = {n}\n" for n in range(60_000))
    path = workspace.write("huge.py", before)
    await ide.open("huge.py")
    await ide.select_all()
    await edit(ide, "double all of them")
    await ide.notice("are too much for one edit: select less")
    assert gateway.asked == []
    await expect(ide.page.locator(".monaco-diff-editor")).to_have_count(0)
    assert path.read_text() == before
    await ide.dismiss()


async def test_a_read_only_file_is_not_edited(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    workspace.write("fixed.py", "pi = 3\n").chmod(0o444)
    await ide.open("fixed.py")
    await ide.select_all()
    await edit(ide, "more digits")
    await ide.notice("fixed.py is read-only and cannot be edited")
    assert gateway.asked == []
    await ide.dismiss()


async def test_an_edit_that_takes_too_long_can_be_cancelled_and_stops_the_model(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("patient.py", "calm = 1\n")
    gateway.answer = Answer(text="```python\ncalm = 2\n```", wait_s=120)
    await ide.open("patient.py")
    await ide.select_all()
    await edit(ide, "calmer")
    message = await ide.notice("Editing line 1 of patient.py")
    await message.get_by_role("button", name="Cancel").click()
    await expect(ide.page.locator(".notification-toast")).to_have_count(0)

    async def stopped() -> None:
        await asyncio.sleep(0.1)
        assert gateway.dropped == 1

    await until(stopped)
    await expect(ide.page.locator(".monaco-diff-editor")).to_have_count(0)
    await expect(ide.text).to_contain_text("calm = 1")


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("status:503", "No model is set up: the operator has to name one"),
        ("away", "does not answer"),
        ("too-long:100", "more text than the model can take. Select less"),
    ],
    ids=["no model", "away", "too long"],
)
async def test_an_edit_that_gets_no_answer_is_said_where_it_was_asked(
    ide: Editor, workspace: Workspace, gateway: Gateway, fault: str, sentence: str
) -> None:
    gateway.answer = Answer(fault=fault)
    await ide.open("sum.py")
    await ide.select_all()
    await edit(ide, "anything")
    await ide.notice(sentence)
    await expect(ide.page.locator(".monaco-diff-editor")).to_have_count(0)
    await ide.dismiss()


async def test_a_quick_fix_proposes_an_edit_for_the_problem(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("broken.json", '{\n  "a": 1,\n  "b": \n}\n')
    gateway.answer = Answer(text='```json\n{\n  "a": 1,\n  "b": 2\n}\n```')
    fix = (await ide.quick_fixes("broken.json")).filter(has_text="Fix with Neural Inverse")
    await expect(fix).to_be_visible()
    await ide.shot("quick-fix")
    await fix.click()
    await ide.notice("changed lines")
    asked = gateway.asked[-1]["messages"][-1]["content"]
    assert "Value expected" in asked, "the problem goes with the code"
    await ide.page.keyboard.press("Control+Enter")
    await expect(ide.page.locator(".monaco-diff-editor")).to_have_count(0)
    await expect(ide.text).to_contain_text('"b": 2')
    await ide.dismiss()


@pytest.mark.parametrize(
    ("command", "instruction"),
    [
        ("explain", "Explain what"),
        ("fix", "Find what is wrong"),
        ("tests", "Write unit tests"),
        ("docs", "documentation"),
    ],
)
async def test_a_slash_command_gives_its_instruction(
    ide: Editor, workspace: Workspace, gateway: Gateway, command: str, instruction: str
) -> None:
    gateway.answer = Answer(text=f"Answer to {command}.")
    await ide.open("sum.py")
    await ide.select_all()
    await ide.open_chat()
    await ide.page.keyboard.type(f"/{command} please", delay=20)
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text(f"Answer to {command}.", timeout=30_000)
    asked = gateway.asked[-1]
    assert asked["model"] == "coding"
    assert instruction in asked["messages"][-1]["content"]
    assert "return a - b" in asked["messages"][-1]["content"]


async def test_a_question_about_a_file_takes_the_problems_in_it_along(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("missing.json", '{"b": }\n')
    gateway.answer = Answer(text="A value is missing.")
    await ide.open("missing.json")
    await expect(ide.page.locator(".squiggly-error").first).to_be_visible(timeout=30_000)
    await ide.open_chat()
    await ide.page.keyboard.type("/fix please", delay=20)
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("A value is missing.", timeout=30_000)
    assert "line 1: Value expected" in gateway.asked[-1]["messages"][-1]["content"]


async def test_a_commit_message_is_written_for_what_is_staged(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("sum.py", "def add(a, b):\n    return a + b\n")
    workspace.write(".env", "KEY=abc-secret-value\n")
    git(workspace.folder, "add", "sum.py", ".env")
    workspace.write("sum.py", "def add(a, b):\n    return a + b  # not staged\n")
    gateway.answer = Answer(text="```\nAdd instead of subtracting\n```")
    await ide.run("Source Control: Focus on Changes View")
    box = ide.page.locator(".scm-editor .view-lines").first
    await expect(box).to_be_visible(timeout=30_000)
    await ide.run("Neural Inverse: Write commit message")
    await expect(box).to_contain_text("Add instead of subtracting", timeout=30_000)
    await ide.shot("commit-message")
    asked = gateway.last()
    assert "return a + b" in asked
    assert "not staged" not in asked
    assert "abc-secret-value" not in asked
    assert "Add instead" not in git(workspace.folder, "log"), "committing stays the person's"


async def test_a_commit_message_for_more_than_the_model_can_take_is_written_for_a_part(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    git(workspace.folder, "reset", "-q")
    workspace.write("many.py", "".join(f"value_{n} = {n}\n" for n in range(2_000)))
    git(workspace.folder, "add", "many.py")
    gateway.answer = Answer(text="Add many values", fault="too-long:6000")
    await ide.run("Source Control: Focus on Changes View")
    await ide.run("Neural Inverse: Write commit message")
    replace = ide.page.get_by_role("button", name="Replace", exact=True)
    box = ide.page.locator(".scm-editor .view-lines").first
    await expect(replace.or_(box.filter(has_text="Add many values"))).to_be_visible(timeout=30_000)
    if await replace.is_visible():
        await replace.click()
    await expect(box).to_contain_text("Add many values", timeout=30_000)
    assert len(gateway.asked) > 1
    git(workspace.folder, "reset", "-q")


async def test_a_commit_message_that_cannot_be_written_leaves_the_box_as_it_was(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("sum.py", "def add(a, b):\n    return b + a\n")
    git(workspace.folder, "add", "sum.py")
    await ide.run("Source Control: Focus on Changes View")
    box = ide.page.locator(".scm-editor .view-lines").first
    await expect(box).to_be_visible(timeout=30_000)
    await box.click()
    await ide.page.keyboard.press("Control+a")
    await ide.page.keyboard.type("My own words")
    gateway.answer = Answer(fault="away")
    await ide.run("Neural Inverse: Write commit message")
    await ide.page.get_by_role("button", name="Replace", exact=True).click()
    await ide.notice("does not answer")
    await expect(box).to_contain_text("My own words")
    await ide.dismiss()
