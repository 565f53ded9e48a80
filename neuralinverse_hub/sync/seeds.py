"""What a snapshot on the host consists of, so that the daemon starts from it instead of reading every file again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import gitcmd, objects, records
from .config import Config
from .errors import HostRefused
from .gitcmd import GitFailed
from .host import GitHost

__all__ = ["Seed", "fetch_seed", "index_file", "load_seed", "remember_seed"]

_FACTS: Final = "seed.json"


@dataclass(frozen=True, slots=True)
class Seed:
    """What a snapshot consists of and, where known, what ``stat`` says of the restored files."""

    tree: bytes
    at_s: float
    """When the snapshot was made, in seconds since 1970."""
    entries: list[tuple[bytes, int, bytes, objects.IndexEntry | None]]


def remember_seed(config: Config, tree: bytes, empty: list[bytes]) -> None:
    """Keep what a restore of ``tree`` knows, for `load_seed`: the index it has written to `index_file`, and the folders
    that are ``empty``, by their stored paths.
    """
    facts: dict[str, object] = {"tree": tree.hex(), "empty": [path.decode("latin-1") for path in empty]}
    records.write(config.private / _FACTS, facts)


def index_file(config: Config) -> Path:
    """Where a restore writes its index."""
    return config.private / "seed.index"


def load_seed(config: Config) -> Seed | None:
    """What the last restore left for the daemon to start from; None: there is nothing, or it cannot be read."""
    try:
        facts = records.read(config.private / _FACTS)
        data = index_file(config).read_bytes()
        empty = facts["empty"]
        assert isinstance(empty, list)
        entries: list[tuple[bytes, int, bytes, objects.IndexEntry | None]] = [
            (entry.path, entry.mode, entry.oid, entry) for entry in objects.index_entries(data)
        ]
        entries += [(path.encode("latin-1"), 0o40000, objects.EMPTY_TREE, None) for path in empty]
        return Seed(bytes.fromhex(str(facts["tree"])), 0.0, entries)
    except (FileNotFoundError, KeyError, ValueError):
        return None


def fetch_seed(config: Config, host: GitHost, commit: bytes, *, names: bool = True) -> Seed:
    """What ``commit`` on the host consists of, without file contents, and without names if so asked.

    Raises:
        SyncError: the host cannot say.
    """
    git_dir = config.private / "names.git"
    shutil.rmtree(git_dir, ignore_errors=True)
    inside = ["--git-dir", str(git_dir)]
    env = gitcmd.own_environment()
    try:
        gitcmd.run(["init", "--quiet", "--bare", "--template=", str(git_dir)], env=env)
        host.fetch([commit], git_dir, leave_out="blob:none" if names else "tree:0", depth=1)
        said = gitcmd.run([*inside, "cat-file", "commit", commit.hex()], env=env)
        tree, at_s = objects.commit_facts(said)
        listing = gitcmd.run([*inside, "ls-tree", "-r", "-t", "-z", "--full-tree", commit.hex()]) if names else b""
    except GitFailed as error:
        raise HostRefused(f"The last snapshot cannot be read: {error}.") from error
    finally:
        shutil.rmtree(git_dir, ignore_errors=True)
    entries: list[tuple[bytes, int, bytes, objects.IndexEntry | None]] = []
    for line in filter(None, listing.split(b"\0")):
        facts, _, path = line.partition(b"\t")
        mode, _kind, oid = facts.split(b" ")
        identity = bytes.fromhex(oid.decode())
        if mode != b"040000" or identity == objects.EMPTY_TREE:
            entries.append((path, int(mode, 8), identity, None))
    return Seed(tree, at_s, entries)
