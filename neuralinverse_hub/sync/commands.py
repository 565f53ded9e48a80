"""``neuralinverse-hub snapshots list | show | restore``: going back to an earlier state, in a workspace's terminal."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import flushing, gitcmd, history, objects
from .config import Config
from .errors import HostRefused, SyncError
from .gitcmd import GitFailed
from .host import GitHost
from .placing import aside_below, give_real_names
from .snapshots import generations

__all__ = ["arguments", "run"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands of ``neuralinverse-hub snapshots``."""
    parser.description = (
        "Every push of the last hour, one an hour for a day, and one a day for 30 days can be gone back to. "
        "Run it in a terminal of the workspace."
    )
    commands = parser.add_subparsers(dest="snapshots_command", required=True)
    listing = commands.add_parser("list", help="snapshots to go back to, newest first")
    listing.add_argument("--all", action="store_true", help="every push of the last hour too")
    listing.set_defaults(action=_list)
    show = commands.add_parser("show", help="the files of a snapshot, or the content of one")
    show.add_argument("snapshot", help="its id in the list, or 'latest'")
    show.add_argument("path", nargs="?", help="a file, from the workspace folder; its content goes to the output")
    show.set_defaults(action=_show)
    restore = commands.add_parser(
        "restore",
        help="bring files back as they were",
        description="Brings back the paths given. What they replace is moved aside, and stays in the snapshots too.",
    )
    restore.add_argument("snapshot", help="its id in the list, or 'latest'")
    restore.add_argument("paths", nargs="*", metavar="path", help="files or folders, from the workspace folder")
    restore.add_argument("--everything", action="store_true", help="the whole folder, repositories included")
    restore.add_argument("--to", type=Path, metavar="FOLDER", help="write there, and leave the workspace as it is")
    restore.set_defaults(action=_restore)


def run(chosen: argparse.Namespace) -> int:
    """The exit code: 0 done, 1 not possible, with one sentence on stderr."""
    try:
        config = Config.from_env()
        config.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = GitHost(config.remote, config.credentials)
        try:
            chosen.action(config, host, chosen)
        finally:
            host.close()
    except (SyncError, GitFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'The disk'}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class _Entry:
    commit: bytes
    at: datetime
    files: str
    generation: int

    @property
    def id(self) -> str:
        return self.commit.hex()[:10]


@contextmanager
def _scratch(config: Config) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="snapshots-", dir=config.private))
    try:
        git_dir = folder / "git"
        gitcmd.run(["init", "--quiet", "--bare", "--template=", str(git_dir)], env=gitcmd.own_environment())
        yield git_dir
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _entries(config: Config, host: GitHost) -> list[_Entry]:
    """All snapshots of the workspace on the host, newest first; equal ones once."""
    # In the order of age, as far as names tell it, because the times of snapshots are whole seconds.
    tips: dict[bytes, int] = {}
    for generation, names in sorted(generations(config, host.refs()).items(), reverse=True):
        for name, oid in sorted(names.items(), key=lambda item: item[0] != "snap"):
            if name == "snap" or history.time_of(name) is not None:
                tips.setdefault(oid, generation)
    if not tips:
        raise SyncError("There is no snapshot of this workspace yet.")
    found: dict[tuple[str, str], _Entry] = {}
    with _scratch(config) as git_dir:
        host.fetch(sorted(tips), git_dir, leave_out="tree:0")
        for tip, generation in tips.items():
            log = gitcmd.run(
                ["--git-dir", str(git_dir), "log", "-z", "--format=%H %ct %T%n%B", tip.hex()],
                env=gitcmd.own_environment(),
            )
            for item in filter(None, log.split(b"\0")):
                head, _, message = item.decode(errors="replace").partition("\n")
                commit, seconds, tree = head.split(" ")
                files = message.partition('"files": ')[2].partition(",")[0]
                entry = _Entry(bytes.fromhex(commit), datetime.fromtimestamp(int(seconds), UTC), files, generation)
                known = found.get((seconds, tree))
                if known is None or not known.files:
                    found[seconds, tree] = entry
    # What the newest generation has as its newest is that, whatever clock it was dated by. Stable: of one second's snapshots
    # the later one stays first, as refs and log have it.
    newest = next(iter(tips))
    return sorted(found.values(), key=lambda entry: (entry.commit == newest, entry.at), reverse=True)


def _find(config: Config, host: GitHost, wanted: str) -> _Entry:
    entries = _entries(config, host)
    if wanted == "latest":
        return entries[0]
    matching = [entry for entry in entries if entry.commit.hex().startswith(wanted.lower())] if wanted else []
    if len(matching) != 1:
        what = "more than one snapshot" if matching else "no snapshot"
        raise SyncError(f"{wanted!r} is {what}; 'neuralinverse-hub snapshots list --all' shows their ids.")
    return matching[0]


