"""Which task is this conversation: ``reasoning``, ``coding`` or ``general``. Pure: text in, decision out, no model asked.

A small linear classifier over words, pairs of words and a few signs of code and mathematics. Its weights are a file made
by ``tests/bench/bench_gateway_auto.py --write``, which also prints how well it does on prompts it was not trained on.
A wrong guess costs little by construction: whatever is not clear is ``general``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import Final, Literal, get_args

__all__ = ["TASKS", "Classifier", "Decision", "Task", "features"]

Task = Literal["reasoning", "coding", "general"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)

WEIGHTS_FILE: Final = "classifier.json"
LOOKED_AT: Final = 800
"""Characters of a text that are looked at, from its start and again from its end."""
CONTEXT_WEIGHT: Final = 0.5
"""What was said before counts this much of what is asked now: "and faster, please" is about the code before it."""
CLEAR: Final = 0.55
"""Probability from which a task is clear enough to leave ``general``."""

_WORDS: Final = re.compile(r"[^\W\d_]{2,}[+#]*|\d+")
_SIGNS: Final = (
    ("*fence", re.compile(r"```")),
    ("*call", re.compile(r"\w\([\w\s,'\"=.]*\)")),
    (
        "*code line",
        re.compile(r"^\s*(?:def|class|import|from|for|while|if|let|const|var|fn|func|public|return)\b.*[:;{(=]", re.M),
    ),
    ("*snake or camel", re.compile(r"\b[a-z]+(?:_[a-z]+)+\b|\b[a-z]+[A-Z]\w+\b")),
    (
        "*file name",
        re.compile(r"\b[\w-]+\.(?:py|js|ts|tsx|rs|go|java|cpp|c|h|sh|sql|ipynb|cfg|toml|ya?ml|json|css|html)\b"),
    ),
    ("*error name", re.compile(r"\b\w+(?:Error|Exception)\b|error\[|\berr(?:or)?!?:", re.I)),
    ("*traceback", re.compile(r"traceback|stack ?trace|line \d+", re.I)),
    ("*backticks", re.compile(r"`[^`]+`")),
    ("*braces", re.compile(r"[{};]|=>|->|==|!=|\[\d")),
    ("*equation", re.compile(r"[\dxyzn)]\s*[-+*/^]\s*[\dxyzn(]|\b[a-z]\s*=\s*\d|[≤≥∑∫√π]")),
    ("*question of quantity", re.compile(r"\bhow (?:many|much|long|old|few|far)\b", re.I)),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The task and, in a few plain ASCII words that fit into a header, why."""

    task: Task
    reason: str


def features(text: str) -> list[str]:
    """What is looked at in a text: its words, pairs of neighbours, and signs (beginning with ``*``); each once."""
    if len(text) > 2 * LOOKED_AT:
        text = f"{text[:LOOKED_AT]}\n{text[-LOOKED_AT:]}"
    words = ["0" if word[0].isdigit() else word for word in _WORDS.findall(text.lower())]
    found = dict.fromkeys(words)
    found.update(dict.fromkeys(map(" ".join, pairwise(words))))
    found.update((name, None) for name, sign in _SIGNS if sign.search(text))
    if len(words) <= 4:
        found["*short"] = None
    if words.count("0") >= 3:
        found["*numbers"] = None
    return list(found)


class Classifier:
    """Decides tasks by fixed weights per feature, in the order of `TASKS`."""

    def __init__(self, weights: Mapping[str, Sequence[float]], bias: Sequence[float]) -> None:
        self._weights = weights
        self._bias = bias

    @classmethod
    def shipped(cls) -> Classifier:
        """With the weights of this version."""
        text = resources.files("neuralinverse_hub.gateway").joinpath(WEIGHTS_FILE).read_text("utf-8")
        data = json.loads(text)
        return cls(data["weights"], data["bias"])

    def decide(self, question: str, context: str = "") -> Decision:
        """The task of ``question``, asked after ``context`` was said; ``general`` unless another is clear."""
        scores, found = self._scores(question)
        if context:
            before, _ = self._scores(context)
            scores = [now + CONTEXT_WEIGHT * then for now, then in zip(scores, before, strict=True)]
        top = max(scores)
        shares = [math.exp(score - top) for score in scores]
        likely = max(range(len(TASKS)), key=shares.__getitem__)
        probability = shares[likely] / sum(shares)
        task = TASKS[likely]
        if probability < CLEAR and task != "general":
            return Decision("general", f"classifier: not clear, perhaps {task} ({probability:.2f})")
        signs = sorted(found, key=lambda each: self._weights[each][likely], reverse=True)
        shown = [each.lstrip("*") for each in signs[:3] if each.isascii() and self._weights[each][likely] > 0]
        return Decision(task, f"classifier: {task} ({probability:.2f}){': ' if shown else ''}{', '.join(shown)}")

    def _scores(self, text: str) -> tuple[list[float], list[str]]:
        found = [each for each in features(text) if each in self._weights]
        scale = 1 / math.sqrt(len(found) or 1)
        scores = [
            bias + scale * sum(self._weights[each][index] for each in found) for index, bias in enumerate(self._bias)
        ]
        return scores, found
