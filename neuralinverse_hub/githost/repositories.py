"""Where repositories lie, what they are called, how they are set up. Made when their owner first asks for them."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from neuralinverse_hub import wire

from . import git
from .errors import GitHostError, NoSuchRepository

__all__ = ["MAKING", "Repositories"]

MAKING: Final = ".making-"
"""How the name of a folder begins in which a repository comes into being."""

_log = logging.getLogger(__name__)
_PUSHES_PER_CLEANUP: Final = 200

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")

_CONFIG: Final = {
    "http.receivepack": "true",
    # A snapshot that arrived damaged is refused while the workspace still has the files.
    "receive.fsckObjects": "true",
    "receive.denyDeleteCurrent": "ignore",
    "uploadpack.allowFilter": "true",
    # Earlier snapshots have no ref of their own; their owner, and nobody else, may ask for them by id.
    "uploadpack.allowReachableSHA1InWant": "true",
    # Snapshots that retention dropped may go, but never an object a push in flight counts on.
    "gc.pruneExpire": "1.day.ago",
    "core.logAllRefUpdates": "false",
    # One flush to the disk for all objects of a push.
    "core.fsyncMethod": "batch",
    # The service does it, in the background, instead of every push asking whether it is time.
    "receive.autogc": "false",
}

# One generation per start of a workspace: once a newer one is known, an older one must not move its refs any more, or
# a process that came back from a lost node would overwrite its successor's work. Deleting stays allowed: retention
# of the newer generation clears the older ones away. It runs with every push, so it starts no process of its own and
# reads the refs where they lie: loose ones are folders, the others are lines of packed-refs.
_PRE_RECEIVE: Final = f"""#!/bin/sh
refuse() {{
  echo "neuralinverse: $1" >&2
  exit 1
}}
while read -r old new ref; do
  case "$ref" in
  {wire.REF_ROOT}/*/*/*)
    rest=${{ref#{wire.REF_ROOT}/}}
    workspace=${{rest%%/*}}
    rest=${{rest#*/}}
    mine=${{rest%%/*}}
    case "$mine" in
    '' | *[!0-9]*) refuse "$ref: a generation is a number" ;;
    esac
    case "$new" in
    *[!0]*) ;;
    *) continue ;;
    esac
    for place in "{wire.REF_ROOT}/$workspace"/*/; do
      place=${{place%/}}
      other=${{place##*/}}
      case "$other" in
      '' | *[!0-9]*) ;;
      *) [ "$other" -le "$mine" ] || refuse "$workspace: generation $mine may not write, $other is newer" ;;
      esac
    done
    [ ! -e packed-refs ] || while read -r oid packed; do
      case "$packed" in
      "{wire.REF_ROOT}/$workspace"/*/*)
        other=${{packed#"{wire.REF_ROOT}/$workspace/"}}
        other=${{other%%/*}}
        [ "$other" -le "$mine" ] || refuse "$workspace: generation $mine may not write, $other is newer"
        ;;
      esac
    done <packed-refs || exit 1
    ;;
  {wire.HOME_REF} | {wire.at_ref("*")}) ;;
  {wire.REF_ROOT}/*) refuse "$ref: not <workspace>/<generation>/<name>" ;;
  esac
done
"""


class Repositories:
    """The repositories below ``root``, one folder per person. ``settings`` are Git's, for new ones, beside our own."""

    def __init__(self, root: Path, settings: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._settings = {**_CONFIG, **(settings or {})}
        self._making: dict[Path, asyncio.Lock] = {}
        self._pushes: dict[Path, int] = {}
        self._cleaning: dict[Path, asyncio.Task[None]] = {}

    @property
    def root(self) -> Path:
        """The folder all repositories are in."""
        return self._root

    def prepare(self) -> None:
        """Make the root folder, private to this account, and the hook that all repositories share.

        Raises:
            GitHostError: the folder cannot be written, or git is missing.
        """
        if shutil.which("git") is None:
            raise GitHostError("git is not installed; install it and start again.")
        hooks = self._hooks
        try:
            hooks.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._root.chmod(0o700)
            fresh = hooks / f".pre-receive.{os.getpid()}"
            fresh.write_text(_PRE_RECEIVE)
            fresh.chmod(0o755)
            fresh.replace(hooks / "pre-receive")
        except OSError as error:
            raise GitHostError(f"Repositories cannot be kept in {self._root}: {error.strerror}.") from error

    @property
    def _hooks(self) -> Path:
        return self._root / ".hooks"

    def path(self, person: str, name: str) -> Path:
        """Where the person's repository lies, whether or not it exists.

        Raises:
            NoSuchRepository: it is no possible name of one.
        """
        if not _NAME.fullmatch(name) or name.endswith((".lock", ".git")) or ".." in name:
            raise NoSuchRepository(
                f"{name!r} is not a possible repository name; use letters, digits, '.', '-' and '_', "
                f"as in /services/{wire.GIT_SERVICE}/{person}/notes.git."
            )
        # Hub names may hold anything but a slash; quoted, none of them can be '.', '..' or our hooks folder.
        folder = quote(person, safe="@+-_").replace(".", "%2E").replace("~", "%7E")
        return self._root / folder / f"{name}.git"

    async def open(self, person: str, name: str, *, make: bool = True) -> Path:
        """The person's repository; with ``make``, made now if it did not exist.

        Raises:
            NoSuchRepository: no possible name, or there is none and none is to be made.
            GitHostError: the disk did not take it.
        """
        path = self.path(person, name)
        if not make and not (path / "HEAD").is_file():
            raise NoSuchRepository(f"{person} has no repository {name!r}.")
        lock = self._making.setdefault(path, asyncio.Lock())
        async with lock:
            if not (path / "HEAD").is_file():
                await self._make(path)
        self._making.pop(path, None)
        return path

    def pushed(self, path: Path) -> None:
        """Something has arrived; now and then that starts the repository's clean-up, in the background."""
        self._pushes[path] = self._pushes.get(path, 0) + 1
        if self._pushes[path] % _PUSHES_PER_CLEANUP == 0 and path not in self._cleaning:
            self._cleaning[path] = asyncio.create_task(self._clean(path))

    async def _clean(self, path: Path) -> None:
        try:
            await git.run("gc", "--auto", "--quiet", git_dir=path, settings={"gc.autoDetach": "false"}, nice=True)
        except GitHostError as error:
            _log.warning("clean-up of %s: %s", path, error)
        finally:
            del self._cleaning[path]

    async def close(self) -> None:
        """End what runs in the background; a clean-up that is cut short is begun anew another time."""
        for task in list(self._cleaning.values()):
            task.cancel()
        await asyncio.gather(*self._cleaning.values(), return_exceptions=True)

    async def _make(self, path: Path) -> None:
        # Made aside and renamed when whole: a kill in between leaves no half repository behind.
        async with self.blank(path) as aside:
            os.rename(aside, path)

    @asynccontextmanager
    async def blank(self, path: Path) -> AsyncIterator[Path]:
        """An empty repository beside ``path``, which nobody is served; whoever wants to keep it moves it away.

        Raises:
            GitHostError: the disk did not take it, or what was done with it.
        """
        aside = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=MAKING, dir=path.parent))
            # The configuration is there before git looks: one process instead of one for each setting. It is on the way
            # of a person's first start.
            (aside / "config").write_text(_configuration(self._settings | {"core.hooksPath": str(self._hooks)}))
            await git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(aside))
            yield aside
        except OSError as error:
            raise GitHostError(f"The repository cannot be made: {error.strerror}.") from error
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)


def _configuration(settings: Mapping[str, str]) -> str:
    """``section.name`` settings as a Git configuration file holds them."""
    lines = []
    for key, value in settings.items():
        section, _, name = key.partition(".")
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'[{section}]\n\t{name} = "{quoted}"\n')
    return "".join(lines)
