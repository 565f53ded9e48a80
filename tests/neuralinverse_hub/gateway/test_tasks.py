"""Which task a conversation is: clear cases, what is not clear, and what may stand in a header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.gateway.tasks import LOOKED_AT, TASKS, Classifier, features

CLASSIFIER = Classifier.shipped()


@pytest.mark.parametrize(
    ("question", "task"),
    [
        ("Write a Python function validate_email(email) and unit tests", "coding"),
        ("Traceback (most recent call last):\n  File 'a.py', line 3\nKeyError: 'id'", "coding"),
        ("Prove by induction that 2^n > n for every natural n", "reasoning"),
        ("What is the probability of rolling two sixes?", "reasoning"),
        ("Write a birthday poem for my aunt", "general"),
        ("Hello", "general"),
        ("", "general"),
        ("zzz qqq xxx", "general"),
    ],
)
def test_clear_questions_get_their_task(question: str, task: str) -> None:
    assert CLASSIFIER.decide(question).task == task


def test_what_was_said_before_decides_what_a_short_question_means() -> None:
    before = "Write a function in Python that sorts a list\ndef sort(items):\n    return sorted(items)"
    assert CLASSIFIER.decide("Now make it faster, please", before).task == "coding"


@given(st.text(max_size=400), st.text(max_size=100))
def test_a_decision_fits_into_a_header_and_has_a_known_task(question: str, context: str) -> None:
    decision = CLASSIFIER.decide(question, context)
    assert decision.task in TASKS
    assert decision.reason.isascii() and decision.reason.isprintable() and len(decision.reason) < 200


@given(st.text(max_size=3000))
def test_every_feature_counts_once(text: str) -> None:
    found = features(text)
    assert len(found) == len(set(found))


def test_only_the_ends_of_a_long_text_are_looked_at() -> None:
    assert features("a " * LOOKED_AT + "banana " * 10_000 + "z " * LOOKED_AT).count("banana") == 0
