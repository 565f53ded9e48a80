"""The line of a magic → what it asks for; and what the magics say of themselves. Pure.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .client import Model
from .errors import BadInput
from .formats import FORMATS, Bundle, Format, format_named

__all__ = ["COMMANDS", "Request", "parse", "split", "table", "usage"]

COMMANDS = {
    "list": "tasks and models, and who answers for them today",
    "fix": "explain the last exception of this notebook and repair it",
    "history": "what will be sent along with the next question",
    "reset": "forget the history",
    "help": "this text",
}


@dataclass(frozen=True)
class Request:
    """The first line of a cell, understood."""

    model: str
    format: Format
    insert: bool = False
    """Whether ``{name}`` in the prompt stands for a variable of the notebook."""


def parse(words: Sequence[str]) -> Request:
    """What the words after ``%%ai`` ask for. Raises ``BadInput`` for everything it does not know."""
    names: list[str] = []
    chosen = FORMATS[0]
    variables = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if option in ("-f", "--format"):
            if not equals:
                if not rest:
                    raise BadInput(f"{option} needs a format: {', '.join(known.name for known in FORMATS)}.")
                value = rest.pop(0)
            chosen = format_named(value)
        elif word == "--vars":
            variables = True
        elif word.startswith("-"):
            raise BadInput(f"There is no option {word!r}; known: -f FORMAT, --vars.")
        else:
            names.append(word)
    if len(names) > 1:
        raise BadInput(
            f"After %%ai comes one task or model, not {' '.join(names)!r}. The prompt begins on the next line; %ai list shows the names."
        )
    return Request(model=names[0] if names else "auto", format=chosen, insert=variables)


def split(line: str) -> list[str]:
    """The words of a magic's line; quotes keep words together. Raises ``BadInput`` for an open quote."""
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadInput(f"The line {line!r} cannot be read: {error}.") from None


def usage() -> str:
    """What ``%ai help`` says."""
    commands = [f"  %ai {name:<9}{what}" for name, what in COMMANDS.items()]
    formats = [f"  -f {known.name:<10}{known.description}" for known in FORMATS]
    return "\n".join(
        [
            "%%ai [task or model] [-f format] [--vars]   asks; the prompt is the rest of the cell",
            *formats,
            "  --vars        {name} in the prompt stands for that variable; {{ and }} are braces",
            *commands,
        ]
    )


def table(models: Iterable[Model]) -> Bundle:
    """What ``%ai list`` shows."""
    rows = [(model.id, model.kind, model.served_by or "nobody at the moment", model.description) for model in models]
    wide = max((len(row[0]) for row in rows), default=0)
    plain = [f"{name:<{wide}}  {kind:<11}{who}" for name, kind, who, _ in rows]
    marked = [
        "| Name | Kind | Answered by | |",
        "|:--|:--|:--|:--|",
        *(f"| `{a}` | {b} | {c} | {d} |" for a, b, c, d in rows),
    ]
    return {"text/plain": "\n".join(plain), "text/markdown": "\n".join(marked)}
