from __future__ import annotations

import pytest

from ai_provider.conversation import Conversation, failure_of, insert
from ai_provider.errors import AiError, BadInput
from ai_provider.formats import format_named, without_fence


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("x = 1", "x = 1"),
        ("```python\nx = 1\n```", "x = 1"),
        ("Here:\n```\nx = 1\n\ny = 2\n```\nDone.", "x = 1\n\ny = 2"),
        ("```python\nx = 1", "x = 1"),
        ("", ""),
    ],
)
def test_a_fence_is_taken_off_also_while_it_is_coming(text: str, inside: str) -> None:
    assert without_fence(text) == inside


def test_json_is_parsed_and_anything_else_is_an_error() -> None:
    assert format_named("json").finally_('```json\n{"a": [1]}\n```')["application/json"] == {"a": [1]}
    with pytest.raises(AiError, match="not JSON"):
        format_named("json").finally_("Certainly!")


@pytest.mark.parametrize("text", ["x^2", "$x^2$", "$$x^2$$", "\\[x^2\\]", "\\( x^2 \\)", "```latex\nx^2\n```"])
def test_a_formula_has_one_pair_of_delimiters(text: str) -> None:
    assert format_named("math").finally_(text) == {"text/latex": "$$\nx^2\n$$", "text/plain": "x^2"}


def test_a_page_is_framed_so_that_its_scripts_do_not_run() -> None:
    shown = format_named("html").finally_('<b title="x">hi</b><script>alert(1)</script>')["text/html"]
    assert shown.startswith('<iframe sandbox="" srcdoc="&lt;b title=&quot;x&quot;&gt;')
    assert "<script" not in shown


def test_variables_are_inserted_and_other_braces_stay() -> None:
    variables = {"name": "Ada", "n": 3}
    assert insert("{name} has {n} in {{n}} and {} {0} {'a': 1}", variables) == "Ada has 3 in {n} and {} {0} {'a': 1}"
    with pytest.raises(BadInput, match=r"There is no variable 'nobody' in this notebook; write \{\{nobody\}\}"):
        insert("{nobody}", variables)
    # What is too long is shortened with the whole question, by the model's window.
    assert insert("{n}", {"n": "x" * 30_000}) == "x" * 30_000


def test_the_history_holds_the_latest_exchanges_that_fit() -> None:
    conversation = Conversation()
    for number in range(5):
        conversation.remember(f"question {number}", "x" * 3_000)
    messages = conversation.with_prompt("now", "Be brief.")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[1]["content"] == "question 3"
    conversation.forget()
    assert conversation.with_prompt("now") == [{"role": "user", "content": "now"}]


def test_a_failure_is_its_source_and_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        failure = failure_of(error, "1 + x\n")
    assert "ValueError: no" in failure.prompt()
    assert "```python\n1 + x\n```" in failure.prompt()
