"""Where an answer is shown in a kernel: one display that grows in a notebook, written-on text in a terminal.

Runs in kernels of other virtual environments: standard library and IPython only, Python >= 3.9.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from IPython.display import display

from .formats import Bundle, Format

__all__ = ["Output"]


class Output:
    """Where an answer grows: one display that is replaced in a notebook, written-on text in a terminal."""

    def __init__(self, in_notebook: bool, shape: Format) -> None:
        self._in_notebook = in_notebook
        self._shape = shape
        self._handle: Any = None
        self._shown_at = 0.0
        self._printed = 0

    def grow(self, text: str) -> None:
        """Show the text so far: the first at once, then at a pace a browser can follow."""
        if not self._in_notebook:
            sys.stdout.write(text[self._printed :])
            sys.stdout.flush()
            self._printed = len(text)
            return
        now = time.monotonic()
        # Each update carries the whole text: the longer it is, the fewer of them.
        if self._handle is None or now - self._shown_at >= 0.05 + len(text) / 400_000:
            self._shown_at = now
            self._show(self._shape.meanwhile(text))

    def wait(self, words: str) -> None:
        """Say why there is no answer yet."""
        if self._in_notebook and (self._handle is None or time.monotonic() - self._shown_at >= 0.5):
            self._shown_at = time.monotonic()
            self._show({"text/markdown": f"*{words}*", "text/plain": words})

    def end(self, text: str, whole: bool) -> None:
        """Show the text as it stays. Raises ``AiError`` when a whole text is not what its format promises."""
        if not self._in_notebook:
            sys.stdout.write(text[self._printed :] + "\n")
            sys.stdout.flush()
        elif text or self._handle is not None:
            self._show(self._shape.meanwhile(text))
        if whole:
            final = self._shape.finally_(text)
            if self._in_notebook and final != self._shape.meanwhile(text):
                self._show(final)

    def sign(self, words: str) -> None:
        """Say below the answer whose it is."""
        if self._in_notebook:
            display({"text/markdown": f"*{words}*", "text/plain": words}, raw=True)  # type: ignore[no-untyped-call]
        else:
            sys.stdout.write(f"-- {words}\n")

    def _show(self, bundle: Bundle) -> None:
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)
