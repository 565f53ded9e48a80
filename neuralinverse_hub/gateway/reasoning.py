"""Reasoning out of an answer's text: a leading ``<think>…</think>`` becomes ``reasoning_content``. Pure.

Models that think aloud begin with the tag. A tag further on is text that someone wrote about tags: it stays.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ThinkSplitter", "split_thinking"]

OPEN: Final = "<think>"
CLOSE: Final = "</think>"


class ThinkSplitter:
    """Splits one choice's text, piece by piece.

    Guarantee: the concatenated results do not depend on how the text was cut into pieces, tags included.
    """

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    @property
    def settled(self) -> bool:
        """Whether all further text is plain content: nothing is held back and no tag can follow."""
        return self._state == "content"

    def feed(self, text: str) -> tuple[str, str]:
        """``(reasoning, content)`` that became certain with this piece."""
        if self._state == "content":
            return "", text
        self._held += text
        reasoning = ""
        if self._state == "start":
            visible = self._held.lstrip()
            if OPEN.startswith(visible):
                if visible != OPEN:
                    return "", ""
            elif not visible.startswith(OPEN):
                return "", self._settle()
            self._held = visible[len(OPEN) :]
            self._state = "open"
        if self._state == "open":
            # Models put a line break behind the tag; it belongs to the tag.
            self._held = self._held.lstrip("\n")
            if not self._held:
                return "", ""
            self._state = "thinking"
        if self._state == "thinking":
            thought, found, after = self._held.partition(CLOSE)
            if not found:
                keep = _kept_back(self._held)
                reasoning, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
                return reasoning, ""
            reasoning = thought.rstrip("\n")
            self._held = after
            self._state = "closed"
        # Between the closing tag and the answer there are line breaks that belong to neither.
        self._held = self._held.lstrip("\n")
        return reasoning, self._settle() if self._held else ""

    def end(self) -> tuple[str, str]:
        """What was held back when the text ended."""
        held, self._held = self._held, ""
        if self._state == "thinking":
            self._state = "content"
            return held, ""
        self._state = "content"
        return "", held

    def _settle(self) -> str:
        held, self._held = self._held, ""
        self._state = "content"
        return held


def split_thinking(text: str) -> tuple[str, str]:
    """``(reasoning, content)`` of a whole text."""
    if OPEN not in text:
        return "", text
    splitter = ThinkSplitter()
    first, then = splitter.feed(text), splitter.end()
    return first[0] + then[0], first[1] + then[1]


def _kept_back(text: str) -> int:
    """How many characters at the end may belong to the closing tag, with the line breaks before it."""
    for size in range(min(len(CLOSE) - 1, len(text)), 0, -1):
        if text.endswith(CLOSE[:size]):
            break
    else:
        size = 0
    body = text[: len(text) - size]
    return size + len(body) - len(body.rstrip("\n"))
