from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_provider.completion import Around, Cache, insertion, question


@pytest.mark.parametrize(
    ("before", "after", "answer", "inserted"),
    [
        ("def add(a, b):\n    re", "", "turn a + b", "turn a + b"),
        ("def add(a, b):\n    ", "", "return a + b\n", "return a + b"),
        ("def add(a, b):\n    ", "", "    return a + b", "return a + b"),
        ("def add(a, b):\n    re", "", "```python\n    return a + b\n```", "turn a + b"),
        ("x = ", "", "x = 1", "1"),
        ("x =", "", " 1", " 1"),
        ("print(", ")", '"hi")', '"hi"'),
        ("a = 1\n", "", "\nb = 2", "b = 2"),
        ("a = 1\n", "b = 2", "b = 2", ""),
        ("x", "", "   \n", ""),
        ("x = ", "", "x = <cursor>2", "2"),
        ("def add(a, b):\n    re", "", "%%ai\ndef add(a, b):\n    return a + b\n\n# Example\nadd(1, 2)", "turn a + b"),
        ("f(", ", 2)", "1, 2)\nprint(1)", "1"),
        ("if x:", "", "\n    y = 1\n    z = 2\n\nprint(y)", "\n    y = 1\n    z = 2"),
    ],
)
def test_an_answer_becomes_the_text_that_is_missing(before: str, after: str, answer: str, inserted: str) -> None:
    assert insertion(answer, Around(before, after)) == inserted


def test_nothing_is_asked_where_a_suggestion_cannot_help() -> None:
    assert not Around(" \n", "").worth_asking()
    assert not Around("val", "ue = 1").worth_asking()
    assert Around("", "", above="import math").worth_asking()
    assert Around("val", " = 1").worth_asking()


@given(st.text(max_size=9_000), st.text(max_size=3_000), st.text(max_size=9_000))
def test_a_question_is_never_long(before: str, after: str, above: str) -> None:
    asked = question(Around(before, after, above=above))
    assert len(asked.messages[-1]["content"]) < 4_100
    assert before[-3_000:] in asked.messages[-1]["content"]


def test_typing_what_was_suggested_keeps_the_rest_without_asking() -> None:
    cache = Cache(size=2)
    cache.put(Around("x = ", "\n"), "sum(values)")
    assert cache.get(Around("x = ", "\n")) == "sum(values)"
    assert cache.get(Around("x = su", "\n")) == "m(values)"
    assert cache.get(Around("x = sa", "\n")) is None
    assert cache.get(Around("x = su", ")")) is None
    assert cache.get(Around("x = sum(values)", "\n")) is None
    cache.put(Around("a", ""), "1")
    cache.put(Around("b", ""), "2")
    assert cache.get(Around("x = ", "\n")) is None
