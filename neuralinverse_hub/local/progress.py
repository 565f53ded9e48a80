"""How long steps look: a bar with what is being done and its size on a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

Advance = Callable[[int], None]
"""Told how many bytes of a step are done by now."""


class Progress(Protocol):
    """Where an installation tells what it does."""

    def note(self, sentence: str) -> None:
        """Say one sentence."""

    def step(self, title: str, size_mb: int) -> contextlib.AbstractContextManager[Advance]:
        """A step that takes a while: yields the function that is told how far it is."""


class PlainProgress:
    """Lines without colours or cursor movements: for logs, pipes and CI."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def note(self, sentence: str) -> None:
        print(sentence, file=self._stream, flush=True)

    @contextlib.contextmanager
    def step(self, title: str, size_mb: int) -> Iterator[Advance]:
        self.note(f"Installing {title}, about {size_mb} MB …")
        began = time.monotonic()
        yield lambda _bytes: None
        self.note(f"Installed {title} in {time.monotonic() - began:.0f} s.")


class BarProgress:
    """A rich progress bar per step."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    def note(self, sentence: str) -> None:
        self._console.print(sentence, markup=False)

    @contextlib.contextmanager
    def step(self, title: str, size_mb: int) -> Iterator[Advance]:
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeElapsedColumn

        # The title has a line of its own: beside it, a terminal of 80 columns has no room left for the bar.
        self.note(f"Installing {title}, about {size_mb} MB")
        total = size_mb * 1_000_000
        with Progress(
            BarColumn(None), DownloadColumn(), TimeElapsedColumn(), console=self._console, expand=True
        ) as bars:
            task = bars.add_task("", total=total)
            # The total is an estimate: the bar must not claim to be done before the step is.
            yield lambda done: bars.update(task, completed=min(done, int(total * 0.99)))
            bars.update(task, completed=total)


def choose(stream: TextIO | None = None) -> Progress:
    """Bars when ``stream`` (default: stderr) is a terminal, else plain lines."""
    stream = sys.stderr if stream is None else stream
    return BarProgress() if stream is sys.stderr and stream.isatty() else PlainProgress(stream)
