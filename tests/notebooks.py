"""Notebooks as a person runs them: a real kernel with a workspace's environment, and what it showed, piece by piece."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

__all__ = ["Shown", "run"]


@dataclass
class Shown:
    """What one cell put out, in the order it came: (seconds since Enter, text so far or piece of it)."""

    pieces: list[tuple[float, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it, one piece after the other."""
        return "\n".join(text for _, text in self.pieces)

    @property
    def first_s(self) -> float:
        """Seconds from Enter to the first text."""
        return self.pieces[0][0]


def run(environment: dict[str, str], folder: Path, *cells: str) -> list[Shown]:
    """Run ``cells`` in one kernel. Raises nbclient's CellExecutionError when one fails."""
    shown = [Shown() for _ in cells]
    started = 0.0

    class Watched(NotebookClient):  # type: ignore[misc]  # nbclient's traits
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] in ("stream", "display_data", "update_display_data", "execute_result"):
                content = msg["content"]
                data = content.get("data", {})
                text = content.get("text") or data.get("text/markdown") or data.get("text/plain") or ""
                if text.strip():
                    shown[cell_index].pieces.append((time.perf_counter() - started, text))
            return super().process_message(msg, cell, cell_index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = Watched(notebook, timeout=180, kernel_name="python3")
    with client.setup_kernel(env=environment, cwd=str(folder)):
        for number, cell in enumerate(notebook.cells):
            started = time.perf_counter()
            client.execute_cell(cell, number)
    return shown
