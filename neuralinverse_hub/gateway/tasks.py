"""Which task is this prompt: ``reasoning``, ``coding`` or ``general``. Pure: text in, decision out, no I/O.

A wrong guess costs little by construction: without a clear sign the answer is ``general``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

__all__ = ["TASKS", "Decision", "Task", "classify"]

Task = Literal["reasoning", "coding", "general"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)

LOOKED_AT: Final = 4_000
"""Characters of a prompt that are looked at, from its start and again from its end."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The task and, in a few plain ASCII words that fit into a header, why."""

    task: Task
    reason: str


_CODING: Final = re.compile(
    r"```|\b(?:def|class|import|return|SELECT|const|function|func|async|struct|enum)\b\s*[\w({*\"'@]"
    r"|\b(?:python|javascript|typescript|rust|golang|java|c\+\+|sql|bash|html|css|regex|numpy|pandas|react|docker|git)\b"
    r"|\b(?:code|function|unit tests?|pytest|refactor|compile|traceback|stack ?trace|debug|bug|script|endpoint|api"
    r"|algorithm|implement|class method|syntax error|exception|notebook|dataframe|variable|loop)\b"
    r"|\b\w+\.(?:py|js|ts|rs|go|java|cpp|sh|sql|ipynb)\b|\w+\(\w*\)",
    re.IGNORECASE,
)
_REASONING: Final = re.compile(
    r"\b(?:prove|proof|theorem|lemma|derive|integral|probability|equation|solve for|how many|step by step|puzzle"
    r"|riddle|logic(?:al)?|deduce|infer|reason(?:ing)?|optimal|trade-?offs?|why does|what follows|paradox|calculate"
    r"|think (?:hard|carefully|through)|plan (?:for|to|how))\b",
    re.IGNORECASE,
)


def classify(prompt: str) -> Decision:
    """The task of a prompt, from its own words; ``general`` unless the signs for another are clear."""
    if len(prompt) > 2 * LOOKED_AT:
        prompt = f"{prompt[:LOOKED_AT]}\n{prompt[-LOOKED_AT:]}"
    coding = {match.group().lower() for match in _CODING.finditer(prompt)}
    reasoning = {match.group().lower() for match in _REASONING.finditer(prompt)}
    if coding and len(coding) >= len(reasoning):
        return Decision("coding", "classifier: words of code")
    if reasoning:
        return Decision("reasoning", "classifier: words of reasoning")
    return Decision("general", "classifier: no clear sign")
