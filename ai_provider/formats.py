"""The forms an answer can take in a notebook: what the model is told, what is shown meanwhile, and what in the end. Pure.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import AiError, BadInput

__all__ = ["FORMATS", "Bundle", "Format", "format_named", "without_fence"]

Bundle = dict[str, Any]
"""A MIME bundle as Jupyter displays it. ``text/plain`` is always in it, for terminals."""

FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Format:
    """One form of an answer. ``meanwhile`` takes the text so far, ``finally_`` the whole; both give a bundle."""

    name: str
    description: str
    instruction: str
    """What the model is told first; empty: nothing."""
    meanwhile: Callable[[str], Bundle]
    finally_: Callable[[str], Bundle]
    """Raises ``AiError`` when the text is not what the format promises."""


def without_fence(text: str) -> str:
    """The content of the first fenced block, or the text itself when it has none; also while it is still coming."""
    found = FENCED.search(text)
    return (found.group(1) if found else text).strip("\n")


def _plain(text: str) -> Bundle:
    return {"text/plain": text}


def _markdown(text: str) -> Bundle:
    return {"text/markdown": text, "text/plain": text}


def _source(language: str) -> Callable[[str], Bundle]:
    def show(text: str) -> Bundle:
        bare = without_fence(text)
        return {"text/markdown": f"````{language}\n{bare}\n````", "text/plain": bare}

    return show


def _html(text: str) -> Bundle:
    bare = without_fence(text)
    # What a model wrote must not run with the rights of the person's notebook.
    framed = f'<iframe sandbox="" srcdoc="{html.escape(bare)}" style="width:100%;height:24em;border:0"></iframe>'
    return {"text/html": framed, "text/plain": bare}


def _json(text: str) -> Bundle:
    bare = without_fence(text).strip()
    try:
        value = json.loads(bare)
    except ValueError as error:
        raise AiError(
            f"The answer is not JSON ({error}). It is shown above as it came; ask again or ask another model."
        ) from None
    return {"application/json": value, "text/plain": json.dumps(value, indent=2, ensure_ascii=False)}


def _math(text: str) -> Bundle:
    bare = without_fence(text).strip()
    for opening, closing in (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")):
        if len(bare) > len(opening + closing) and bare.startswith(opening) and bare.endswith(closing):
            bare = bare[len(opening) : -len(closing)].strip()
            break
    return {"text/latex": f"$$\n{bare}\n$$", "text/plain": bare}


FORMATS: tuple[Format, ...] = (
    Format("markdown", "text with headings, lists and code, rendered (the usual form)", "", _markdown, _markdown),
    Format("text", "plain text, as it came", "Answer in plain text without any markup.", _plain, _plain),
    Format(
        "code",
        "code for this notebook, put into a new cell below",
        "Answer with Python code only, in one fenced block. Explain in comments where it helps.",
        _source("python"),
        _source("python"),
    ),
    Format(
        "html",
        "a page, shown in a frame of its own without scripts",
        "Answer with one self-contained HTML fragment only, without scripts.",
        _source("html"),
        _html,
    ),
    Format(
        "json",
        "one JSON value; anything else is an error",
        "Answer with one valid JSON value only.",
        _source("json"),
        _json,
    ),
    Format("math", "one formula", "Answer with one LaTeX formula only, without delimiters.", _source("latex"), _math),
)


def format_named(name: str) -> Format:
    """The format of that name. Raises ``BadInput`` that lists the known ones."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise BadInput(f"There is no format {name!r}; known: {', '.join(known.name for known in FORMATS)}.")
