"""Our VS Code extension, packaged or built when needed, ready to stand among code-server's built-in ones.

Decides whether a packaged ``.vsix`` is current or the sources have to be built, and under which key the result is kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from neuralinverse_hub.local.errors import InstallError
from neuralinverse_hub.local.fetching import Run
from neuralinverse_hub.local.node import Node

PACKAGED: Final = "neuralinverse.vsix"
_NOT_SOURCES: Final = frozenset({"node_modules", "dist", "out", ".vscode-test", "test-results", PACKAGED})


@dataclass(frozen=True, slots=True)
class Extension:
    """What there is to install: a packaged file, or sources to build one from."""

    folder: Path
    packaged: Path | None
    key: str
    """Changes whenever what would be installed changes."""


def default_folder() -> Path | None:
    """Where the extension is in this installation; None when it is not part of it."""
    spec = find_spec("ai_provider")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(place) / "vscode"
        if folder.is_dir():
            return folder
    return None


def sources(folder: Path) -> list[Path]:
    """All files the extension is built from, in a stable order."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NOT_SOURCES and not name.startswith("."))
        found += [
            Path(place, name) for name in sorted(files) if name not in _NOT_SOURCES and not name.endswith(".vsix")
        ]
    return found


def look(folder: Path | None) -> Extension | None:
    """What ``folder`` offers; None when there is nothing to install in it.

    An installed wheel carries the packaged file and no sources. Where the sources are, a packaged file beside them is
    somebody's last attempt, and does not count.
    """
    if folder is None or not folder.is_dir():
        return None
    packaged = folder / PACKAGED
    buildable = (folder / "package-lock.json").is_file() and (folder / "src").is_dir()
    if buildable and (folder / "package.json").is_file():
        return Extension(folder, None, _digest(folder, sources(folder)))
    if packaged.is_file():
        return Extension(folder, packaged, _digest(folder, [packaged]))
    return None


def _digest(folder: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def build(extension: Extension, workbench: Path, run: Run, node: Node) -> Path:
    """Path of the packaged file, built in the folder ``workbench`` unless it came packaged. Raises InstallError."""
    if extension.packaged is not None:
        return extension.packaged
    for path in sources(extension.folder):
        copy = workbench / path.relative_to(extension.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    run(node.npm_command("ci", "--ignore-scripts"), workbench)
    run(node.npm_command("run", "package"), workbench)
    packaged = workbench / PACKAGED
    if not packaged.is_file():
        raise InstallError(f"npm run package in {extension.folder} did not write {PACKAGED}. Details: {run.log}")
    return packaged


def unpack(packaged: Path, target: Path) -> None:
    """Write the ``extension/`` part of ``packaged`` into the folder ``target``. Raises InstallError."""
    try:
        with zipfile.ZipFile(packaged) as archive:
            for name in archive.namelist():
                if not name.startswith("extension/") or name.endswith("/"):
                    continue
                file = (target / name.removeprefix("extension/")).resolve()
                if not file.is_relative_to(target.resolve()):
                    raise InstallError(f"{packaged} holds a file outside its folder: {name}")
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as packed, file.open("wb") as out:
                    shutil.copyfileobj(packed, out)
    except (zipfile.BadZipFile, OSError) as error:
        raise InstallError(
            f"{packaged} is not a readable VS Code extension package ({error}): build it again."
        ) from error
    if not (target / "package.json").is_file():
        raise InstallError(f"{packaged} holds no extension/package.json: build it again.")
