"""The workspace folder as a snapshot sees it: what is on disk, object ids, and what the host does not have yet.

Decides what to look at again; how it is looked at is `scan`'s, what is remembered `picture`'s. Knows nothing of hosts,
refs or time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from .pack import Pack
from .picture import Folder, Picture, Stat
from .repositories import Repositories
from .scan import IGNORED, Scan, Unsettled
from .watch import Changes, Watcher

__all__ = ["Unsettled", "Worktree"]


class Worktree:
    """The folder ``root`` and everything protected below it. Not for use from two threads at once."""

    def __init__(self, root: bytes, watcher: Watcher | None = None) -> None:
        self.root = root
        self.watcher = watcher
        self._picture = Picture()
        self._repositories = Repositories(root)

    @property
    def files(self) -> int:
        """How many files the snapshot has."""
        return self._picture.files

    @property
    def unsent(self) -> set[bytes]:
        """Paths whose content the host may not have."""
        return self._picture.unsent

    def update(self, changes: Changes | None, pack: Pack) -> None:
        """Bring the picture up to date and put every object the host lacks into ``pack``.

        ``changes`` says what to look at again; None means everything, which also finds what no watch has reported.

        Raises:
            Unsettled: a repository was changing; the picture is still valid, the pack is not to be used.
            FileNotFoundError: the root folder itself is gone.
        """
        scan = Scan(self.root, self.watcher, self._picture, self._repositories, pack)
        try:
            if not stat.S_ISDIR(os.lstat(self.root).st_mode):
                raise FileNotFoundError(self.root)
            if changes is None:
                scan.folder(b"", self._picture.top, recheck=True)
            else:
                self._apply(changes, scan)
            self._picture.write_trees(pack)
        finally:
            self._repositories.release()

    def root_tree(self, extra: Iterable[tuple[bytes, bytes]], pack: Pack) -> bytes:
        """Id of the snapshot's root tree after an `update`: the folder, and ``extra`` (name, blob id) of our own."""
        return self._picture.root_tree(extra, pack)

    def arrived(self) -> None:
        """The host has everything that the last `update` found."""
        self._picture.all_sent()

    def seed(self, entries: Iterable[tuple[bytes, int, bytes, Stat | None]], tree: bytes) -> bool:
        """Start from a snapshot the host has (see `Picture.of_snapshot`); False, and nothing is taken over, when the
        entries do not make up ``tree``.
        """
        picture = Picture.of_snapshot(entries, tree)
        if picture is None:
            return False
        self._picture = picture
        return True

    def not_protected(self) -> dict[bytes, str]:
        """Paths that are not in the snapshot though nobody asked for that, and why."""
        return {path: why for path, why in self._picture.skipped() if why != IGNORED} | self._repositories.remarks()

    def ignored_paths(self) -> dict[bytes, str]:
        """Paths that are left out because they are ignored; `not_protected` does not repeat them."""
        return {path: why for path, why in self._picture.skipped() if why == IGNORED}

    def locked(self) -> bool:
        """Whether a Git command is at work in one of the repositories."""
        return self._repositories.locked()

    # -- looking again at what changed -----------------------------------------------------------------------------

    def _apply(self, changes: Changes, scan: Scan) -> None:
        todo: dict[bytes, set[bytes]] = {path: set(names) for path, names in changes.items()}
        for path in self.unsent:
            parent, _, name = path.rpartition(b"/")
            todo.setdefault(parent, set()).add(name)
        git_dirs = set[bytes]()
        for path, names in sorted(todo.items()):
            git_dir = self._repositories.git_dir_above(path)
            if git_dir is not None:
                git_dirs.add(git_dir)
                continue
            folder = self._picture.find(path)
            if folder is None:
                continue  # a folder above is gone or new, and is looked at itself
            if b".git" in names or b".gitignore" in names:
                # Other rules may hold for everything below.
                scan.folder(path, folder, recheck=True)
            else:
                scan.names(path, folder, names)
        # After the files: a commit that was made meanwhile must not be newer than the files it was made from.
        for git_dir in sorted(git_dirs):
            self._look_into_repository(git_dir, scan)

    def _look_into_repository(self, git_dir: bytes, scan: Scan) -> None:
        folder = self._picture.find(git_dir)
        if folder is None:
            return
        before = _rule_files(folder)
        if not scan.git_folder(git_dir, folder):
            return  # its parent has an event of its own
        if not folder.sent:
            self._picture.touch(git_dir)
        base, _, name = git_dir.rpartition(b"/")
        after = _rule_files(folder)
        if after == before or name != b".git":
            return
        changed = self._repositories.look_at_rules(base, fresh=True)
        worktree = self._picture.find(base)
        if worktree is not None and (changed or before[1:] != after[1:]):
            scan.folder(base, worktree, recheck=True)


def _rule_files(folder: Folder) -> tuple[bytes, bytes, bytes]:
    """Identities of what decides about ignoring in a Git folder: index, configuration, ``info/exclude``."""
    nothing = (0, b"", 0)
    files = folder.files()
    info = folder.folders.get(b"info")
    exclude = (info.files() if info is not None else {}).get(b"exclude", nothing)
    return files.get(b"index", nothing)[1], files.get(b"config", nothing)[1], exclude[1]
