"""A person asks about code, in real VS Code in a real browser."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import expect

from tests.ai_provider.vscode.ide import Editor, Workspace
from tests.ai_provider.vscode.standin import MODEL, Answer, Gateway

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CODE = """import re


def validate_email(email):
    return re.match(r"[^@]+@[^@]+", email) is not None


def unrelated():
    return 42
"""


async def test_ask_on_a_selection_streams_an_answer_that_names_its_model(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("validate.py", CODE)
    gateway.answer = Answer(word_s=0.15)
    await ide.open("validate.py")
    await ide.page.keyboard.press("Control+Home")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown"):
        await ide.page.keyboard.press(key)
    await ide.page.keyboard.press("Control+k")
    await ide.page.keyboard.press("a")
    await ide.shot("ask-question")
    await ide.answer_input("What can go wrong here?")
    answer = ide.answer
    await expect(answer).to_contain_text("It checks", timeout=30_000)
    await ide.shot("ask-streaming")
    assert MODEL not in await answer.inner_text(), "the answer came in one piece, not as it was written"
    await expect(answer).to_contain_text(MODEL)
    await ide.shot("ask-answered")
    await expect(ide.status).to_contain_text("Stand-in-1B")
    question = gateway.asked[-1]["messages"][-1]["content"]
    assert "What can go wrong here?" in question
    assert "lines 4\N{EN DASH}5 (selected)" in question
    assert re.search(r"```+python\ndef validate_email", question)


async def ask_in_chat(ide: Editor, question: str) -> None:
    """Opens the chat by our command and asks; the participant is already written there."""
    await ide.open_chat()
    await ide.page.keyboard.type(question)
    await ide.page.keyboard.press("Enter")
    await expect(ide.questions.filter(has_text=question).last).to_be_visible()


async def test_the_participant_answers_with_the_open_file_as_context(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("shapes.py", "def area(side):\n    return side * side\n")
    gateway.answer = Answer(text="A square.")
    await ide.open("shapes.py")
    await ask_in_chat(ide, "which shape is this?")
    await expect(ide.answer).to_contain_text("A square.", timeout=30_000)
    await expect(ide.answer).to_contain_text(MODEL)
    assert "return side * side" in gateway.asked[-1]["messages"][-1]["content"]


async def test_a_follow_up_carries_the_conversation(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    gateway.answer = Answer(text="First words.")
    await ask_in_chat(ide, "say something")
    await expect(ide.answer).to_contain_text("First words.", timeout=30_000)
    gateway.answer = Answer(text="Second words.")
    await ide.page.keyboard.type("and now?")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("Second words.", timeout=30_000)
    said = [(m["role"], m["content"]) for m in gateway.asked[-1]["messages"]]
    assert ("assistant", "First words. ") in said, "an answer comes back without the line that names its model"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(fault="status:503"), "No model is set up: the operator has to name one"),
        (Answer(fault="status:401"), "does not accept this workspace's token"),
        (Answer(fault="empty"), "gave an empty answer"),
    ],
    ids=["no model", "unauthorized", "empty"],
)
async def test_a_failure_is_one_sentence_in_the_chat(
    ide: Editor, workspace: Workspace, gateway: Gateway, answer: Answer, sentence: str
) -> None:
    gateway.answer = answer
    await ask_in_chat(ide, "anyone there?")
    await expect(ide.answer).to_contain_text(sentence, timeout=30_000)


async def test_a_cut_stream_keeps_what_was_received(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    gateway.answer = Answer(text="These words arrive and these are lost forever", fault="cut")
    await ask_in_chat(ide, "tell me a story")
    await expect(ide.answer).to_contain_text("The connection broke", timeout=30_000)
    await expect(ide.answer).to_contain_text("These words arrive")
    await ide.shot("ask-cut")


async def test_a_huge_selection_is_shortened_and_said(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    workspace.write("huge.py", "".join(f"value_{n} = {n}\n" for n in range(60_000)))
    await ide.open("huge.py")
    await ide.page.keyboard.press("Control+a")
    await ask_in_chat(ide, "what is this?")
    await expect(ide.answer).to_contain_text("of its 60001 lines were sent", timeout=30_000)
    await expect(ide.answer).to_contain_text(MODEL)
    assert len(gateway.last()) < 100_000


async def test_a_secret_file_is_not_sent_nor_its_values_from_elsewhere(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write(".env", "SERVICE_KEY=sk-very-secret-123\n")
    workspace.write("client.py", 'connect("sk-very-secret-123")\n')
    await ide.open("client.py")
    gateway.answer = Answer(text="To a service.")
    await ask_in_chat(ide, "what does it connect to?")
    await expect(ide.answer).to_contain_text("To a service.", timeout=30_000)
    assert "connect(" in gateway.last()
    assert "sk-very-secret-123" not in gateway.last()
    await ide.open(".env")
    await ide.page.keyboard.press("Control+a")
    await ask_in_chat(ide, "what is this?")
    await expect(ide.answer).to_contain_text(".env may hold secrets and was not sent", timeout=30_000)
    await expect(ide.answer).to_contain_text(MODEL)
    assert "sk-very-secret-123" not in gateway.last()
    # Nor when it is named, with a value of it pasted beside.
    asked = len(gateway.asked)
    await ide.open("client.py")
    await ide.open_chat()
    await ide.page.keyboard.type("is sk-very-secret-123 the one in #file:.env ?")
    await ide.page.keyboard.press("Escape")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text(".env may hold secrets and was not sent", timeout=30_000)
    await expect(ide.answer).to_contain_text(MODEL)
    assert len(gateway.asked) == asked + 1
    assert "is <SERVICE_KEY from .env> the one" in gateway.last()
    assert "sk-very-secret-123" not in json.dumps(gateway.asked)


async def test_a_file_that_is_referenced_goes_with_the_question(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("referenced.py", "ANSWER = 6 * 7\n")
    workspace.write("open.py", "pass\n")
    gateway.answer = Answer(text="Forty-two.")
    await ide.open("referenced.py")
    await ide.open("open.py")
    await ide.open_chat()
    await ide.page.keyboard.type("#referenced", delay=30)
    offered = ide.page.locator(".suggest-widget.visible .monaco-list-row", has_text="referenced.py")
    await expect(offered.first).to_be_visible(timeout=20_000)
    await ide.page.keyboard.press("Tab")
    await ide.page.keyboard.type(" what is the answer?")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("Forty-two.", timeout=30_000)
    assert gateway.asked[-1]["messages"][-1]["content"].count("ANSWER = 6 * 7") == 1
    gateway.answer = Answer(text="Forty-two again.")
    await ide.page.keyboard.type("and in #file:referenced.py or #file:missing.py ?")
    await ide.page.keyboard.press("Escape")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("Forty-two again.", timeout=30_000)
    await expect(ide.answer).to_contain_text("There is no file missing.py in this workspace.")
    assert "ANSWER = 6 * 7" in gateway.asked[-1]["messages"][-1]["content"]


async def test_a_slow_gateway_is_waited_for_and_said(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    gateway.answer = Answer(text="At last.", wait_s=6)
    await ask_in_chat(ide, "no hurry")
    await expect(ide.answer).to_contain_text("Waiting for a model", timeout=30_000)
    await expect(ide.answer).to_contain_text("At last.", timeout=30_000)


async def test_a_prompt_too_long_for_the_model_is_shortened_until_it_fits(
    ide: Editor, workspace: Workspace, gateway: Gateway
) -> None:
    workspace.write("wide.py", "".join(f"number_{n} = {n}\n" for n in range(3_000)))
    gateway.answer = Answer(text="Numbers.", fault="too-long:9000")
    await ide.open("wide.py")
    await ide.select_all()
    await ask_in_chat(ide, "what are these?")
    await expect(ide.answer).to_contain_text("Numbers.", timeout=30_000)
    await expect(ide.answer).to_contain_text("of its 3001 lines were sent")
    assert len(gateway.asked) > 1


async def test_a_binary_file_is_not_sent(ide: Editor, workspace: Workspace, gateway: Gateway) -> None:
    (workspace.folder / "data.bin.txt").write_bytes(b"text\0more\0" * 100)
    gateway.answer = Answer(text="Nothing to see.")
    await ide.open("referenced.py")
    await ide.open_chat()
    await ide.page.keyboard.type("#data.bin", delay=30)
    offered = ide.page.locator(".suggest-widget.visible .monaco-list-row", has_text="data.bin.txt")
    await expect(offered.first).to_be_visible(timeout=20_000)
    await ide.page.keyboard.press("Tab")
    await ide.page.keyboard.type(" what is in it?")
    await ide.page.keyboard.press("Enter")
    await expect(ide.answer).to_contain_text("data.bin.txt is a binary file and was not sent", timeout=30_000)
    await expect(ide.answer).to_contain_text("Nothing to see.", timeout=30_000)
    assert "more" not in gateway.last()
