"""The cache of installed components: one folder each, either whole or treated as absent.

Guarantees:
- A component's folder appears by one rename, after all of it is on disk.
- Each folder carries the list of its files and their sizes; a folder that does not match it is damaged, and says how.
- One installation at a time per cache, between processes too.
- What an interrupted installation left is removed by the next one.

Knows nothing of what is in the folders or where it comes from.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from neuralinverse_hub.local.errors import InstallError

STAMP: Final = ".complete.json"
_PARTIAL: Final = ".partial-"
_LINK: Final = -1
"""Recorded as the size of a symbolic link: what it points at may be outside the folder's control."""


def default_cache() -> Path:
    """``$NEURALINVERSE_CACHE``, else the platform's cache folder of this user."""
    configured = os.environ.get("NEURALINVERSE_CACHE")
    if configured:
        return Path(configured).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("neuralinverse-hub", appauthor=False))


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    stack = [folder]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    yield os.path.relpath(entry.path, folder), _LINK
                elif entry.is_dir(follow_symlinks=False):
                    stack.append(Path(entry.path))
                else:
                    yield os.path.relpath(entry.path, folder), entry.stat(follow_symlinks=False).st_size


def size_of(folder: Path) -> int:
    """Bytes in the regular files below ``folder`` right now; files that vanish meanwhile are not counted."""
    total = 0
    stack = [str(folder)]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        if entry.is_dir(follow_symlinks=False):
                            stack.append(entry.path)
                        elif not entry.is_symlink():
                            total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total


def seal(folder: Path) -> None:
    """Write the list of what ``folder`` holds into it. After that, ``damage`` can tell when it changes."""
    files = {name: size for name, size in _files(folder) if name != STAMP}
    (folder / STAMP).write_text(json.dumps({"version": 1, "files": files}))


def damage(folder: Path) -> str | None:
    """None when ``folder`` holds what it held when it was sealed, else a few words on the first difference."""
    try:
        sealed = json.loads((folder / STAMP).read_text())["files"]
        expected = {str(name): int(size) for name, size in sealed.items()}
    except FileNotFoundError:
        return "not there" if not folder.exists() else f"{STAMP} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{STAMP} cannot be read"
    seen = dict(_files(folder))
    for name, size in expected.items():
        if name not in seen:
            return f"{name} is missing"
        if seen[name] != size:
            return (
                f"{name} has {seen[name]} bytes instead of {size}" if size != _LINK else f"{name} is no link any more"
            )
    return None


class Store:
    """One cache folder. ``locked()`` first, then ``stage`` as often as needed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def downloads(self) -> Path:
        """Where npm keeps what it downloaded, so that an interrupted installation does not download it twice."""
        return self.root / "npm-downloads"

    def forget_downloads(self) -> None:
        """Once all is installed, npm's copies of it only take room."""
        shutil.rmtree(self.downloads, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, waiting: Callable[[str], None]) -> Iterator[None]:
        """Hold the cache's lock; ``waiting`` is told once, in a sentence, when somebody else holds it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            lock = (self.root / ".lock").open("a")
        except OSError as error:
            raise InstallError(
                f"Cannot write to the cache folder {self.root} ({error.strerror}): "
                "make it writable, or set NEURALINVERSE_CACHE to a folder that is."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(f"Another installation is using {self.root}: waiting for it to finish.")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.root.glob(f"{_PARTIAL}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """A temporary folder that becomes ``root/name`` when the block ends well, and vanishes when it does not."""
        partial = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}{name}-", dir=self.root))
        try:
            partial.chmod(0o755)
            yield partial
            seal(partial)
            self.discard(name)
            partial.rename(self.root / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def discard(self, name: str) -> None:
        """Take ``root/name`` away, by a rename first, so that nobody sees half of it."""
        folder = self.root / name
        if not folder.exists():
            return
        grave = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}old-", dir=self.root))
        folder.rename(grave / name)
        shutil.rmtree(grave, ignore_errors=True)


def link_tree(source: Path, target: Path) -> None:
    """Make ``target`` look like ``source`` at hardly any cost: hard links where the file system has them, else copies.

    ``target`` exists and is empty. The stamp is not taken along.
    """
    shutil.copytree(
        source,
        target,
        symlinks=True,
        copy_function=_link_or_copy,
        ignore=lambda folder, _names: {STAMP} if Path(folder) == source else set(),
        dirs_exist_ok=True,
    )


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
