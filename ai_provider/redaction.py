"""Keeps the values of a project's ``.env`` files out of everything that is sent to a model.

It decides which values are secret and takes them out of text; it never logs, shows or keeps them anywhere else. The rules are
those of ``vscode/src/secrets.ts``: the cases in ``tests/ai_provider/secrets.json`` hold for both.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Secrets", "folder_of", "folders_up", "is_secret_file", "secrets_near"]

SECRET_NAMES = re.compile(
    r"(\.env(\..+)?|.+\.env|\.envrc|\.netrc|\.pgpass|\.npmrc|\.pypirc|\.htpasswd|credentials"
    r"|id_(rsa|dsa|ecdsa|ed25519)|.+\.(pem|key|p12|pfx|jks|keystore|kdbx))",
    re.IGNORECASE,
)
DOTENV_NAMES = re.compile(r"(\.env(\..+)?|.+\.env|\.envrc)", re.IGNORECASE)
TEMPLATES = re.compile(r"\.(example|sample|template|dist)$", re.IGNORECASE)
"""Endings of files that are written to be shared."""

TELLING = re.compile(
    r"key|token|secret|pass|pwd|phrase|credential|auth|dsn|conn|private|salt|cert|signature|webhook", re.IGNORECASE
)
"""Names that say that a value is secret however short it is."""

PLAIN_SETTING = re.compile(r"true|false|none|null|basic|bearer|digest|[0-9]{1,5}", re.IGNORECASE)
"""Values that are settings whatever their name; replacing them everywhere would damage code."""

URL_WITH_PASSWORD = re.compile(r"://[^\s/@]*:[^\s/@]+@")

LONG = 12
"""From this length on a value counts as secret by how it looks; below it only ``TELLING`` names do."""

SHORTEST = 4
LARGEST_FILE = 65_536

ENTRY = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?([A-Za-z0-9_.-]+)[ \t]*[=:][ \t]*"""
    r"""(?:"((?:\\[\s\S]|[^"\\])*)"|'([^']*)'|([^\r\n]*))""",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Secrets:
    """Values that must not leave, each with the name it has in its file."""

    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Value → name."""

    def redact(self, text: str) -> str:
        """``text`` with each secret value replaced by ``<NAME from .env>``."""
        marks = {form: f"<{name} from .env>" for value, name in self.names.items() for form in forms(value)}
        if not marks:
            return text
        # In one go, so that no mark is searched for the next value; the longest first, since one may contain another.
        either = "|".join(re.escape(value) for value in sorted(marks, key=len, reverse=True))
        return re.sub(either, lambda found: marks[found.group()], text)

    def found_in(self, text: str) -> list[str]:
        """The names of the secrets that ``text`` contains, in order of name."""
        return sorted({name for value, name in self.names.items() if any(form in text for form in forms(value))})

    def restore(self, answer: str, question: str) -> str:
        """``answer`` with the values put back that ``redact`` takes out of ``question``."""
        for value, name in self.names.items():
            if value in question:
                answer = answer.replace(f"<{name} from .env>", value)
        return answer


def forms(value: str) -> tuple[str, str]:
    """``value`` as it is and as it looks inside JSON, such as a notebook's file or the arguments of a tool."""
    return value, json.dumps(value, ensure_ascii=False)[1:-1]


def is_secret_file(path: Path) -> bool:
    """Whether the whole file must stay here: ``.env``, ``.env.local``, keys, ``.netrc``, …, but not ``.env.example``."""
    return SECRET_NAMES.fullmatch(path.name) is not None and TEMPLATES.search(path.name) is None


def is_dotenv(path: Path) -> bool:
    """Whether the values in the file must not be sent from anywhere else either."""
    return DOTENV_NAMES.fullmatch(path.name) is not None and TEMPLATES.search(path.name) is None


def parse_dotenv(content: str) -> dict[str, str]:
    """Name → value of a ``.env`` file: ``NAME=value``, ``export NAME="value"``, quoted over lines; all else is skipped."""
    values = {}
    for name, double, single, bare in ENTRY.findall(content):
        unescaped = re.sub(r"\\([\s\S])", lambda found: "\n" if found[1] == "n" else found[1], double)
        if value := unescaped or single or re.sub(r"\s+#.*$", "", bare).strip():
            values[name] = value
    return values


def is_secret_value(name: str, value: str) -> bool:
    """Whether a value is taken out of other texts too. Short words and plain settings (``DEBUG=true``) stay."""
    if TELLING.search(name):
        return len(value) >= SHORTEST and PLAIN_SETTING.fullmatch(value) is None
    if len(value) < LONG or re.search(r"\s", value):
        return False
    mixed = re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)
    return bool(URL_WITH_PASSWORD.search(value) or mixed)


def secrets_in(content: str) -> dict[str, str]:
    """Value → name of the secrets in the content of one ``.env`` file."""
    return {value: name for name, value in parse_dotenv(content).items() if is_secret_value(name, value)}


def secrets_near(folders: Iterable[Path]) -> Secrets:
    """The secrets of the ``.env`` files in ``folders``. A file that cannot be read is passed over: we cannot send it either."""
    names: dict[str, str] = {}
    for folder in dict.fromkeys(folders):
        try:
            names_like_it = sorted(name for name in os.listdir(folder) if "env" in name.lower())
        except OSError:
            continue
        for path in filter(is_dotenv, map(folder.joinpath, names_like_it)):
            try:
                with path.open(encoding="utf-8", errors="replace") as file:
                    names.update(secrets_in(file.read(LARGEST_FILE)))
            except OSError:
                continue
    return Secrets(names)


def folders_up(start: Path, top: Path) -> list[Path]:
    """``start`` and its parents up to ``top``; ``start`` and ``top`` alone when one is not below the other."""
    if top == start or top not in start.parents:
        return [start, top]
    parents = list(start.parents)
    return [start, *parents[: parents.index(top) + 1]]


def folder_of(path: str, root: Path) -> Path:
    """The folder of a file as Jupyter's pages name it (``drive:below/the/root``); ``root`` for what is not below it."""
    root = root.resolve()
    folder = (root / path.rpartition(":")[2]).resolve().parent
    return folder if root in folder.parents else root
