"""The workspace folder as a snapshot sees it: what is on disk, object ids, and what the host does not have yet.

Decides what belongs to a snapshot and in which order it is read; knows nothing of hosts, refs or time. What is held in
memory per file is its name, kind, object id and eight bytes that change when ``stat`` does.

A ``.git`` folder is captured as the files it consists of, so everything in it is exact: index, refs, reflogs, stashes,
a merge or rebase in progress, submodules, linked worktrees. It is read in the order in which a backup of a living
repository has to be read: loose refs, then packed refs, index and the rest, loose objects, packs last. Git writes the
other way round, so whatever a captured ref or index names is captured too.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from . import ignored, objects
from .pack import ChangedWhileRead, Pack
from .watch import Changes, Watcher

__all__ = ["Folder", "Unsettled", "Worktree"]

LARGEST_FILE: Final = 100 << 20
"""Bytes; larger files are listed as not protected."""

LARGEST_GIT_FILE: Final = 1 << 30
"""Bytes; the same for a file inside ``.git``, where a pack of a long history is large by nature."""

OURS: Final = objects.ESCAPE + b"/"
"""Where in a snapshot's tree lies what is not a file of the folder; no file's stored path begins like this."""

IGNORED: Final = "ignored by Git"
_TOO_LARGE: Final = "larger than {} MB"
_UNREADABLE: Final = "cannot be read: {}"
_DAMAGED: Final = "kept as it is, but damaged, so Git cannot use it: {}"
_ELSEWHERE: Final = "its history is partly in {}, outside this folder"
_SPECIAL: Final = "not a file, a folder or a link"

_SEARCHED_FOLDERS: Final = 200
_SEARCHED_DEPTH: Final = 3
_STREAMED: Final = 8 << 20
_RACY_NS: Final = 50_000_000
"""Two writes closer than the clock's tick can leave equal time stamps: what was written this recently is read again."""

_FILE, _EXEC, _LINK = 1, 2, 3
_MODES: Final = {_FILE: objects.FILE, _EXEC: objects.EXECUTABLE, _LINK: objects.SYMLINK}
_KINDS: Final = {0o100644: _FILE, 0o100755: _EXEC, 0o120000: _LINK}
_RECORD: Final = struct.Struct("=B20sq")

Record = tuple[int, bytes, int]
"""Kind, object id, and a mark that changes with ``stat``; mark 0 means: look inside."""


class Unsettled(Exception):
    """A repository changed under our hands in a way that a snapshot cannot stand; try again in a moment."""


class Folder:
    """One folder of the snapshot. Files are packed into bytes: a workspace has 100,000 of them."""

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


def _join(path: bytes, name: bytes) -> bytes:
    return path + b"/" + name if path else name


