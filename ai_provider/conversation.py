"""What is sent along with a question from a notebook: earlier exchanges, variables, the last failure. Pure.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import BadInput

__all__ = ["Conversation", "Failure", "failure_of", "insert"]

HISTORY_CHARACTERS = 8_000
"""How much of earlier exchanges goes with a question: about 2,000 tokens, which leaves room even in a small window."""

BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Conversation:
    """The exchanges of one notebook, oldest first."""

    def __init__(self) -> None:
        self._exchanges: list[tuple[str, str]] = []

    def with_prompt(self, prompt: str, instruction: str = "", room: int = HISTORY_CHARACTERS) -> list[dict[str, str]]:
        """The messages to send: the instruction, as many of the latest exchanges as ``room`` characters hold, the prompt."""
        messages: list[dict[str, str]] = [{"role": "system", "content": instruction}] if instruction else []
        for asked, answered in self._recent(room):
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answered})
        messages.append({"role": "user", "content": prompt})
        return messages

    def remember(self, prompt: str, answer: str) -> None:
        """Keep an exchange that went well."""
        self._exchanges.append((prompt, answer))
        self._exchanges = self._recent()

    def forget(self) -> None:
        """Begin anew."""
        self._exchanges.clear()

    def summary(self) -> str:
        """What ``%ai history`` prints."""
        if not self._exchanges:
            return "The history is empty."
        return "\n".join(f"> {_short(asked)}\n  {_short(answered)}" for asked, answered in self._exchanges)

    def _recent(self, room: int = HISTORY_CHARACTERS) -> list[tuple[str, str]]:
        kept: list[tuple[str, str]] = []
        left = min(room, HISTORY_CHARACTERS)
        for asked, answered in reversed(self._exchanges):
            left -= len(asked) + len(answered)
            if left < 0:
                break
            kept.insert(0, (asked, answered))
        return kept


@dataclass(frozen=True)
class Failure:
    """A cell that failed: its source and the traceback of the person's own code."""

    source: str
    traceback: str

    def prompt(self) -> str:
        """The question ``%ai fix`` asks."""
        return (
            "This notebook cell failed. Say in one sentence why, then give the corrected cell.\n\n"
            f"```python\n{self.source}\n```\n\n```\n{self.traceback}\n```"
        )


def failure_of(error: BaseException, source: str) -> Failure:
    """What is worth knowing about ``error``, as text: no frame is kept alive."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("IPython."):
        trace = trace.tb_next
    return Failure(source.strip("\n"), "".join(traceback.format_exception(type(error), error, trace)).strip())


def insert(prompt: str, variables: Mapping[str, Any]) -> str:
    """The prompt with ``{name}`` replaced by that variable's text, and ``{{``, ``}}`` by single braces.

    Braces around anything that is not a name stay as they are. Raises ``BadInput`` for a name nobody has defined.
    """

    def replace(found: re.Match[str]) -> str:
        name = found.group(1)
        if name is None:
            return found.group(0)[0]
        if name not in variables:
            raise BadInput(
                f"There is no variable {name!r} in this notebook; write {{{{{name}}}}} to mean the braces themselves."
            )
        return str(variables[name])

    return BRACES.sub(replace, prompt)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"
