"""Any client works at once in a workspace: nothing is set but what every terminal and every kernel has.

A real workspace of ``neuralinverse-hub up``, its gateway and its embedded model; the clients as their authors ship them. VS Code,
``%%ai`` and JupyterLab against the same parts are in ``test_journey.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuralinverse_hub import wire
from tests.e2e import pages
from tests.notebooks import run
from tests.one_machine import OneMachine

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

DEMO = "SmolLM2-135M-Instruct"
CODE = Path(sys.executable).parent

QUESTION = "Explain what a list in Python is"
"""A model of this size says nothing at all to some shorter ones."""

OPENAI_CELL = """
from openai import OpenAI
pieces = list(OpenAI().chat.completions.create(
    model="coding", stream=True, max_tokens=24, messages=[{"role": "user", "content": "Explain what a list in Python is"}]))
print(len(pieces), "pieces from", pieces[0].model)
"""

LANGCHAIN_CELL = """
from langchain_openai import ChatOpenAI
answer = ChatOpenAI(model="general", max_tokens=24).invoke("Explain what a list in Python is")
assert answer.content.strip()
print("answer from", answer.response_metadata["model_name"])
"""


@pytest.fixture(scope="module")
def machine(one_machine: OneMachine, page_of_module: Any) -> OneMachine:
    """With the workspace of a person of this module running."""
    machine = replace(one_machine, user="clara")
    pages.log_in(page_of_module, machine)
    pages.explorer_shows(page_of_module, "WELCOME.md")
    return machine


@pytest.fixture(scope="module")
def page_of_module(browser: Any) -> Any:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def in_terminal(machine: OneMachine, *command: str) -> str:
    """What a command prints that a person types into a terminal of their workspace."""
    environment = machine.environment()
    environment["PATH"] = os.pathsep.join([str(CODE), environment["PATH"]])
    done = subprocess.run(
        command,
        env=environment,
        cwd=machine.folder(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_openai_and_langchain_answer_in_a_kernel_with_nothing_set(machine: OneMachine) -> None:
    environment = machine.environment()
    assert environment["OPENAI_BASE_URL"] == environment[wire.ENV_GATEWAY_URL]
    streamed, whole = run(environment, machine.folder(), OPENAI_CELL, LANGCHAIN_CELL)
    pieces, _, model = streamed.text.partition(" pieces from ")
    assert int(pieces) > 2, "the answer came in one piece"
    assert DEMO in model
    assert DEMO in whole.text


def test_llm_answers_in_a_terminal_without_a_key_or_a_model_named(machine: OneMachine) -> None:
    for model in ([], ["-m", "coding"]):
        assert in_terminal(machine, "llm", *model, QUESTION, "-o", "max_tokens", "24").strip()
    logged = json.loads(in_terminal(machine, "llm", "logs", "--json", "-n", "2"))
    assert sorted(each["model"] for each in logged) == ["auto", "coding"]
