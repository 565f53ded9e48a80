"""The repositories in the workspace folder: what they ignore, whether Git can read them, whether all of them is here.

Paths are relative to the workspace folder. A repository is known by its *base*, the folder with ``.git`` in it.
"""

from __future__ import annotations

import os
from collections.abc import Set
from typing import Final

from .ignored import Rules, built, recreatable, secret
from .picture import join, prefixes

__all__ = ["Repositories"]

_DAMAGED: Final = "kept as it is, but damaged, so Git cannot use it: {}"
_ELSEWHERE: Final = "its history is partly in {}, outside this folder"

_SEARCHED_FOLDERS: Final = 200
_SEARCHED_DEPTH: Final = 3


class Repositories:
    """All repositories below ``root`` that have been met so far."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._git_dirs: set[bytes] = set()
        self._tracked: dict[bytes, frozenset[bytes]] = {}
        self._remarks: dict[bytes, str] = {}
        self._rules: dict[bytes, Rules] = {}

    def met(self, git_dir: bytes) -> None:
        """``git_dir`` is a Git folder: a ``.git``, or a bare repository."""
        self._git_dirs.add(git_dir)

    def gone(self, path: bytes) -> None:
        """``path`` is not there any more, nor what was below it."""
        below = path + b"/"
        self._git_dirs = {p for p in self._git_dirs if p != path and not p.startswith(below)}
        base, _, name = path.rpartition(b"/")
        if name == b".git":
            self._tracked.pop(base, None)
            self._remarks.pop(base, None)

    def git_dir_above(self, path: bytes) -> bytes | None:
        """The outermost Git folder that ``path`` is or lies in."""
        found = None
        for prefix in prefixes(path):
            if prefix in self._git_dirs:
                found = prefix
        return found

    def locked(self) -> bool:
        """Whether a Git command is at work in one of the repositories."""
        for path in self._git_dirs:
            for lock in (b"/index.lock", b"/HEAD.lock"):
                if os.path.lexists(join(self._root, path) + lock):
                    return True
        return False

    def remarks(self) -> dict[bytes, str]:
        """Git folders that a restore cannot make whole again, and why."""
        return {join(base, b".git"): why for base, why in self._remarks.items()}

    # -- what is ignored -------------------------------------------------------------------------------------------

    def look_at_rules(self, base: bytes, *, fresh: bool = False) -> bool:
        """Learn what the repository tracks and ignores; whether what it tracks has changed. ``fresh``: even if known."""
        if fresh and base in self._rules:
            self._rules.pop(base).close()
        before = self._tracked.get(base)
        self._rules_for(base)
        return before != self._tracked.get(base)

    def release(self) -> None:
        """End the git processes that answer for the rules; the next question starts new ones."""
        for rules in self._rules.values():
            rules.close()
        self._rules.clear()

    def ignored(self, path: bytes, names: Set[bytes], folders: Set[bytes]) -> set[bytes]:
        """Those of ``names`` in the folder ``path`` that the rules in force there exclude; ``folders`` are folders."""
        base = next((prefix for prefix in prefixes(path) if prefix in self._tracked), None)
        if base is None:
            return {name for name in names if (recreatable(name) if name in folders else secret(name))}
        prefix = path[len(base) :].lstrip(b"/")
        full = {join(prefix, name): name for name in names}
        found = {full[match] for match in self._rules_for(base).ignored(full)}
        return {name for name in found if name not in folders or not self._holds_repository(path, name)}

    def _holds_repository(self, path: bytes, name: bytes) -> bool:
        """Whether a folder that is ignored has a repository of the person's own in it, not far down."""
        if recreatable(name) or built(name):
            return False
        todo, left = [(self._root + b"/" + join(path, name), 0)], _SEARCHED_FOLDERS
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
                todo += [(at + b"/" + n, depth + 1) for n in inside if not recreatable(n)]
        return False

    def _rules_for(self, base: bytes) -> Rules:
        rules = self._rules.get(base)
        if rules is None:
            work_tree = join(self._root, base) if base else self._root
            rules = self._rules[base] = Rules(work_tree + b"/.git", work_tree)
            self._tracked[base] = rules.tracked_though_ignored()
            self._remarks.pop(base, None)
            why = _DAMAGED.format(rules.broken) if rules.broken is not None else self._elsewhere(work_tree)
            if why is not None:
                self._remarks[base] = why
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
        top = os.path.realpath(self._root) + b"/"
        outside = [place for place in places if not (os.path.realpath(place) + b"/").startswith(top)]
        return _ELSEWHERE.format(os.fsdecode(outside[0])) if outside else None
