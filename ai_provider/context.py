"""What goes with a question besides the conversation: the parts of files and notebooks that matter, within a budget. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Cell",
    "Notebook",
    "Source",
    "chosen",
    "notebook_of",
    "source_of_notebook",
    "source_of_text",
    "window_characters",
]

BLOCK_LINES = 30
"""A file is cut into blocks of about this many lines, at an empty line where there is one."""

OUTPUT_CHARACTERS = 1_000
CELL_CHARACTERS = 6_000

CHARACTERS_PER_TOKEN = 3
"""Code and languages other than English need more tokens than the usual four characters each."""

WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Part:
    """A piece of a source; ``near`` is 1 where the person is and falls to 0 far from it."""

    text: str
    near: float = 0.0


@dataclass(frozen=True)
class Source:
    """A file or notebook, in the order of its parts. ``unit`` names a part to the person: lines, cells."""

    name: str
    parts: tuple[Part, ...]
    unit: str = "blocks"
    language: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell as the page shows it now. ``output`` is text only."""

    kind: str
    source: str
    output: str = ""
    id: str = ""


@dataclass(frozen=True)
class Notebook:
    """A notebook as the page shows it now, saved or not. ``active`` is the index of the person's cell, -1 for none."""

    path: str
    cells: tuple[Cell, ...]
    active: int = 0


@dataclass(frozen=True)
class Chosen:
    """``text`` for the model and, for the person, ``note``: what it was made of."""

    text: str
    note: str


def window_characters(window_tokens: int | None) -> int:
    """How much context fits: half of the model's window, the rest is for the conversation and the answer."""
    return (window_tokens or 8_192) * CHARACTERS_PER_TOKEN // 2


def chosen(sources: Sequence[Source], question: str, budget: int) -> Chosen:
    """The parts that matter most for ``question``, at most ``budget`` characters, in their own order.

    A part matters when it is near the person and when it shares words with the question; rare words count more.
    """
    if not sources:
        return Chosen("", "")
    words = set(WORD.findall(question.lower()))
    counts: dict[str, int] = {}
    for source in sources:
        for part in source.parts:
            for word in words & set(WORD.findall(part.text.lower())):
                counts[word] = counts.get(word, 0) + 1
    ranked = []
    for place, source in enumerate(sources):
        for number, part in enumerate(source.parts):
            shared = words & set(WORD.findall(part.text.lower()))
            first = 0.2 if number == 0 else 0.0  # imports and the title
            ranked.append((part.near + first + sum(1 / counts[word] for word in shared), -place, -number, part))
    ranked.sort(key=lambda entry: entry[:3], reverse=True)
    kept: set[tuple[int, int]] = set()
    left = budget
    for _, place, number, part in ranked:
        if len(part.text) <= left:
            kept.add((-place, -number))
            left -= len(part.text)
    texts, notes = [], []
    for place, source in enumerate(sources):
        numbers = [number for number in range(len(source.parts)) if (place, number) in kept]
        texts.append(_block(source, numbers))
        notes.append(
            source.name
            if len(numbers) == len(source.parts)
            else f"{len(numbers)} of {len(source.parts)} {source.unit} of {source.name}"
        )
    return Chosen("\n\n".join(filter(None, texts)), ", ".join(notes))


def source_of_text(name: str, text: str, language: str = "") -> Source:
    """A file's source, cut into blocks."""
    return Source(name, tuple(Part(block) for block in _blocks(text)), "blocks", language)


def source_of_notebook(notebook: Notebook) -> Source:
    """A notebook's source: one part for each cell, nearest where the person is."""
    parts = []
    for number, cell in enumerate(notebook.cells):
        here = " (the person is here)" if number == notebook.active else ""
        text = f"# cell {number + 1}, {cell.kind}{here}\n{cell.source[:CELL_CHARACTERS]}"
        if cell.output.strip():
            text += f"\n# its output\n{cell.output[-OUTPUT_CHARACTERS:]}"
        parts.append(Part(text, near=2 / (1 + abs(number - notebook.active)) if notebook.active >= 0 else 0.0))
    return Source(notebook.path, tuple(parts), "cells", "python")


def notebook_of(path: str, content: str) -> Notebook:
    """The notebook in the content of an ``.ipynb`` file. Raises ``ValueError`` when that is none."""
    parsed = json.loads(content)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("cells"), list):
        raise ValueError(f"{path} is not a notebook of format 4")
    cells = tuple(
        Cell(
            str(cell.get("cell_type")),
            _joined(cell.get("source")),
            "\n".join(_outputs(cell.get("outputs") or [])),
            str(cell.get("id") or ""),
        )
        for cell in parsed["cells"]
        if isinstance(cell, dict)
    )
    return Notebook(path, cells)


def _outputs(outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for output in outputs:
        if output.get("output_type") == "error":
            yield f"{output.get('ename')}: {output.get('evalue')}"
        elif output.get("output_type") == "stream":
            yield _joined(output.get("text"))
        else:
            yield _joined((output.get("data") or {}).get("text/plain"))


def _joined(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value or "")


def _block(source: Source, numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    lines = []
    for before, number in zip([-1, *numbers], numbers, strict=False):
        if number != before + 1:
            lines.append("[…]")
        lines.append(source.parts[number].text)
    if numbers[-1] != len(source.parts) - 1:
        lines.append("[…]")
    inside = "\n".join(lines)
    return f"`{source.name}`:\n````{source.language}\n{inside}\n````"


def _blocks(text: str) -> Iterator[str]:
    block: list[str] = []
    for line in text.splitlines():
        if len(block) >= BLOCK_LINES and (not line.strip() or len(block) >= 2 * BLOCK_LINES):
            yield "\n".join(block)
            block = []
        block.append(line[:2_000])
    if block:
        yield "\n".join(block)
