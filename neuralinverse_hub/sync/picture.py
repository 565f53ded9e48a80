"""What a snapshot consists of, in memory: folders, the files in them, their object ids, and which the host has. Pure.

What is held per file is its name, kind, object id and eight bytes that change when ``stat`` does: a workspace has
100,000 of them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from . import objects
from .pack import Pack

__all__ = ["EXECUTABLE", "FILE", "LINK", "RACY_NS", "Folder", "Picture", "Record", "Stat", "join", "mark", "prefixes"]

RACY_NS: Final = 50_000_000
"""Two writes closer than the clock's tick can leave equal time stamps: what was written this recently is read again."""

FILE, EXECUTABLE, LINK = 1, 2, 3
_MODES: Final = {FILE: objects.FILE, EXECUTABLE: objects.EXECUTABLE, LINK: objects.SYMLINK}
_KINDS: Final = {0o100644: FILE, 0o100755: EXECUTABLE, 0o120000: LINK}
_RECORD: Final = struct.Struct("=B20sq")
_OURS: Final = objects.ESCAPE + b"/"
"""Where in a snapshot's tree lies what is not a file of the folder; no file's stored path begins like this."""

Record = tuple[int, bytes, int]
"""Kind, object id, and a mark that changes with ``stat``; mark 0 means: look inside."""


class Stat(Protocol):
    """What is needed of ``stat`` to notice that a file has changed."""

    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_ino(self) -> int: ...


def mark(st: Stat, now_ns: int) -> int:
    """A number that changes when the file does; 0 when ``st`` is too fresh at ``now_ns`` to rely on."""
    if now_ns - max(st.st_mtime_ns, st.st_ctime_ns) < RACY_NS:
        return 0
    # No more of the numbers than a Git index keeps, so that marks can be made from one.
    return hash((st.st_mtime_ns, st.st_ctime_ns, st.st_size & 0xFFFFFFFF, st.st_ino & 0xFFFFFFFF)) or 1


def join(path: bytes, name: bytes) -> bytes:
    """``name`` in the folder ``path``; ``b""`` is the top."""
    return path + b"/" + name if path else name


def prefixes(path: bytes) -> Iterator[bytes]:
    """``path`` and the folders above it, innermost first, ``b""`` last."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
    yield b""


class Folder:
    """One folder of the snapshot; its files are packed into bytes."""

    __slots__ = ("_files", "folders", "mark", "oid", "sent", "skipped")

    def __init__(self) -> None:
        self._files = b""
        self.folders: dict[bytes, Folder] = {}
        self.skipped: dict[bytes, str] = {}
        """Names in this folder that no snapshot holds, and why."""
        self.oid = b""
        self.sent = False
        """Whether the host is known to have this folder, as it is in memory now, with all that is in it."""
        self.mark = 0

    def files(self) -> dict[bytes, Record]:
        """The files directly in this folder."""
        out: dict[bytes, Record] = {}
        data, at = self._files, 0
        while at < len(data):
            record = _RECORD.unpack_from(data, at)
            end = data.index(b"\0", at + 29)
            out[data[at + 29 : end]] = record
            at = end + 1
        return out

    def replace_files(self, files: dict[bytes, Record]) -> None:
        """Set the files directly in this folder."""
        self._files = b"".join([_RECORD.pack(*record) + name + b"\0" for name, record in files.items()])

    def count(self) -> int:
        """Files here and below."""
        return len(self.files()) + sum(folder.count() for folder in self.folders.values())

    def entries(self) -> list[tuple[bytes, bytes, bytes]]:
        """The entries of this folder's tree object."""
        entries = [(_MODES[kind], objects.stored_name(name), oid) for name, (kind, oid, _) in self.files().items()]
        return entries + [(objects.TREE, objects.stored_name(name), c.oid) for name, c in self.folders.items()]


class Picture:
    """All folders of a snapshot, from ``top`` down, and what of them the host may not have. Paths are relative to it."""

    def __init__(self) -> None:
        self.top = Folder()
        self.files = 0
        """How many files there are."""
        self.unsent: set[bytes] = set()
        """Paths whose content the host may not have: everything that changed since the last push that arrived."""

    @classmethod
    def of_snapshot(cls, entries: Iterable[tuple[bytes, int, bytes, Stat | None]], tree: bytes) -> Picture | None:
        """A picture of a snapshot the host has, from (stored path, mode, object id, its stat here) of each file in
        ``tree``; None when the entries do not make up that tree.
        """
        picture, files_of = cls(), dict[bytes, Record]()
        ours: list[tuple[bytes, bytes]] = []
        at: bytes | None = None
        folder = picture.top
        now_ns = time.time_ns()
        for stored, mode, oid, st in entries:
            if stored.startswith(_OURS):
                ours.append((stored[len(_OURS) :], oid))
                continue
            parent, _, name = objects.real_path(stored).rpartition(b"/")
            if parent != at:
                folder.replace_files(files_of)
                folder, at = picture.top, parent
                for part in parent.split(b"/") if parent else ():
                    folder = folder.folders.setdefault(part, Folder())
                files_of = folder.files()
            if mode == 0o40000:
                folder.folders[name] = Folder()
            else:
                files_of[name] = (_KINDS[mode], oid, 0 if st is None else mark(st, now_ns))
                picture.files += 1
        folder.replace_files(files_of)
        picture.write_trees(None)
        with Pack(None) as unused:
            if picture.root_tree(ours, unused) != tree:
                return None
        picture.all_sent()
        return picture

    def find(self, path: bytes) -> Folder | None:
        """The folder at ``path``."""
        folder: Folder | None = self.top
        for part in path.split(b"/") if path else ():
            folder = folder.folders.get(part) if folder is not None else None
        return folder

    def touch(self, path: bytes) -> None:
        """The folder and those above it are not what the host has."""
        folder = self.top
        folder.sent = False
        for part in path.split(b"/") if path else ():
            folder = folder.folders[part]
            folder.sent = False

    def all_sent(self) -> None:
        """The host has all of it."""
        self.unsent.clear()
        todo = [self.top]
        while todo:
            folder = todo.pop()
            if not folder.sent:
                folder.sent = True
                todo += folder.folders.values()

    def skipped(self) -> Iterator[tuple[bytes, str]]:
        """Paths that no snapshot holds, and why."""
        todo = [(b"", self.top)]
        while todo:
            path, folder = todo.pop()
            for name, why in folder.skipped.items():
                yield join(path, name), why
            todo += [(join(path, name), child) for name, child in folder.folders.items()]

    def write_trees(self, pack: Pack | None) -> None:
        """Bring the tree ids up to date; trees the host lacks go into ``pack``, except the top's."""
        self._write_trees(self.top, pack)

    def _write_trees(self, folder: Folder, pack: Pack | None) -> None:
        if folder.sent:
            return
        for child in folder.folders.values():
            self._write_trees(child, pack)
        data = objects.tree(folder.entries())
        folder.oid = objects.object_id(objects.TREE_TYPE, data)
        if pack is not None and folder is not self.top:
            pack.add(objects.TREE_TYPE, data, folder.oid)

    def root_tree(self, extra: Iterable[tuple[bytes, bytes]], pack: Pack) -> bytes:
        """Id of the snapshot's root tree after `write_trees`: the top, and ``extra`` (name, blob id) of our own."""
        ours = objects.tree([(objects.FILE, name, oid) for name, oid in extra])
        entries = self.top.entries()
        if ours:
            entries.append((objects.TREE, objects.ESCAPE, pack.add(objects.TREE_TYPE, ours)))
        return pack.add(objects.TREE_TYPE, objects.tree(entries))
