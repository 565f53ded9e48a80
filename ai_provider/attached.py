"""What a person attached to a chat message, read from the workspace. Reads files; refuses those that must stay here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from .context import Notebook, Source, notebook_of, source_of_notebook, source_of_text
from .redaction import folder_of, is_secret_file

__all__ = ["Attached"]

LARGEST_BYTES = 2_000_000


class Attached:
    """``sources`` for the model; ``refused`` are sentences about what was not read; ``folders`` are where files were."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.sources: list[Source] = []
        self.refused: list[str] = []
        self.folders: list[Path] = []

    def add(self, attachment: Any) -> None:
        """Read one attachment of jupyterlab-chat, a file or cells of a notebook, below the root."""
        name = getattr(attachment, "value", None)
        if not isinstance(name, str):
            self.refused.append("an attachment that is gone")
            return
        path = (self.root / name).resolve()
        if self.root not in path.parents:
            self.refused.append(f"{name} (outside the workspace)")
            return
        if is_secret_file(path):
            self.refused.append(f"{name} (holds secrets)")
            return
        try:
            if path.stat().st_size > LARGEST_BYTES:
                self.refused.append(f"{name} (more than {LARGEST_BYTES:,} bytes)")
                return
            raw = path.read_bytes()
        except OSError as error:
            self.refused.append(f"{name} ({error.strerror})")
            return
        if b"\0" in raw[:8_192]:
            self.refused.append(f"{name} (not text)")
            return
        self.folders.append(path.parent)
        text = raw.decode("utf-8", "replace")
        selection = getattr(getattr(attachment, "selection", None), "content", None)
        if path.suffix == ".ipynb":
            self._add_notebook(name, text, getattr(attachment, "cells", None))
        else:
            self.sources.append(source_of_text(name, selection or text, path.suffix.removeprefix(".")))

    def add_open(self, notebook: Notebook | None) -> None:
        """The notebook in front of the person, unless they attached that one themselves."""
        if notebook is not None and all(source.name != notebook.path for source in self.sources):
            self.sources.append(source_of_notebook(notebook))
            self.folders.append(folder_of(notebook.path, self.root))

    def _add_notebook(self, name: str, text: str, wanted: Any) -> None:
        try:
            notebook = notebook_of(name, text)
        except ValueError:
            self.refused.append(f"{name} (not a notebook)")
            return
        ids = {cell.id for cell in wanted or []}
        if ids:
            notebook = replace(notebook, cells=tuple(cell for cell in notebook.cells if cell.id in ids))
        self.sources.append(source_of_notebook(replace(notebook, active=-1)))
