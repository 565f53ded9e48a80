"""Bringing a workspace's files back from the newest snapshot.

The snapshot is checked out aside and moved into place when it is whole, so a kill at any moment leaves nothing that
looks complete and is not; running it again goes on from there. What has been fetched whole is not fetched again.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from neuralinverse_hub import wire

from . import gitcmd, objects, placing, records, seeds
from .config import Config
from .errors import HostRefused, RefMoved, RestoreFailed
from .fetching import Incoming
from .gitcmd import GitFailed
from .host import NOTHING, GitHost, Update
from .mirror import Mirror
from .pack import Pack
from .private import HOME, VSCODE, WORK, put_back
from .sealed import CannotOpen, SealedFile
from .snapshots import Snapshot, newest_first

__all__ = ["Restored", "places", "restore_now"]

_log = logging.getLogger(__name__)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Restored:
    """How a restore went. ``files`` counts what was written; ``note`` is one sentence for the person."""

    restored: bool
    files: int
    from_generation: int | None
    seconds: float
    note: str = ""
    saved_at: str | None = None
    """When what came back had been saved, RFC 3339 in UTC; None when nothing came back."""
    stale: str = ""
    """Where the git host may have something newer: how old this is, and how to get at the rest. The status keeps it."""


@contextmanager
def _alone(private: Path) -> Iterator[None]:
    """One restore at a time; the second one waits and finds the work done."""
    with (private / "restore.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def restore_now(config: Config, host: GitHost) -> Restored:
    """Bring the work of the newest generation before ours back into the folder; see the package's ``restore``.

    Raises:
        SyncError: it could not be done; nothing has been lost and the next try goes on from here.
    """
    config.private.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(config.private), closing(Mirror(config)) as mirror:
        how_far = records.Restoring(config)
        if how_far.done and config.folder.is_dir():
            return Restored(False, 0, None, 0.0, "This start has been restored already.")
        began = time.monotonic()
        refs = mirror.refs(host, claim=lambda: _claim(config, host))
        candidates = newest_first(config, refs)
        seeds.index_file(config).unlink(missing_ok=True)
        if not candidates:
            config.folder.mkdir(parents=True, exist_ok=True)
            result = Restored(False, 0, None, 0.0, "There is no snapshot yet; this workspace starts fresh.")
        elif not how_far.begun and _is_current(config, candidates[0]):
            result = Restored(False, 0, None, 0.0, "The folder is still here and up to date; nothing to bring back.")
        else:
            how_far.begin()
            result = _restore_best(config, Incoming(config, host, mirror), candidates, how_far, began=began)
        how_far.finish(asdict(result))
        return result


def _claim(config: Config, host: GitHost) -> None:
    """Make our generation known to the host, which from now on refuses older ones."""
    ref = f"{config.prefix}/claim"
    with Pack(config.private) as pack:
        tree = pack.add(objects.TREE_TYPE, b"")
        commit = objects.commit(tree, (), int(time.time()), f"Generation {config.generation} starts")
        try:
            host.push([Update(ref, NOTHING, pack.add(objects.COMMIT_TYPE, commit))], pack)
        except RefMoved:
            _log.info("generation %d has been claimed before", config.generation)


def _is_current(config: Config, newest: Snapshot) -> bool:
    """Whether the folder is the one the newest generation worked in, and so at least as new as its snapshots."""
    live = records.live_generation(config)
    return live is not None and live >= newest.generation and records.is_live(config)


def _restore_best(
    config: Config, incoming: Incoming, candidates: list[Snapshot], how_far: records.Restoring, *, began: float
) -> Restored:
    refused: list[str] = []
    # Twice the newest: giving up the last hours of somebody's work wants more than one bad transfer.
    for attempt, snapshot in enumerate([candidates[0], *candidates]):
        try:
            with incoming.fetched(snapshot) as git_dir:
                files, at_s, remark = _write(config, git_dir, snapshot, how_far)
        except (HostRefused, GitFailed) as error:
            if any(os.strerror(code) in str(error) for code in _NO_ROOM):
                raise RestoreFailed(
                    f"The disk is full: {error} Make room and start the workspace again; the restore goes on then."
                ) from error
            _log.warning("snapshot %s cannot be restored: %s", snapshot.ref, error)
            incoming.forget()
            if attempt:
                refused.append(str(error))
            continue
        except OSError as error:
            what = "The disk is full" if error.errno in _NO_ROOM else "A file cannot be written"
            where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
            raise RestoreFailed(
                f"{what}: {error.strerror}{where}. Mend that and start the workspace again; the restore goes on then."
            ) from error
        incoming.done()
        saved_at = datetime.fromtimestamp(at_s, UTC)
        stale = incoming.remark(saved_at)
        notes = [f"{files} files are back from generation {snapshot.generation}.", remark, stale]
        if refused:
            notes.append(
                f"{len(refused)} newer snapshot{'s were' if len(refused) > 1 else ' was'} damaged: {refused[0]}"
            )
        seconds = round(time.monotonic() - began, 3)
        at = saved_at.isoformat().replace("+00:00", "Z")
        return Restored(True, files, snapshot.generation, seconds, " ".join(filter(None, notes)), at, stale)
    raise RestoreFailed(f"None of {len(candidates)} snapshots can be read; the newest: {refused[0]}")


def _write(config: Config, git_dir: Path, snapshot: Snapshot, how_far: records.Restoring) -> tuple[int, float, str]:
    """How many files were written, when they had been saved, and what the person should know beyond that."""
    work = config.private / "incoming"
    _remove_tree(work)
    work.mkdir(mode=0o700)
    index = seeds.index_file(config)
    env = gitcmd.own_environment(GIT_DIR=str(git_dir), GIT_WORK_TREE=str(work), GIT_INDEX_FILE=str(index))
    commit = snapshot.commit.hex()
    try:
        tree, at_s = objects.commit_facts(gitcmd.run(["cat-file", "commit", commit], env=env))
        gitcmd.run(["read-tree", commit], env=env)
        with index.open("rb") as file:
            how_far.going_on(objects.index_count(file.read(objects.INDEX_HEADER)))
        gitcmd.run(
            ["-C", str(work), "-c", "checkout.workers=0", "checkout-index", "--all", "--quiet", "--index"], env=env
        )
        folders = _folders(git_dir, commit)
        empty = [path for path, oid in folders if oid == objects.EMPTY_TREE]
        for path in empty:
            os.makedirs(os.fsencode(work) + b"/" + path, exist_ok=True)
        paths = [entry.path for entry in objects.index_entries(index.read_bytes())]
        private, remark = _take_ours(config, work)
        paths = [path for path in paths if not path.startswith(objects.ESCAPE + b"/")]
        placing.give_real_names(os.fsencode(work), [*paths, *(path for path, _ in folders if path != objects.ESCAPE)])
        _make_way(config, snapshot)
        config.folder.mkdir(parents=True, exist_ok=True)
        aside = placing.aside_below(config.private)
        placing.move_in(os.fsencode(work), os.fsencode(config.folder), os.fsencode(aside), keep_local=how_far.begun)
        if private:
            put_back(private, places(config))
        seeds.remember_seed(config, tree, empty)
        return len(paths), at_s, remark
    finally:
        _remove_tree(work)


def _take_ours(config: Config, work: Path) -> tuple[dict[bytes, SealedFile], str]:
    """Take out of a checkout what is not a file of the folder; the private files in it, opened."""
    ours = work / os.fsdecode(objects.ESCAPE)
    try:
        blob = (ours / "sealed").read_bytes()
    except FileNotFoundError:
        return {}, ""
    finally:
        _remove_tree(ours)
    sealer = config.sealer()
    if sealer is None:
        return {}, f"Private files are in the snapshot, but {wire.ENV_SYNC_KEY} is not set, so they stay encrypted."
    try:
        return sealer.open(blob), ""
    except CannotOpen as error:
        return {}, str(error)


def _make_way(config: Config, snapshot: Snapshot) -> None:
    """A folder left from an older generation than the snapshot's is set aside whole: mixing the two helps nobody."""
    live = records.live_generation(config)
    if live is not None and live < snapshot.generation and records.is_live(config):
        aside = placing.aside_below(config.private)
        placing.make_way(config.folder, aside)
        records.forget_live(config)
        _log.warning("an outdated folder of generation %d was set aside in %s", live, aside)


def places(config: Config) -> dict[bytes, bytes]:
    """Where private files belong."""
    return {
        WORK: os.fsencode(config.folder),
        HOME: os.fsencode(config.home),
        VSCODE: os.fsencode(config.state / "vscode"),
    }


def _folders(git_dir: Path, commit: str) -> list[tuple[bytes, bytes]]:
    """Stored path and tree id of each folder of a snapshot."""
    listing = gitcmd.run(["--git-dir", str(git_dir), "ls-tree", "-r", "-d", "-z", "--full-tree", commit])
    found = []
    for line in filter(None, listing.split(b"\0")):
        facts, _, path = line.partition(b"\t")
        found.append((path, bytes.fromhex(facts.split(b" ")[2].decode())))
    return found


def _remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
