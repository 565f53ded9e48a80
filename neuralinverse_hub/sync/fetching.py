"""Bringing one snapshot's objects here: from the node's cache what is in it, the rest from the git host or its mirror."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from . import gitcmd
from .cache import Cache
from .config import Config
from .errors import SyncError
from .host import GitHost
from .mirror import Mirror
from .snapshots import Snapshot

__all__ = ["Incoming"]

_log = logging.getLogger(__name__)


class Incoming:
    """A bare repository that holds one snapshot, without its history. What it holds whole outlives a kill."""

    def __init__(self, config: Config, host: GitHost, mirror: Mirror) -> None:
        self._config = config
        self._host = host
        self._mirror = mirror
        self._git_dir = config.private / "incoming.git"
        self._whole = self._git_dir / "ni-whole"
        self._cache = Cache(config.cache, config.remote) if config.cache is not None else None
        self._distrusted = False

    @contextmanager
    def fetched(self, snapshot: Snapshot) -> Iterator[Path]:
        """A repository with all of ``snapshot`` in it.

        Raises:
            SyncError: nobody can give it.
        """
        if self._cache is None or self._distrusted:
            self._fetch(snapshot, None)
            yield self._git_dir
            return
        with self._cache.opened() as usable:
            self._fetch(snapshot, self._cache if usable else None)
            yield self._git_dir
            if usable:
                self._cache.keep(self._git_dir, self._config.workspace, snapshot.commit)

    def _fetch(self, snapshot: Snapshot, cache: Cache | None) -> None:
        try:
            if self._whole.read_text() == snapshot.commit.hex():
                return
        except OSError:
            pass
        shutil.rmtree(self._git_dir, ignore_errors=True)
        gitcmd.run(["init", "--quiet", "--bare", "--template=", str(self._git_dir)], env=gitcmd.own_environment())
        have = cache.lend(self._git_dir) if cache is not None else []
        # While the mirror is all there is, it is asked for older snapshots too: some of what it has may be whole.
        alone = self._mirror.alone
        source = self._host if self._distrusted and not alone else self._mirror.source(self._host, snapshot)
        try:
            source.fetch([snapshot.commit], self._git_dir, depth=1, have=have)
        except SyncError as error:
            if source is self._host or alone:
                raise
            _log.warning("the mirror did not give %s, the git host is asked for it: %s", snapshot.ref, error)
            self._host.fetch([snapshot.commit], self._git_dir, depth=1, have=have)
        self._whole.write_text(snapshot.commit.hex())

    def forget(self) -> None:
        """What is here turned out to be damaged: from now on the git host itself is asked for all of it, if it answers."""
        shutil.rmtree(self._git_dir, ignore_errors=True)
        self._distrusted = True

    def done(self) -> None:
        """It is not needed any more."""
        shutil.rmtree(self._git_dir, ignore_errors=True)

    def remark(self, saved_at: datetime) -> str:
        """What the person should know of where the snapshot came from."""
        return self._mirror.remark(saved_at)
