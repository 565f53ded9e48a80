"""Ghost text: what is around the cursor → a question, and a model's answer → the text to insert. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from .client import Question
from .formats import without_fence

__all__ = ["Around", "Cache", "insertion", "question"]

BEFORE_CHARACTERS = 3_000
AFTER_CHARACTERS = 1_000
MAX_TOKENS = 96

CURSOR = "<cursor>"

BLANK_LINE = re.compile(r"(?<=\S)[ \t]*\n[ \t]*\n")
"""Where a suggestion ends: what comes after it is the model's own idea of what to do next."""

INSTRUCTION = (
    f"You complete code while a person types. Reply with nothing but the text that belongs at {CURSOR}: no explanation, "
    "no fence, nothing that already stands before or after it. Prefer one statement; finish a block only when it is short."
)


@dataclass(frozen=True)
class Around:
    """What is around the cursor. ``above`` is what stands in earlier cells."""

    before: str
    after: str
    language: str = "python"
    above: str = ""

    def worth_asking(self) -> bool:
        """Whether a suggestion can help: something was written, and the cursor is not inside a word."""
        return bool((self.before + self.above).strip()) and not re.match(r"\w", self.after)


def question(around: Around) -> Question:
    """What to ask the gateway."""
    before = around.before[-BEFORE_CHARACTERS:]
    above = around.above[-(BEFORE_CHARACTERS - len(before)) :] if len(before) < BEFORE_CHARACTERS else ""
    code = f"{above}\n\n{before}" if above else before
    asked = f"```{around.language}\n{code}{CURSOR}{around.after[:AFTER_CHARACTERS]}\n```"
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": asked}]
    return Question(messages, "coding", {"max_tokens": MAX_TOKENS, "temperature": 0})


def insertion(answer: str, around: Around) -> str:
    """The text to insert out of a model's answer; empty when there is nothing new in it.

    Models fence their answer, repeat the line they were to continue, or go on into what stands behind the cursor.
    """
    text = (without_fence(answer) if "```" in answer else answer).split(CURSOR, 1)[-1]
    *above, line = around.before.split("\n")
    repeated = "\n".join([*above[-1:], line])
    if above and above[-1].strip() and repeated in text:
        text = text.split(repeated, 1)[1]
    elif line.strip() and text.lstrip().startswith(line.strip()):
        text = text.lstrip()[len(line.strip()) :]
    text = text.lstrip(" ") if line[-1:].isspace() else text if line else text.lstrip("\n")
    behind, *below = around.after.split("\n")
    if behind.strip():
        text = text.split("\n", 1)[0].rstrip().removesuffix(behind.strip())
    text = BLANK_LINE.split(text, maxsplit=1)[0].rstrip()
    following = "\n".join([behind, *below]).strip()
    return "" if not text.strip() or following.startswith(text.strip()) else text


class Cache:
    """The latest insertions. Typing what was suggested keeps the rest of the suggestion without asking again."""

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._kept: OrderedDict[Around, str] = OrderedDict()

    def put(self, around: Around, text: str) -> None:
        """Keep an insertion; the oldest goes."""
        self._kept[around] = text
        self._kept.move_to_end(around)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def get(self, around: Around) -> str | None:
        """The insertion for this place, or what is left of an earlier one whose beginning was typed; else None."""
        for kept, text in reversed(self._kept.items()):
            if (kept.after, kept.language, kept.above) != (around.after, around.language, around.above):
                continue
            typed = around.before[len(kept.before) :]
            if around.before.startswith(kept.before) and text.startswith(typed) and (text != typed or not typed):
                return text[len(typed) :]
        return None
