"""Objects of snapshots kept on the node, so that the next start there fetches only what has changed since.

Optional: ``NEURALINVERSE_GIT_CACHE`` names a folder that outlives workspaces. Everything in it can be read by whoever
can read the folder, so an operator gives each person one of their own. What is in it is verified before it is used, and
thrown away when it does not hold; without it, or when it cannot be written, a restore fetches everything.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from . import gitcmd
from .gitcmd import GitFailed

__all__ = ["Cache"]

_log = logging.getLogger(__name__)
_MOST_PACKS: Final = 20
"""A cache of more packs than this is begun anew: most of what the older ones hold is outdated by then."""


class Cache:
    """The snapshots of one repository, ``remote``, below ``folder``. Used by one restore at a time."""

    def __init__(self, folder: Path, remote: str) -> None:
        self._place = folder / hashlib.sha256(remote.encode()).hexdigest()[:20]
        self._packs = self._place / "objects" / "pack"
        self._whole = self._place / "whole"

    @contextmanager
    def opened(self) -> Iterator[bool]:
        """Hold the cache for one restore; whether there is one that can be used."""
        try:
            for folder in (self._packs, self._whole):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._place / "lock").open("w")
        except OSError as error:
            _log.warning("no cache in %s: %s", self._place, error.strerror)
            yield False
            return
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield True

    def lend(self, git_dir: Path) -> list[bytes]:
        """Let the repository ``git_dir`` use what is here; the commits that are here with all that belongs to them."""
        try:
            for pack in sorted(self._packs.glob("*.pack")):
                gitcmd.run(["index-pack", "--verify", str(pack)], env=gitcmd.own_environment())
            commits = {bytes.fromhex(file.read_text()) for file in self._whole.iterdir()}
            if commits:
                (git_dir / "objects" / "info").mkdir(exist_ok=True)
                (git_dir / "objects" / "info" / "alternates").write_text(f"{self._packs.parent}\n")
        except (GitFailed, OSError, ValueError) as error:
            _log.warning("the cache in %s is damaged and begun anew: %s", self._place, error)
            self.empty()
            return []
        return sorted(commits)

    def keep(self, git_dir: Path, workspace: str, commit: bytes) -> None:
        """Take over what ``git_dir``, which used this cache, has fetched for ``commit`` of ``workspace``."""
        try:
            fetched = sorted((git_dir / "objects" / "pack").glob("*.pack"))
            if len(list(self._packs.glob("*.pack"))) + len(fetched) > _MOST_PACKS:
                self.empty()
                return  # what was fetched is not whole without what is gone now
            for pack in fetched:
                _copy(pack, self._packs)
                _copy(pack.with_suffix(".idx"), self._packs)
            note = self._place / f".whole.{os.getpid()}"
            note.write_text(commit.hex())
            note.replace(self._whole / workspace)
        except OSError as error:
            _log.warning("the cache in %s did not take the snapshot: %s", self._place, error.strerror)

    def empty(self) -> None:
        """Throw everything away."""
        for folder in (self._whole, self._packs):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _copy(file: Path, folder: Path) -> None:
    """A file appears under its name when it is whole."""
    partial = folder / f".{os.getpid()}.{file.name}"
    partial.unlink(missing_ok=True)
    try:
        os.link(file, partial)
    except OSError:
        shutil.copyfile(file, partial)
    partial.replace(folder / file.name)
