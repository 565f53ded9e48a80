"""Real kernels, started as a workspace starts them: nothing but the startup file, a home and the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.notebooknode import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from ai_provider import kernel_startup
from tests.ai_provider.standin import WHO, StandIn
from tests.ai_provider.words import counted

HELLO = "Hello from **the** gateway. Grüße, 世界"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Recording(NotebookClient):
    """Keeps each message that changed an output."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shown: list[dict[str, Any]] = []
        self.on_output: Callable[[dict[str, Any]], None] | None = None

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        if msg["msg_type"] in ("display_data", "update_display_data"):
            self.shown.append(msg["content"])
            if self.on_output is not None:
                self.on_output(msg["content"])
        shown: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return shown


class Workspace:
    """A home with our startup file in it, and the environment of a workspace."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        kernel_startup.install(home)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NEURALINVERSE_", "JUPYTER", "IPYTHON"))
        }
        self.home = home
        self.environment = {**kept, "HOME": str(home), **environment}

    def run(
        self,
        *sources: str,
        on_output: Callable[[Recording, dict[str, Any]], None] | None = None,
        allow_errors: bool = False,
    ) -> Recording:
        notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
        client = Recording(notebook, kernel_name="python3", timeout=60, allow_errors=allow_errors)
        if on_output is not None:
            client.on_output = lambda content: on_output(client, content)
        client.execute(cwd=str(self.home), env=self.environment)
        return client

    def fails(self, *sources: str) -> tuple[str, NotebookNode]:
        """The sentence the last cell fails with, and the notebook."""
        notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
        client = NotebookClient(notebook, kernel_name="python3", timeout=60)
        with pytest.raises(CellExecutionError):
            client.execute(cwd=str(self.home), env=self.environment)
        errors = [output for output in notebook.cells[-1].outputs if output.output_type == "error"]
        assert len(errors) == 1
        assert "Traceback" not in "".join(errors[0].traceback)
        return str(errors[0].evalue), notebook


@pytest.fixture
def workspace(tmp_path: Path, gateway: StandIn) -> Workspace:
    return Workspace(tmp_path, gateway.environment())


def texts(notebook: NotebookNode, cell: int = -1) -> list[str]:
    return [output.data["text/plain"] for output in notebook.cells[cell].outputs if "data" in output]


def test_an_answer_grows_in_the_output_and_names_who_gave_it(workspace: Workspace, gateway: StandIn) -> None:
    done = workspace.run('%%ai\nSay {hello} to {"json": [1]} and {}')
    growing = [content["data"]["text/markdown"] for content in done.shown[:-1]]
    assert len(growing) > 3
    assert all(later.startswith(earlier) for earlier, later in pairwise(growing))
    assert texts(done.nb) == [HELLO, f"{WHO} · coding"]
    assert gateway.asked[0]["model"] == "auto"
    assert gateway.asked[0]["stream"] is True
    assert gateway.asked[0]["messages"] == [{"role": "user", "content": 'Say {hello} to {"json": [1]} and {}'}]


def test_the_first_line_names_a_task_or_a_model(workspace: Workspace, gateway: StandIn) -> None:
    workspace.run("%%ai reasoning\nWhy?", "%%ai llama-4 -f text\nHow?")
    assert [asked["model"] for asked in gateway.asked] == ["reasoning", "llama-4"]


def test_list_and_help_say_what_there_is(workspace: Workspace) -> None:
    done = workspace.run("%ai list", "%ai help", "%ai")
    assert f"auto           task       {WHO}" in texts(done.nb, 0)[0]
    assert "-f json" in done.nb.cells[1].outputs[0].text
    assert done.nb.cells[1].outputs == done.nb.cells[2].outputs


BAD_CELLS = [
    (
        "%%ai coder\nHi",
        "There is no task or model 'coder'; known: auto, reasoning, coding, general, deepseek-r1, llama-4",
    ),
    ("%%ai -f xml\nHi", "There is no format 'xml'; known: markdown, text, code, html, json, math."),
    ("%%ai -f\nHi", "-f needs a format: markdown"),
    ("%%ai --api-key x\nHi", "There is no option '--api-key'; known: -f FORMAT, --vars."),
    ("%%ai write a poem\nHi", "After %%ai comes one task or model, not 'write a poem'."),
    ("%%ai 'auto\nHi", "cannot be read: No closing quotation"),
    ("%%ai\n   \n", "The prompt is empty."),
    ("%ai models", "There is no %ai 'models'; known: list, fix, history, reset, help."),
    ("%ai fix", "There is nothing to fix"),
    ("%%ai refusing\nHi", "This model takes no questions today."),
    ("%%ai nothing\nHi", "returned an empty answer"),
]


def test_what_cannot_be_answered_fails_its_cell_with_one_sentence(workspace: Workspace) -> None:
    done = workspace.run(*(source for source, _ in BAD_CELLS), allow_errors=True)
    for cell, (source, sentence) in zip(done.nb.cells, BAD_CELLS, strict=True):
        errors = [output for output in cell.outputs if output.output_type == "error"]
        assert len(errors) == 1, source
        assert sentence in errors[0].evalue
        assert len(errors[0].traceback) == 1


@pytest.mark.parametrize(
    "environment", [{}, {"NEURALINVERSE_GATEWAY_URL": "http://127.0.0.1:9/v1", "JUPYTERHUB_API_TOKEN": "t"}]
)
def test_a_gateway_that_is_away_fails_the_cell_with_one_sentence(tmp_path: Path, environment: dict[str, str]) -> None:
    said, _ = Workspace(tmp_path, environment).fails("%%ai\nHi")
    assert said.startswith(
        "There is no AI gateway here" if not environment else "The AI gateway at http://127.0.0.1:9/v1 does not answer"
    )


@pytest.mark.parametrize("model", ["cut", "failing"])
def test_an_answer_that_breaks_off_stays_in_the_output(workspace: Workspace, model: str) -> None:
    said, notebook = workspace.fails(f"%%ai {model}\nHi")
    assert said.startswith("The answer broke off")
    assert texts(notebook) == ["The first half", f"{WHO} · general · not complete"]


@pytest.mark.parametrize(
    "source", ["%%ai stall\nHi", "get_ipython().run_cell_magic('ai', 'stall', 'Hi')"], ids=["cell", "called by code"]
)
def test_an_interrupt_stops_the_model_and_keeps_what_came(workspace: Workspace, gateway: StandIn, source: str) -> None:
    def interrupt(client: Recording, content: dict[str, Any]) -> None:
        if content["data"].get("text/plain") == "The first half" and len(client.shown) == 1:
            os.kill(client.km.provisioner.pid, 2)

    done = workspace.run(source, "print('still here')", on_output=interrupt, allow_errors=True)
    first, second = done.nb.cells
    assert [output.evalue for output in first.outputs if output.output_type == "error"] == [
        "Interrupted. What came is kept."
    ]
    assert texts(done.nb, 0) == ["The first half", f"{WHO} · general · not complete"]
    assert second.outputs[0].text == "still here\n"
    deadline = time.monotonic() + 5
    while gateway.left != ["stall"] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gateway.left == ["stall"]


def test_an_interrupt_before_the_answer_begins_leaves_the_kernel_usable(workspace: Workspace, gateway: StandIn) -> None:
    sources = [
        "import asyncio, os, signal\nasyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), signal.SIGINT)",
        "%%ai silent\nHi",
        "%%ai\nHi",
    ]
    done = workspace.run(*sources, allow_errors=True)
    assert "Interrupted before the answer began." in done.nb.cells[1].outputs[0].evalue
    assert texts(done.nb, 2)[0] == HELLO


def test_a_cell_may_be_asked_again_after_it_failed(workspace: Workspace, gateway: StandIn) -> None:
    magic = "try:\n    get_ipython().run_cell_magic('ai', '{}', 'Hi')\nexcept Exception as error:\n    print(type(error).__name__)"
    done = workspace.run(magic.format("cut"), magic.format("coding"))
    assert "Cut" in done.nb.cells[0].outputs[-1].text
    assert texts(done.nb)[0] == HELLO


def test_nbconvert_notices_a_failed_answer_and_keeps_a_good_one(workspace: Workspace, tmp_path: Path) -> None:
    def convert(source: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "asked.ipynb"
        nbformat.write(new_notebook(cells=[new_code_cell(source)]), path)
        command = [sys.executable, "-m", "nbconvert", "--to", "markdown", "--execute", str(path)]
        return subprocess.run(
            command, env=workspace.environment, capture_output=True, text=True, timeout=120, check=False
        )

    good = convert("%%ai\nHi")
    assert good.returncode == 0, good.stderr
    assert HELLO in (tmp_path / "asked.md").read_text()
    bad = convert("%%ai no-such\nHi")
    assert bad.returncode != 0
    assert "There is no task or model 'no-such'" in bad.stderr


def test_each_format_shows_what_it_promises(workspace: Workspace, gateway: StandIn) -> None:
    gateway.pause_s = 0.01
    gateway.replies = {
        "a": "```python\nx = 1\n```",
        "b": '{"a": [1, 2]}',
        "c": "<b>hi</b>",
        "d": "$x^2$",
        "e": "*no* markup",
    }
    done = workspace.run(
        "%%ai a -f code\n1", "%%ai b -f json\n2", "%%ai c --format=html\n3", "%%ai d -f math\n4", "%%ai e -f text\n5"
    )
    first = [cell.outputs[0].data for cell in done.nb.cells]
    assert first[0]["text/plain"] == "x = 1"
    assert first[1]["application/json"] == {"a": [1, 2]}
    assert "srcdoc" in first[2]["text/html"]
    assert first[3]["text/latex"] == "$$\nx^2\n$$"
    assert first[4] == {"text/plain": "*no* markup"}
    said, notebook = workspace.fails("%%ai e -f json\n1")
    assert "not JSON" in said
    assert notebook.cells[0].outputs[0].data["text/plain"] == "*no* markup"


def test_code_goes_into_a_new_cell_below(workspace: Workspace, gateway: StandIn) -> None:
    gateway.replies = {"coding": "```python\nx = 1\n```"}
    inserted: list[str] = []
    cell = new_code_cell("%%ai coding -f code\nSet x to one")
    client = NotebookClient(
        new_notebook(cells=[cell]),
        kernel_name="python3",
        on_cell_executed=lambda execute_reply, **_: inserted.extend(
            payload["text"] for payload in execute_reply["content"]["payload"] if payload["source"] == "set_next_input"
        ),
    )
    client.execute(cwd=str(workspace.home), env=workspace.environment)
    assert inserted == [f"# {WHO} · coding\nx = 1"]


def test_the_last_exception_is_explained_and_ours_are_none(workspace: Workspace, gateway: StandIn) -> None:
    workspace.run("divisor = 0\n1 / divisor", "%%ai no-such\nHi", "%ai fix coding", allow_errors=True)
    asked = gateway.asked[-1]
    assert asked["model"] == "coding"
    assert "1 / divisor" in asked["messages"][-1]["content"]
    assert "ZeroDivisionError: division by zero" in asked["messages"][-1]["content"]
    assert "interactiveshell" not in asked["messages"][-1]["content"]


def test_earlier_exchanges_go_along_until_they_are_reset(workspace: Workspace, gateway: StandIn) -> None:
    gateway.pause_s = 0
    done = workspace.run(
        "%%ai\nFirst", "%%ai cut\nBroken", "%%ai\nSecond", "%ai history", "%ai reset", "%%ai\nThird", allow_errors=True
    )
    assert [message["content"] for message in gateway.asked[2]["messages"]] == ["First", HELLO, "Second"]
    assert [message["content"] for message in gateway.asked[3]["messages"]] == ["Third"]
    assert done.nb.cells[3].outputs[0].text.startswith("> First\n")


def test_variables_go_into_a_prompt_only_when_asked_for(workspace: Workspace, gateway: StandIn) -> None:
    workspace.run("name = 'Ada'", "%%ai\nHello {name}", "%ai reset", "%%ai --vars\nHello {name} {{x}} {}")
    assert [asked["messages"][-1]["content"] for asked in gateway.asked] == ["Hello {name}", "Hello Ada {x} {}"]


def test_secrets_of_the_project_are_not_sent_and_the_person_is_told(workspace: Workspace, gateway: StandIn) -> None:
    (workspace.home / ".env").write_text("API_KEY=sk-very-secret\n")
    done = workspace.run("key = 'sk-very-secret'", "%%ai --vars\nWhy is {key} refused?")
    assert gateway.asked[0]["messages"][-1]["content"] == "Why is <API_KEY from .env> refused?"
    assert texts(done.nb)[-1] == f"{WHO} · coding · not sent, because it is in .env: API_KEY"


RELEASE = """
import asyncio, os
from urllib.parse import urlsplit