def _prefixes(path: bytes) -> Iterator[bytes]:
    """``path`` and the folders above it, innermost first, ``b""`` last."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
    yield b""


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


def _mark(st: Stat, now_ns: int) -> int:
    if now_ns - max(st.st_mtime_ns, st.st_ctime_ns) < _RACY_NS:
        return 0
    # No more of the numbers than a Git index keeps, so that marks can be made from one.
    return hash((st.st_mtime_ns, st.st_ctime_ns, st.st_size & 0xFFFFFFFF, st.st_ino & 0xFFFFFFFF)) or 1


class Worktree:
    """The folder ``root`` and everything protected below it. Not for use from two threads at once."""

    def __init__(self, root: bytes, watcher: Watcher | None = None) -> None:
        self.root = root
        self.watcher = watcher
        self.top = Folder()
        self.unsent: set[bytes] = set()
        """Paths whose content the host may not have: everything that changed since the last push that arrived."""
        self.files = 0
        """How many files the snapshot has."""
        self._git_dirs: set[bytes] = set()
        self._forced: dict[bytes, frozenset[bytes]] = {}
        self._damaged: dict[bytes, str] = {}
        self._rules: dict[bytes, ignored.Rules] = {}
        self._pack: Pack | None = None
        self._now_ns = 0

    # -- what others ask -------------------------------------------------------------------------------------------

    def update(self, changes: Changes | None, pack: Pack) -> None:
        """Bring the picture up to date and put every object the host lacks into ``pack``.

        ``changes`` says what to look at again; None means everything, which also finds what no watch has reported.

        Raises:
            Unsettled: a repository was changing; the picture is still valid, the pack is not to be used.
            FileNotFoundError: the root folder itself is gone.
        """
        self._pack = pack
        self._now_ns = time.time_ns()
        try:
            if not stat.S_ISDIR(os.lstat(self.root).st_mode):
                raise FileNotFoundError(self.root)
            if changes is None:
                self._scan(b"", self.top, recheck=True)
            else:
                self._apply(changes)
            self._write_trees(self.top)
        finally:
            self._pack = None
            for rules in self._rules.values():
                rules.close()
            self._rules.clear()

    def root_tree(self, extra: Iterable[tuple[bytes, bytes]], pack: Pack) -> bytes:
        """Id of the snapshot's root tree after an `update`: the folder, and ``extra`` (name, blob id) of our own."""
        ours = objects.tree([(objects.FILE, name, oid) for name, oid in extra])
        entries = self._entries(self.top)
        if ours:
            entries.append((objects.TREE, objects.ESCAPE, pack.add(objects.TREE_TYPE, ours)))
        return pack.add(objects.TREE_TYPE, objects.tree(entries))

    def arrived(self) -> None:
        """The host has everything that the last `update` found."""
        self.unsent.clear()
        todo = [self.top]
        while todo:
            folder = todo.pop()
            if not folder.sent:
                folder.sent = True
                todo += folder.folders.values()

    def seed(self, entries: Iterable[tuple[bytes, int, bytes, Stat | None]], tree: bytes) -> bool:
        """Start from a snapshot the host has: (stored path, mode, object id, its stat here) of each file in ``tree``.

        False, and nothing is taken over, when the entries do not make up that tree.
        """
        top = Folder()
        ours: list[tuple[bytes, bytes]] = []
        at: bytes | None = None
        folder, files, count = top, dict[bytes, Record](), 0
        now_ns = time.time_ns()
        for stored, mode, oid, st in entries:
            if stored.startswith(OURS):
                ours.append((stored[len(OURS) :], oid))
                continue
            parent, _, name = objects.real_path(stored).rpartition(b"/")
            if parent != at:
                folder.replace_files(files)
                folder, at = top, parent
                for part in parent.split(b"/") if parent else ():
                    folder = folder.folders.setdefault(part, Folder())
                files = folder.files()
            if mode == 0o40000:
                folder.folders[name] = Folder()
            else:
                files[name] = (_KINDS[mode], oid, 0 if st is None else _mark(st, now_ns))
                count += 1
        folder.replace_files(files)
        before = self.top
        self.top = top
        self._write_trees(top)
        with Pack(None) as unused:
            if self.root_tree(ours, unused) != tree:
                self.top = before
                return False
        self.files = count
        self.arrived()
        return True

    def not_protected(self) -> dict[bytes, str]:
        """Paths that are not in the snapshot though nobody asked for that, and why."""
        damaged = {_join(base, b".git"): why for base, why in self._damaged.items()}
        return {path: why for path, why in self._skipped() if why != IGNORED} | damaged

    def ignored_paths(self) -> dict[bytes, str]:
        """Paths that are left out because they are ignored; `not_protected` does not repeat them."""
        return {path: why for path, why in self._skipped() if why == IGNORED}

    def _skipped(self) -> Iterator[tuple[bytes, str]]:
        todo = [(b"", self.top)]
        while todo:
            path, folder = todo.pop()
            for name, why in folder.skipped.items():
                yield _join(path, name), why
            todo += [(_join(path, name), child) for name, child in folder.folders.items()]

    def locked(self) -> bool:
        """Whether a Git command is at work in one of the repositories."""
        for path in self._git_dirs:
            for lock in (b"/index.lock", b"/HEAD.lock"):
                if os.path.lexists(_join(self.root, path) + lock):
                    return True
        return False

    # -- looking again at what changed -----------------------------------------------------------------------------

    def _apply(self, changes: Changes) -> None:
        todo: dict[bytes, set[bytes]] = {path: set(names) for path, names in changes.items()}
        for path in self.unsent:
            parent, _, name = path.rpartition(b"/")
            todo.setdefault(parent, set()).add(name)
        repositories = set[bytes]()
        for path, names in sorted(todo.items()):
            git_dir = self._git_dir_above(path)
            if git_dir is not None:
                repositories.add(git_dir)
                continue
            folder = self._find(path)
            if folder is None:
                continue  # a folder above is gone or new, and is looked at itself
            if b".git" in names or b".gitignore" in names:
                # Other rules may hold for everything below.
                self._scan(path, folder, recheck=True)
            else:
                self._scan_names(path, folder, names)
        # After the files: a commit that was made meanwhile must not be newer than the files it was made from.
        for git_dir in sorted(repositories):
            self._look_into_repository(git_dir)

    def _look_into_repository(self, git_dir: bytes) -> None:
        folder = self._find(git_dir)
        if folder is None:
            return
        before = self._rule_files(folder)
        if not self._scan_git(git_dir, folder, watch=True):
            return  # its parent has an event of its own
        if not folder.sent:
            self._touch(git_dir)
        if self._rule_files(folder) == before or git_dir.rpartition(b"/")[2] != b".git":
            return
        base = git_dir.rpartition(b"/")[0]
        forced = self._forced.get(base)
        self._rules_for(base, fresh=True)
        if forced != self._forced.get(base) or before[1:] != self._rule_files(folder)[1:]:
            worktree = self._find(base)
            if worktree is not None:
                self._scan(base, worktree, recheck=True)

    @staticmethod
    def _rule_files(folder: Folder) -> tuple[bytes, bytes, bytes]:
        """Identities of what decides about ignoring: index, configuration, ``info/exclude``."""
        nothing = (0, b"", 0)
        files = folder.files()
        info = folder.folders.get(b"info")
        exclude = (info.files() if info is not None else {}).get(b"exclude", nothing)
        return files.get(b"index", nothing)[1], files.get(b"config", nothing)[1], exclude[1]

    def _find(self, path: bytes) -> Folder | None:
        folder: Folder | None = self.top
        for part in path.split(b"/") if path else ():
            folder = folder.folders.get(part) if folder is not None else None
        return folder

    def _touch(self, path: bytes) -> None:
        """The folder and those above it are not what the host has."""
        folder = self.top
        folder.sent = False
        for part in path.split(b"/") if path else ():
            folder = folder.folders[part]
            folder.sent = False

    def _git_dir_above(self, path: bytes) -> bytes | None:
        """The outermost Git folder that ``path`` is or lies in."""
        found = None
        for prefix in _prefixes(path):
            if prefix in self._git_dirs:
                found = prefix
        return found

    # -- ordinary folders ------------------------------------------------------------------------------------------

    def _scan(self, path: bytes, folder: Folder, *, recheck: bool) -> bool:
        """Look at everything in a folder; False when it is gone or cannot be listed."""
        if self.watcher is not None:
            self.watcher.add(path)
        present: dict[bytes, os.stat_result] = {}
        try:
            with os.scandir(_join(self.root, path) if path else self.root) as listing:
                for entry in listing:
                    try:
                        present[entry.name] = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
        except (FileNotFoundError, NotADirectoryError):
            if not path:
                raise FileNotFoundError(self.root) from None
            return False
        except OSError as error:
            self._unreadable(path, error)
            return True
        self._take(path, folder, present, gone=None, recheck=recheck)
        return True

    def _unreadable(self, path: bytes, error: OSError) -> None:
        parent, _, name = path.rpartition(b"/")
        above = self._find(parent)
        if above is not None:
            above.skipped[name or b"."] = _UNREADABLE.format(error.strerror)

    def _scan_names(self, path: bytes, folder: Folder, names: set[bytes]) -> None:
        present: dict[bytes, os.stat_result] = {}
        gone = set[bytes]()
        for name in names:
            try:
                present[name] = os.lstat(self.root + b"/" + _join(path, name))
            except (FileNotFoundError, NotADirectoryError):
                gone.add(name)
            except OSError as error:
                folder.skipped[name] = _UNREADABLE.format(error.strerror)
        self._take(path, folder, present, gone=gone, recheck=False)

    def _take(
        self,
        path: bytes,
        folder: Folder,
        present: dict[bytes, os.stat_result],
        *,
        gone: set[bytes] | None,
        recheck: bool,
    ) -> None:
        """Make ``folder`` what ``present`` says. ``gone``: only these were looked for and missed; None: all others."""
        files = folder.files()
        named = gone is not None
        if gone is None:
            gone = (files.keys() | folder.folders.keys() | folder.skipped.keys()) - present.keys()
        changed = False
        for name in gone:
            changed |= self._drop(path, folder, files, name)
        if b".git" in present:
            self._rules_for(path)
        folders = {name for name, st in present.items() if stat.S_ISDIR(st.st_mode)}
        if {b"HEAD", b"objects", b"refs"} <= present.keys() and {b"objects", b"refs"} <= folders:
            folder.replace_files(files)
            self._bare_repository(path, folder)
            return
        skip = self._ignored(path, folder, files, present, folders, recheck=recheck)
        for name, st in sorted(present.items()):
            if name in skip:
                changed |= self._drop(path, folder, files, name)
                folder.skipped[name] = IGNORED
            elif name in folders:
                changed |= files.pop(name, None) is not None
                folder.skipped.pop(name, None)
                changed |= self._enter(path, folder, name, recheck=recheck)
            else:
                if name in folder.folders:
                    changed |= self._drop(path, folder, files, name)
                changed |= self._file(path, folder, files, name, st, LARGEST_FILE, read=named)
        if changed:
            folder.replace_files(files)
            self._touch(path)
        elif not named:
            folder.replace_files(files)  # marks may be fresher

    def _enter(self, path: bytes, folder: Folder, name: bytes, *, recheck: bool) -> bool:
        child = folder.folders.get(name)
        new = child is None
        if child is None:
            child = folder.folders[name] = Folder()
        inside = _join(path, name)
        if name == b".git":
            self._git_dirs.add(inside)
            if self._scan_git(inside, child, watch=True):
                return new or not child.sent
        elif self._scan(inside, child, recheck=recheck):
            return new
        self._drop(path, folder, {}, name)
        return True

    def _bare_repository(self, path: bytes, folder: Folder) -> None:
        self._git_dirs.add(path)
        self._touch(path)
        self._scan_git(path, folder, watch=True)

    def _drop(self, path: bytes, folder: Folder, files: dict[bytes, Record], name: bytes) -> bool:
        """Forget a name; whether a snapshot held it."""
        folder.skipped.pop(name, None)
        inside = _join(path, name)
        self.unsent.discard(inside)
        held = files.pop(name, None) is not None
        self.files -= held
        child = folder.folders.pop(name, None)
        if child is not None:
            held = True
            self.files -= child.count()
            below = inside + b"/"
            self.unsent = {p for p in self.unsent if not p.startswith(below)}
            self._git_dirs = {p for p in self._git_dirs if p != inside and not p.startswith(below)}
            if self.watcher is not None:
                self.watcher.forget(inside)
        if name == b".git":
            self._forced.pop(path, None)
            self._damaged.pop(path, None)
        return held

    def _ignored(
        self,
        path: bytes,
        folder: Folder,
        files: dict[bytes, Record],
        present: dict[bytes, os.stat_result],
        folders: set[bytes],
        *,
        recheck: bool,
    ) -> set[bytes]:
        """Names in ``present`` that the rules in force here exclude."""
        known = {name for name, why in folder.skipped.items() if why == IGNORED} & present.keys()
        ask = present.keys() - {b".git"}
        if not recheck:
            ask -= files.keys() | folder.folders.keys() | known
        if not ask:
            return known
        base = next((prefix for prefix in _prefixes(path) if prefix in self._forced), None)
        if base is None:
            found = {name for name in ask if (ignored.recreatable(name) if name in folders else ignored.secret(name))}
        else:
            prefix = path[len(base) :].lstrip(b"/")
            full = {_join(prefix, name): name for name in ask}
            found = {full[match] for match in self._rules_for(base).ignored(full)}
            found = {name for name in found if not self._nested_repository(path, name, folders)}
        return found if recheck else known | found

    def _nested_repository(self, path: bytes, name: bytes, folders: set[bytes]) -> bool:
        """Whether a folder that is ignored has a repository of the person's own in it, not far down."""
        if name not in folders or ignored.recreatable(name) or ignored.built(name):
            return False
        todo, left = [(self.root + b"/" + _join(path, name), 0)], _SEARCHED_FOLDERS
        while todo and left:
            at, depth = todo.pop(0)
            left -= 1
            try:
                with os.scandir(at) as listing:
                    inside = [e.name for e in listing if e.is_dir(follow_symlinks=False) or e.name == b".git"]
            except OSError:
                continue
            if b".git" in inside:
                return True
            if depth < _SEARCHED_DEPTH:
                todo += [(at + b"/" + n, depth + 1) for n in inside if not ignored.recreatable(n)]
        return False

    def _rules_for(self, base: bytes, *, fresh: bool = False) -> ignored.Rules:
        if fresh and base in self._rules:
            self._rules.pop(base).close()
        rules = self._rules.get(base)
        if rules is None:
            work_tree = _join(self.root, base) if base else self.root
            rules = self._rules[base] = ignored.Rules(work_tree + b"/.git", work_tree)
            self._forced[base] = rules.tracked_though_ignored()
            self._damaged.pop(base, None)
            why = _DAMAGED.format(rules.broken) if rules.broken is not None else self._elsewhere(work_tree)
            if why is not None:
                self._damaged[base] = why
        return rules

    def _elsewhere(self, work_tree: bytes) -> str | None:
        """What to say of a repository that does not lie in this folder with all that belongs to it."""
        places = []
        try:
            if not os.path.isdir(work_tree + b"/.git"):
                with open(work_tree + b"/.git", "rb") as file:
                    places.append(os.path.join(work_tree, file.read(4096).removeprefix(b"gitdir:").strip()))
            else:
                with open(work_tree + b"/.git/objects/info/alternates", "rb") as file:
                    places += [
                        os.path.join(work_tree, b".git/objects", line) for line in file.read(65536).split(b"\n") if line
                    ]
        except OSError:
            return None
        top = os.path.realpath(self.root) + b"/"
        outside = [place for place in places if not (os.path.realpath(place) + b"/").startswith(top)]
        return _ELSEWHERE.format(os.fsdecode(outside[0])) if outside else None

    # -- Git folders -----------------------------------------------------------------------------------------------

    def _scan_git(self, path: bytes, folder: Folder, *, watch: bool) -> bool:
        """Look at everything in a Git folder, in backup order; False when it is gone."""
        if watch and self.watcher is not None:
            self.watcher.add(path)
        full = self.root + b"/" + path
        try:
            names = os.listdir(full)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            self._unreadable(path, error)
            return True
        files = folder.files()
        changed = False
        keep = {name for name in names if not _passing(name)}
        for name in (files.keys() | folder.folders.keys() | folder.skipped.keys()) - keep:
            changed |= self._drop(path, folder, files, name)
        is_store = {b"HEAD", b"objects"} <= keep
        for name in sorted(keep, key=_backup_order):
            inside = _join(path, name)
            try:
                st = os.lstat(self.root + b"/" + inside)
            except FileNotFoundError:
                raise Unsettled(os.fsdecode(inside)) from None
            if not stat.S_ISDIR(st.st_mode):
                if name in folder.folders:
                    changed |= self._drop(path, folder, files, name)
                changed |= self._file(path, folder, files, name, st, LARGEST_GIT_FILE, read=False, git=True)
                continue
            changed |= files.pop(name, None) is not None
            child = folder.folders.get(name)
            if child is None:
                child = folder.folders[name] = Folder()
                changed = True
            unchanged = child.mark and child.mark == st.st_mtime_ns and not self.unsent
            if len(name) == 2 and path.endswith(b"objects") and unchanged:
                continue  # loose objects never change, and coming or going changes their folder
            if not self._scan_git(inside, child, watch=watch and not (is_store and name in (b"objects", b"logs"))):
                raise Unsettled(os.fsdecode(inside))
            child.mark = st.st_mtime_ns if self._now_ns - st.st_mtime_ns > _RACY_NS else 0
            changed |= not child.sent
        folder.replace_files(files)
        if changed:
            folder.sent = False
        return True

    # -- single files ----------------------------------------------------------------------------------------------

    def _file(
        self,
        path: bytes,
        folder: Folder,
        files: dict[bytes, Record],
        name: bytes,
        st: os.stat_result,
        largest: int,
        *,
        read: bool,
        git: bool = False,
    ) -> bool:
        """Bring one file's record up to date; whether the snapshot changes by it."""
        inside = _join(path, name)
        before = files.get(name)
        kind = _LINK if stat.S_ISLNK(st.st_mode) else _EXEC if st.st_mode & 0o100 else _FILE
        why = None
        if not stat.S_ISREG(st.st_mode) and not stat.S_ISLNK(st.st_mode):
            why = _SPECIAL
        elif st.st_size > largest:
            why = _TOO_LARGE.format(largest >> 20)
        waiting = inside in self.unsent
        if why is None and before is not None and not read and not waiting:
            mark = _mark(st, self._now_ns)
            if mark and mark == before[2] and kind == before[0]:
                return False
        if why is None:
            try:
                oid, mark = self._read(inside, kind, st, before[1] if before is not None and not waiting else b"", git)
            except FileNotFoundError:
                if git:
                    raise Unsettled(os.fsdecode(inside)) from None
                return self._drop(path, folder, files, name)
            except ChangedWhileRead:
                if git:
                    raise Unsettled(os.fsdecode(inside)) from None
                return False  # it is still being written: its next event brings us back
            except OSError as error:
                why = _UNREADABLE.format(error.strerror)
        if why is not None:
            changed = self._drop(path, folder, files, name)
            folder.skipped[name] = why
            return changed
        folder.skipped.pop(name, None)
        files[name] = (kind, oid, mark)
        self.files += before is None
        if before is None or before[:2] != (kind, oid):
            self.unsent.add(inside)
            return True
        return waiting

    def _read(self, inside: bytes, kind: int, st: os.stat_result, known: bytes, git: bool) -> tuple[bytes, int]:
        """Object id and mark of a file; its content is in the pack afterwards unless the host has it as ``known``."""
        assert self._pack is not None
        full = self.root + b"/" + inside
        level = 0 if git and b"/objects/" in inside else 1  # already deflated
        if kind == _LINK:
            data = os.readlink(full)
            oid = objects.object_id(objects.BLOB_TYPE, data)
            if oid != known:
                self._pack.add(objects.BLOB_TYPE, data, oid)
            return oid, _mark(st, self._now_ns)
        fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            for _ in range(3):
                before = os.fstat(fd)
                if before.st_size <= _STREAMED:
                    os.lseek(fd, 0, os.SEEK_SET)
                    data = _read_all(fd, before.st_size)
                    oid = objects.object_id(objects.BLOB_TYPE, data)
                    same = len(data) == before.st_size and _same(before, os.fstat(fd))
                    if same and oid != known:
                        self._pack.add(objects.BLOB_TYPE, data, oid, level=level)
                else:
                    oid = _hash(fd, before.st_size)
                    same = oid != b"" and _same(before, os.fstat(fd))
                    if same and oid != known:
                        self._pack.add_file(fd, before.st_size, oid, level=level)
                if same:
                    return oid, _mark(before, time.time_ns())
            if not git and before.st_size <= _STREAMED:
                # Somebody writes to it all the time, as to a log: what was there when we looked is worth keeping.
                oid = self._pack.add(objects.BLOB_TYPE, data)
                return oid, 0
        finally:
            os.close(fd)
        raise ChangedWhileRead

    # -- trees -----------------------------------------------------------------------------------------------------

    def _entries(self, folder: Folder) -> list[tuple[bytes, bytes, bytes]]:
        entries = [(_MODES[kind], objects.stored_name(name), oid) for name, (kind, oid, _) in folder.files().items()]
        return entries + [(objects.TREE, objects.stored_name(name), c.oid) for name, c in folder.folders.items()]

    def _write_trees(self, folder: Folder) -> None:
        """Bring the tree ids up to date; trees the host lacks go into the pack."""
        if folder.sent:
            return
        for child in folder.folders.values():
            self._write_trees(child)
        data = objects.tree(self._entries(folder))
        folder.oid = objects.object_id(objects.TREE_TYPE, data)
        if self._pack is not None and folder is not self.top:
            self._pack.add(objects.TREE_TYPE, data, folder.oid)


