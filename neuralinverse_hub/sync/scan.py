"""One look at the workspace folder: brings the picture up to date, puts what the host lacks into a pack.

Decides what belongs to a snapshot and in which order it is read.

A ``.git`` folder is captured as the files it consists of, so everything in it is exact: index, refs, reflogs, stashes,
a merge or rebase in progress, submodules, linked worktrees. It is read in the order in which a backup of a living
repository has to be read: loose refs, then packed refs, index and the rest, loose objects, packs last. Git writes the
other way round, so whatever a captured ref or index names is captured too.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from typing import Final

from . import picture, reading
from .pack import ChangedWhileRead, Pack
from .picture import Folder, Picture, Record, join
from .repositories import Repositories
from .watch import Watcher

__all__ = ["IGNORED", "Scan", "Unsettled"]

LARGEST_FILE: Final = 100 << 20
"""Bytes; larger files are listed as not protected."""

LARGEST_GIT_FILE: Final = 1 << 30
"""Bytes; the same for a file inside ``.git``, where a pack of a long history is large by nature."""

IGNORED: Final = "ignored by Git"
_TOO_LARGE: Final = "larger than {} MB"
_UNREADABLE: Final = "cannot be read: {}"
_SPECIAL: Final = "not a file, a folder or a link"


class Unsettled(Exception):
    """A repository changed under our hands in a way that a snapshot cannot stand; try again in a moment."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Looks at what it is asked to. Paths are relative to ``root``; each folder is watched before it is listed."""

    root: bytes
    watcher: Watcher | None
    picture: Picture
    repositories: Repositories
    pack: Pack
    now_ns: int = field(default_factory=time.time_ns)

    # -- ordinary folders ------------------------------------------------------------------------------------------

    def folder(self, path: bytes, folder: Folder, *, recheck: bool) -> bool:
        """Look at everything in a folder; False when it is gone. ``recheck``: also at what the rules say of it."""
        if self.watcher is not None:
            self.watcher.add(path)
        present: dict[bytes, os.stat_result] = {}
        try:
            with os.scandir(join(self.root, path) if path else self.root) as listing:
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

    def names(self, path: bytes, folder: Folder, names: set[bytes]) -> None:
        """Look at some names in a folder."""
        present: dict[bytes, os.stat_result] = {}
        gone = set[bytes]()
        for name in names:
            try:
                present[name] = os.lstat(self.root + b"/" + join(path, name))
            except (FileNotFoundError, NotADirectoryError):
                gone.add(name)
            except OSError as error:
                folder.skipped[name] = _UNREADABLE.format(error.strerror)
        self._take(path, folder, present, gone=gone, recheck=False)

    def _unreadable(self, path: bytes, error: OSError) -> None:
        parent, _, name = path.rpartition(b"/")
        above = self.picture.find(parent)
        if above is not None:
            above.skipped[name or b"."] = _UNREADABLE.format(error.strerror)

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
            self.repositories.look_at_rules(path)
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
                changed |= self._file(path, folder, files, name, st, LARGEST_FILE, look_inside=named)
        if changed:
            folder.replace_files(files)
            self.picture.touch(path)
        elif not named:
            folder.replace_files(files)  # marks may be fresher

    def _enter(self, path: bytes, folder: Folder, name: bytes, *, recheck: bool) -> bool:
        child = folder.folders.get(name)
        new = child is None
        if child is None:
            child = folder.folders[name] = Folder()
        inside = join(path, name)
        if name == b".git":
            self.repositories.met(inside)
            if self.git_folder(inside, child):
                return new or not child.sent
        elif self.folder(inside, child, recheck=recheck):
            return new
        self._drop(path, folder, {}, name)
        return True

    def _bare_repository(self, path: bytes, folder: Folder) -> None:
        self.repositories.met(path)
        self.picture.touch(path)
        self.git_folder(path, folder)

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
        """Names in ``present`` that no snapshot holds because of the rules; asked only of those not known yet."""
        known = {name for name, why in folder.skipped.items() if why == IGNORED} & present.keys()
        ask = present.keys() - {b".git"}
        if not recheck:
            ask -= files.keys() | folder.folders.keys() | known
        if not ask:
            return known
        found = self.repositories.ignored(path, ask, folders)
        return found if recheck else known | found

    # -- Git folders -----------------------------------------------------------------------------------------------

    def git_folder(self, path: bytes, folder: Folder, *, watch: bool = True) -> bool:
        """Look at everything in a Git folder, in backup order; False when it is gone.

        Raises:
            Unsettled: something vanished between two looks.
        """
        if watch and self.watcher is not None:
            self.watcher.add(path)
        try:
            names = os.listdir(self.root + b"/" + path)
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
            inside = join(path, name)
            try:
                st = os.lstat(self.root + b"/" + inside)
            except FileNotFoundError:
                raise Unsettled(os.fsdecode(inside)) from None
            if not stat.S_ISDIR(st.st_mode):
                if name in folder.folders:
                    changed |= self._drop(path, folder, files, name)
                changed |= self._file(path, folder, files, name, st, LARGEST_GIT_FILE, look_inside=False, git=True)
                continue
            changed |= files.pop(name, None) is not None
            child = folder.folders.get(name)
            if child is None:
                child = folder.folders[name] = Folder()
                changed = True
            unchanged = child.mark and child.mark == st.st_mtime_ns and not self.picture.unsent
            if len(name) == 2 and path.endswith(b"objects") and unchanged:
                continue  # loose objects never change, and coming or going changes their folder
            watched = watch and not (is_store and name in (b"objects", b"logs"))
            if not self.git_folder(inside, child, watch=watched):
                raise Unsettled(os.fsdecode(inside))
            child.mark = st.st_mtime_ns if self.now_ns - st.st_mtime_ns > picture.RACY_NS else 0
            changed |= not child.sent
        folder.replace_files(files)
        if changed:
            folder.sent = False
        return True

    # -- single names ----------------------------------------------------------------------------------------------

    def _drop(self, path: bytes, folder: Folder, files: dict[bytes, Record], name: bytes) -> bool:
        """Forget a name; whether a snapshot held it."""
        folder.skipped.pop(name, None)
        inside = join(path, name)
        self.picture.unsent.discard(inside)
        held = files.pop(name, None) is not None
        self.picture.files -= held
        child = folder.folders.pop(name, None)
        if child is not None:
            held = True
            self.picture.files -= child.count()
            below = inside + b"/"
            self.picture.unsent -= {p for p in self.picture.unsent if p.startswith(below)}
            if self.watcher is not None:
                self.watcher.forget(inside)
        if child is not None or name == b".git":
            self.repositories.gone(inside)
        return held

    def _file(
        self,
        path: bytes,
        folder: Folder,
        files: dict[bytes, Record],
        name: bytes,
        st: os.stat_result,
        largest: int,
        *,
        look_inside: bool,
        git: bool = False,
    ) -> bool:
        """Bring one file's record up to date; whether the snapshot changes by it."""
        inside = join(path, name)
        before = files.get(name)
        executable = picture.EXECUTABLE if st.st_mode & 0o100 else picture.FILE
        kind = picture.LINK if stat.S_ISLNK(st.st_mode) else executable
        why = None
        if not stat.S_ISREG(st.st_mode) and not stat.S_ISLNK(st.st_mode):
            why = _SPECIAL
        elif st.st_size > largest:
            why = _TOO_LARGE.format(largest >> 20)
        waiting = inside in self.picture.unsent
        if why is None and before is not None and not look_inside and not waiting:
            mark = picture.mark(st, self.now_ns)
            if mark and mark == before[2] and kind == before[0]:
                return False
        if why is None:
            known = before[1] if before is not None and not waiting else b""
            try:
                full = self.root + b"/" + inside
                oid, mark = reading.read(full, kind, st, known, self.pack, now_ns=self.now_ns, git=git)
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
        self.picture.files += before is None
        if before is None or before[:2] != (kind, oid):
            self.picture.unsent.add(inside)
            return True
        return waiting


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
