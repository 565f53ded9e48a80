"""What of a long text goes to a model: the parts of files, notebooks and prompts that matter, within a budget. Pure.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

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
    "shortened",
    "source_of_notebook",
    "source_of_text",
    "window_characters",
]

BLOCK_LINES = 30
"""A file is cut into blocks of about this many lines, at an empty line where there is one."""

LINE_CHARACTERS = 2_000
"""A longer line is cut into blocks of this length."""

ASKED_CHARACTERS = 400
"""At each end of a prompt, what most probably is the question itself."""

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
    kept = _kept(sources, words_of(question), budget)
    texts, notes = [], []
    for source, numbers in zip(sources, kept):  # noqa: B905 - Python 3.9
        if numbers:
            texts.append(f"`{source.name}`:\n````{source.language}\n{_text(source, numbers)}\n````")
        notes.append(
            source.name
            if len(numbers) == len(source.parts)
            else f"{len(numbers)} of {len(source.parts)} {source.unit} of {source.name}"
        )
    return Chosen("\n\n".join(texts), ", ".join(notes))


def shortened(prompt: str, budget: int) -> Chosen:
    """``prompt`` in about ``budget`` characters: its beginning and its end, where people ask, and what is most like them.

    ``note`` is empty when nothing was left out.
    """
    if len(prompt) <= budget:
        return Chosen(prompt, "")
    blocks = list(_blocks(prompt, lines=max(1, min(10, budget // 1_000))))
    last = len(blocks) - 1
    source = Source(
        "prompt", tuple(Part(block, near=3.0 if number in (0, last) else 0.0) for number, block in enumerate(blocks))
    )
    (numbers,) = _kept([source], words_of(prompt[:ASKED_CHARACTERS] + " " + prompt[-ASKED_CHARACTERS:]), budget)
    text = _text(source, numbers) or f"{prompt[: budget // 2]}\n[…]\n{prompt[-budget // 2 :]}"
    return Chosen(text, f"the prompt is long: {len(text):,} of its {len(prompt):,} characters were sent")


def words_of(text: str) -> set[str]:
    """The words that are worth looking for, in lower case."""
    return set(WORD.findall(text.lower()))


def _kept(sources: Sequence[Source], words: set[str], budget: int) -> list[list[int]]:
    """For each source the numbers of the parts that matter most, at most ``budget`` characters in all, in their order."""
    shared = [[words & words_of(part.text) for part in source.parts] for source in sources]
    counts: dict[str, int] = {}
    for found in shared:
        for each in found:
            for word in each:
                counts[word] = counts.get(word, 0) + 1
    ranked = []
    for place, source in enumerate(sources):
        for number, part in enumerate(source.parts):
            first = 0.2 if number == 0 else 0.0  # imports and the title
            score = part.near + first + sum(1 / counts[word] for word in shared[place][number])
            ranked.append((score, -place, -number, len(part.text)))
    ranked.sort(reverse=True)
    kept: list[list[int]] = [[] for _ in sources]
    left = budget
    for _, place, number, length in ranked:
        if length <= left:
            kept[-place].append(-number)
            left -= length
    return [sorted(numbers) for numbers in kept]


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


def _text(source: Source, numbers: Sequence[int]) -> str:
    """Those parts of the source, with a mark where others were left out."""
    if not numbers:
        return ""
    lines: list[str] = []
    expected = 0
    for number in numbers:
        if number != expected:
            lines.append("[…]")
        lines.append(source.parts[number].text)
        expected = number + 1
    if expected != len(source.parts):
        lines.append("[…]")
    return "\n".join(lines)


def _blocks(text: str, lines: int = BLOCK_LINES) -> Iterator[str]:
    block: list[str] = []
    for line in text.splitlines():
        if len(block) >= lines and (not line.strip() or len(block) >= 2 * lines):
            yield "\n".join(block)
            block = []
        if len(line) > LINE_CHARACTERS:
            if block:
                yield "\n".join(block)
                block = []
            yield from (line[start : start + LINE_CHARACTERS] for start in range(0, len(line), LINE_CHARACTERS))
        else:
            block.append(line)
    if block:
        yield "\n".join(block)
