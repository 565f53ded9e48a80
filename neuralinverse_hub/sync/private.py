"""Which files are private: kept, but encrypted. Ignored files nobody can make again, and the person's own settings.

Paths carry the place they belong to in front: ``work/`` for the workspace folder, ``home/`` for the home folder,
``vscode/`` for VS Code's user data.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from . import ignored, objects
from .pack import Pack
from .sealed import SealedFile, Sealer

__all__ = ["Private", "put_back"]

LARGEST: Final = 1 << 20
"""Bytes of one file."""
LARGEST_ALTOGETHER: Final = 16 << 20
_MOST_IN_A_FOLDER: Final = 500

WORK: Final = b"work"
HOME: Final = b"home"
VSCODE: Final = b"vscode"

_PERSONAL: Final = {
    HOME: (
        ".bash_history",
        ".zsh_history",
        ".python_history",
        ".local/share/fish/fish_history",
        ".bashrc",
        ".bash_profile",
        ".bash_aliases",
        ".profile",
        ".zshrc",
        ".zprofile",
        ".inputrc",
        ".vimrc",
        ".tmux.conf",
        ".gitconfig",
        ".config/git/config",
        ".config/git/ignore",
        ".config/git/attributes",
        ".config/fish/config.fish",
        ".jupyter/lab/user-settings",
    ),
    VSCODE: ("User/settings.json", "User/keybindings.json", "User/tasks.json", "User/snippets"),
}
_EXTENSIONS: Final = "extensions/extensions.json"
EXTENSIONS_WANTED: Final = b"extensions-wanted.json"
"""Below VS Code's folder, after a restore: identifiers of the extensions that the person had installed."""

_MADE_AGAIN: Final = (
    "*.py[co] *.o *.obj *.so *.a *.class *.jar *.whl *.log *.tmp *.swp *.swo *~ .DS_Store Thumbs.db *.tsbuildinfo "
    ".coverage *.cover *.prof *.pid *.vsix"
).split()


def made_again(name: bytes) -> bool:
    """Whether a tool makes files or folders of this name from others."""
    text = os.fsdecode(name)
    return ignored.recreatable(name) or ignored.built(name) or any(fnmatch.fnmatch(text, p) for p in _MADE_AGAIN)


@dataclass(slots=True)
class Private:
    """The private files of one workspace, and the blob that holds them in the snapshot."""

    work: bytes
    home: bytes
    vscode: bytes
    sealer: Sealer | None
    not_kept: dict[bytes, str] = field(default_factory=dict)
    """Ignored paths in the workspace folder that no snapshot holds, and why."""
    _seen: tuple[tuple[bytes, int, int, int, int], ...] | None = None
    _blob: bytes | None = None
    _oid: bytes = b""

    def update(self, skipped: Mapping[bytes, str], pack: Pack) -> bytes:
        """Object id of the blob for ``skipped``, the ignored paths of the folder; empty when there is nothing to keep.

        The blob is in ``pack`` unless the host has it already (see `arrived`).
        """
        self.not_kept = {}
        found = list(self._candidates(skipped))
        if self.sealer is None:
            for path, _ in found:
                if path.startswith(WORK + b"/"):
                    self.not_kept[path[len(WORK) + 1 :]] = "private, and no key is set to encrypt it with"
            return b""
        seen = tuple((path, st.st_mtime_ns, st.st_size, st.st_ino, st.st_mode) for path, st in found)
        if seen != self._seen:
            files = dict(self._read(found))
            self._blob = self.sealer.seal(files) if files else None
            self._oid = objects.object_id(objects.BLOB_TYPE, self._blob) if self._blob else b""
            self._seen = seen
        if self._blob is not None:
            pack.add(objects.BLOB_TYPE, self._blob, self._oid, level=0)
        return self._oid

    def arrived(self) -> None:
        """The host has the blob."""
        self._blob = None

    def changed(self, skipped: Mapping[bytes, str]) -> bool:
        """Whether an `update` would find something new."""
        if self.sealer is None:
            return False
        found = tuple((p, s.st_mtime_ns, s.st_size, s.st_ino, s.st_mode) for p, s in self._candidates(skipped))
        return found != self._seen

    def _candidates(self, skipped: Mapping[bytes, str]) -> Iterator[tuple[bytes, os.stat_result]]:
        left = LARGEST_ALTOGETHER
        for path, st, why in self._all(skipped):
            if not why and st.st_size > LARGEST:
                why = f"private and larger than {LARGEST >> 20} MB"
            if not why and st.st_size > left:
                why = f"private files are larger than {LARGEST_ALTOGETHER >> 20} MB altogether"
            if why:
                if path.startswith(WORK + b"/"):
                    self.not_kept[path[len(WORK) + 1 :]] = why
                continue
            left -= st.st_size
            yield path, st

    def _all(self, skipped: Mapping[bytes, str]) -> Iterator[tuple[bytes, os.stat_result, str]]:
        for place, names in _PERSONAL.items():
            last = [EXTENSIONS_WANTED.decode(), _EXTENSIONS] if place == VSCODE else []
            for name in [*names, *last]:
                for path, st in _walk(self._root(place), os.fsencode(name), made_again, 10 * _MOST_IN_A_FOLDER):
                    yield place + b"/" + path, st, ""
        for path in sorted(skipped):
            if any(made_again(part) for part in path.split(b"/")):
                self.not_kept[path] = "ignored by Git; can be made again"
                continue
            try:
                inside = list(_walk(self.work, path, made_again, _MOST_IN_A_FOLDER))
            except OverflowError:
                self.not_kept[path] = f"ignored by Git, with more than {_MOST_IN_A_FOLDER} files in it"
                continue
            for found, st in inside:
                yield WORK + b"/" + found, st, ""

    def _root(self, place: bytes) -> bytes:
        return {WORK: self.work, HOME: self.home, VSCODE: self.vscode}[place]

    def _read(self, found: list[tuple[bytes, os.stat_result]]) -> Iterator[tuple[bytes, SealedFile]]:
        for path, st in found:
            place, _, rest = path.partition(b"/")
            full = self._root(place) + b"/" + rest
            try:
                if stat.S_ISLNK(st.st_mode):
                    yield path, SealedFile(os.readlink(full), 0o777, link=True)
                elif path == VSCODE + b"/" + _EXTENSIONS.encode():
                    yield VSCODE + b"/" + EXTENSIONS_WANTED, SealedFile(_extensions(full))
                else:
                    with open(full, "rb") as file:
                        yield path, SealedFile(file.read(LARGEST), stat.S_IMODE(st.st_mode))
            except OSError as error:
                if place == WORK:
                    self.not_kept[rest] = f"cannot be read: {error.strerror}"