def _passing(name: bytes) -> bool:
    """Files in a Git folder that belong to a running command, not to the repository."""
    return (
        name.endswith(b".lock")
        or name.startswith((b"tmp_obj_", b"tmp_pack_", b"tmp_idx_", b".tmp-", b"incoming-", b"fsmonitor--daemon"))
        or name == b"gc.pid"
    )


def _backup_order(name: bytes) -> tuple[int, bytes]:
    if name in (b"HEAD", b"refs", b"worktrees"):
        return 0, name
    if name == b"objects":
        return 3, name
    if name == b"pack":
        return 2, name
    return 1, name


def _read_all(fd: int, size: int) -> bytes:
    """Up to one byte more than ``size``, so that growth shows."""
    parts = []
    left = size + 1
    while left > 0 and (chunk := os.read(fd, left)):
        parts.append(chunk)
        left -= len(chunk)
    return b"".join(parts)


def _hash(fd: int, size: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    check = objects.begin_object_id(objects.BLOB_TYPE, size)
    left = size
    while chunk := os.read(fd, 1 << 20):
        check.update(chunk)
        left -= len(chunk)
    return check.digest() if left == 0 else b""


def _same(a: os.stat_result, b: os.stat_result) -> bool:
    return (a.st_mtime_ns, a.st_ctime_ns, a.st_size) == (b.st_mtime_ns, b.st_ctime_ns, b.st_size)