def _list(config: Config, host: GitHost, chosen: argparse.Namespace) -> None:
    entries = _entries(config, host)
    shown = entries if chosen.all else _thinned(entries)
    print("id          saved                    files")
    for entry in shown:
        print(f"{entry.id}  {entry.at.astimezone():%Y-%m-%d %H:%M:%S %Z}  {entry.files:>6}".rstrip())
    if len(shown) < len(entries):
        print(f"{len(entries) - len(shown)} more of the last hours; --all shows them.")


def _thinned(entries: list[_Entry]) -> list[_Entry]:
    """The newest of each five minutes."""
    seen: set[int] = set()
    kept = []
    for entry in entries:
        slot = int(entry.at.timestamp()) // 300
        if slot not in seen:
            kept.append(entry)
        seen.add(slot)
    return kept


def _stored(path: str) -> bytes:
    parts = [part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")]
    if b".." in parts or path.startswith("/"):
        raise SyncError(f"{path!r} is not a path from the workspace folder.")
    return b"/".join(objects.stored_name(part) for part in parts)


def _show(config: Config, host: GitHost, chosen: argparse.Namespace) -> None:
    entry = _find(config, host, chosen.snapshot)
    env = gitcmd.own_environment()
    with _scratch(config) as git_dir:
        # A file's content cannot be fetched by itself from every host, so a path costs the whole snapshot.
        host.fetch([entry.commit], git_dir, leave_out=None if chosen.path else "blob:none", depth=1)
        if chosen.path:
            name = entry.commit.hex().encode() + b":" + _stored(chosen.path)
            try:
                content = gitcmd.run(["--git-dir", str(git_dir), "cat-file", "blob", name], env=env)
            except GitFailed as error:
                raise SyncError(f"{chosen.path!r} is not a file in snapshot {entry.id}.") from error
            sys.stdout.buffer.write(content)
            return
        names = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", entry.commit.hex()]
        for stored in filter(None, gitcmd.run(["--git-dir", str(git_dir), *names], env=env).split(b"\0")):
            path = objects.real_path(stored)
            if not stored.startswith(objects.ESCAPE + b"/") and b".git/" not in b"/" + path:
                sys.stdout.buffer.write(path + b"\n")
    sys.stdout.flush()


def _restore(config: Config, host: GitHost, chosen: argparse.Namespace) -> None:
    if bool(chosen.paths) == bool(chosen.everything):
        raise SyncError("Say which paths to bring back, or --everything.")
    entry = _find(config, host, chosen.snapshot)
    target: Path = chosen.to.absolute() if chosen.to else config.folder
    if chosen.to is None:
        flushing.flush_if_running(config, 10.0)
    with _scratch(config) as git_dir:
        host.fetch([entry.commit], git_dir, depth=1)
        work = git_dir.parent / "work"
        work.mkdir()
        env = gitcmd.own_environment(
            GIT_DIR=str(git_dir), GIT_WORK_TREE=str(work), GIT_INDEX_FILE=str(git_dir / "index.ours")
        )
        gitcmd.run(["read-tree", entry.commit.hex()], env=env)
        gitcmd.run(["-C", str(work), "checkout-index", "--all", "--quiet", "--index"], env=env)
        listing = gitcmd.run(["ls-tree", "-r", "-t", "-z", "--name-only", "--full-tree", entry.commit.hex()], env=env)
        stored = list(filter(None, listing.split(b"\0")))
        for path in stored:
            if not os.path.lexists(os.fsencode(work) + b"/" + path):
                os.makedirs(os.fsencode(work) + b"/" + path)
        give_real_names(os.fsencode(work), [path for path in stored if not path.startswith(objects.ESCAPE + b"/")])
        if os.path.lexists(ours := work / os.fsdecode(objects.ESCAPE)):
            shutil.rmtree(ours)
        wanted = [os.path.normpath(path) for path in chosen.paths] if chosen.paths else sorted(os.listdir(work))
        for path in chosen.paths:
            _stored(path)
            if not os.path.lexists(work / os.path.normpath(path)):
                raise SyncError(f"{path!r} is not in snapshot {entry.id}.")
        aside = aside_below(config.private)
        if chosen.everything and chosen.to is None:
            for name in os.listdir(target):
                _set_aside(target / name, aside / name)
        replaced = False
        for item in wanted:
            if os.path.lexists(target / item):
                _set_aside(target / item, aside / item)
                replaced = True
            _parents(target, Path(item))
            shutil.move(work / item, target / item)
    print(
        f"{'Everything' if chosen.everything else ', '.join(wanted)} of {entry.at.astimezone():%Y-%m-%d %H:%M:%S} is back in {target}."
    )
    if replaced or (chosen.everything and aside.exists()):
        print(f"What was there before is in {aside}.")


def _parents(target: Path, path: Path) -> None:
    """Make the folders above ``path``; never write through a link out of the folder."""
    at = target
    target.mkdir(parents=True, exist_ok=True)
    for part in path.parent.parts:
        at /= part
        if os.path.lexists(at) and not stat.S_ISDIR(os.lstat(at).st_mode):
            raise HostRefused(f"{at} is in the way: it is not a folder.")
        at.mkdir(exist_ok=True)


def _set_aside(path: Path, aside: Path) -> None:
    aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.move(path, aside)