def _extensions(full: bytes) -> bytes:
    """Identifiers of installed extensions: what is needed to install them again, without the folders of this machine."""
    names: set[str] = set()
    with open(full, "rb") as file, contextlib.suppress(ValueError, KeyError, TypeError):
        names |= {f"{item['identifier']['id']}@{item['version']}" for item in json.load(file)}
    wanted = full.removesuffix(_EXTENSIONS.encode()) + EXTENSIONS_WANTED
    # Until somebody has installed them again, those of the last start count as installed.
    with contextlib.suppress(OSError, ValueError), open(wanted, "rb") as file:
        names |= {str(name) for name in json.load(file)}
    return json.dumps(sorted(names), indent=1).encode()


def _walk(
    root: bytes, path: bytes, leave_out: Callable[[bytes], bool], most: int
) -> Iterator[tuple[bytes, os.stat_result]]:
    """Files and links at or below ``path``; OverflowError past ``most`` of them."""
    todo, count = [path], 0
    while todo:
        at = todo.pop()
        try:
            st = os.lstat(root + b"/" + at)
            if stat.S_ISDIR(st.st_mode):
                names = sorted(os.listdir(root + b"/" + at), reverse=True)
                todo += [at + b"/" + name for name in names if not leave_out(name)]
                if len(todo) > most:
                    raise OverflowError
                continue
        except OSError:
            continue
        if stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode):
            count += 1
            if count > most:
                raise OverflowError
            yield at, st


def put_back(files: Mapping[bytes, SealedFile], places: Mapping[bytes, bytes]) -> int:
    """Write private files to where they belong; how many. Files in the way are replaced; nothing is followed."""
    count = 0
    for path, file in files.items():
        place, _, rest = path.partition(b"/")
        parts = rest.split(b"/")
        if place not in places or not rest or any(part in (b"", b".", b"..") for part in parts):
            continue
        target = places[place]
        os.makedirs(target, 0o700, exist_ok=True)
        for part in parts[:-1]:
            target += b"/" + part
            try:
                os.mkdir(target, 0o700)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(target).st_mode):
                    break
        else:
            target += b"/" + parts[-1]
            temporary = target + b".ni-restoring"
            if file.link:
                os.symlink(file.content, temporary)
            else:
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
                with open(fd, "wb") as out:
                    out.write(file.content)
                os.chmod(temporary, file.mode)
            os.replace(temporary, target)
            count += 1
    return count
