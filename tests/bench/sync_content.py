"""What the sync benchmarks work on: a repository of many small text files, and a host and workspace around it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.neuralinverse_hub.sync.rig import Host, TokenServer, Workspace, git

WORDS = [f"word{number:04d}" for number in range(3000)]


def make_files(folder: Path, count: int, *, seed: int = 1) -> list[Path]:
    """``count`` files of about 2 kB, fifty to a folder, committed in a repository."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        place = folder / f"part{number // 2500:03d}" / f"module{number // 50:05d}"
        if number % 50 == 0:
            place.mkdir(parents=True)
        path = place / f"file{number:06d}.py"
        lines = [" ".join(chance.choices(WORDS, k=8)) for _ in range(28)]
        path.write_text("\n".join(lines) + "\n")
        made.append(path)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "gc.auto", "0")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "content")
    git(folder, "repack", "-adq")
    return made


@contextmanager
def host_and_workspace(place: Path) -> Iterator[tuple[Host, Workspace]]:
    tokens = TokenServer()
    host = Host(place / "repositories", tokens.url)
    workspace = Workspace(place / "a", host)
    try:
        yield host, workspace
    finally:
        workspace.kill()
        host.stop()
        tokens.close()


def size_after_gc(repository: Path) -> int:
    """Bytes of a repository once everything that can go has gone."""
    subprocess.run(["git", "--git-dir", repository, "gc", "--quiet", "--prune=now"], check=True)
    return sum(path.stat().st_size for path in repository.rglob("*") if path.is_file())