async def release():
    url = urlsplit(os.environ["NEURALINVERSE_GATEWAY_URL"])
    while True:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(f"GET {url.path}/release HTTP/1.0\\r\\n\\r\\n".encode())
        status = await reader.readline()
        writer.close()
        if b" 200 " in status:
            return "released"
        await asyncio.sleep(0.01)

task = asyncio.create_task(release())
"""


@pytest.mark.parametrize("source", ["%%ai held\nHi", "# why?\n%ai fix held"])
def test_other_tasks_of_the_kernel_go_on_while_a_cell_waits_for_its_answer(workspace: Workspace, source: str) -> None:
    done = workspace.run("1 / 0", RELEASE, source, "print(task.result())", allow_errors=True)
    assert texts(done.nb, 2)[0] == "The first half and the second"
    assert done.nb.cells[3].outputs[0].text == "released\n"


def test_a_cell_answers_where_asynchronous_cells_are_switched_off(workspace: Workspace) -> None:
    done = workspace.run("%autoawait off", "%%ai\nHi", "get_ipython().run_line_magic('ai', 'history')")
    assert texts(done.nb, 1)[0] == HELLO
    assert done.nb.cells[2].outputs[0].text.startswith("> Hi\n")


QUESTION = "Which of these lines speaks of a quaternion?"


def test_of_a_long_prompt_goes_what_the_model_can_read_and_the_person_is_told(
    workspace: Workspace, gateway: StandIn
) -> None:
    gateway.pause_s = 0
    lines = [f"line {number} speaks of nothing in particular" for number in range(20_000)]
    lines[14_321] = "a quaternion has four parts"
    done = workspace.run(
        f"text = {chr(10).join(lines)!r}",
        f"%%ai coding --vars\n{QUESTION}\n{{text}}",
        f"%%ai narrow --vars\n{QUESTION}\n{{text}}",
    )
    for cell, (first, *_, last) in ((1, gateway.asked[:1] * 2), (2, gateway.asked[1:])):
        sent = last["messages"][-1]["content"]
        assert sent.startswith(QUESTION)
        assert "a quaternion has four parts" in sent
        assert "[…]" in sent
        assert f"the prompt is long: {len(sent):,} of its" in texts(done.nb, cell)[-1]
        assert first["model"] == last["model"]
    assert len(gateway.asked) > 2, "a model that finds it too long is asked again with less"
    assert len(json.dumps(gateway.asked[-1])) <= gateway.narrow_bytes


def test_what_no_model_can_read_is_said_without_counting_tokens(workspace: Workspace, gateway: StandIn) -> None:
    gateway.narrow_bytes = 0
    said, _ = workspace.fails("%%ai narrow\nHi")
    assert said == "This is more text than the model can read at once. Send the part that matters."


def test_nothing_a_notebook_shows_counts_tokens_money_or_what_is_left(workspace: Workspace, gateway: StandIn) -> None:
    done = workspace.run("%ai help", "%ai list", "%%ai thinking\nHi", "%ai history", "%%ai cut\nHi", allow_errors=True)
    assert counted(json.dumps([done.nb.cells, done.shown])) == []


def test_waiting_and_thinking_are_shown_and_are_not_the_answer(workspace: Workspace) -> None:
    done = workspace.run("%%ai thinking\nHi")
    assert done.shown[0]["data"]["text/plain"] == "2 before you, about 12 s"
    assert "thinking, 4 characters so far" in [content["data"]["text/plain"] for content in done.shown]
    assert texts(done.nb)[0] == HELLO
