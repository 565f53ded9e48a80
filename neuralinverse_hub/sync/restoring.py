"""Bringing a workspace's files back from the newest snapshot, and remembering what they were restored from.

The snapshot is checked out aside and moved into place when it is whole, so a kill at any moment leaves nothing that
looks complete and is not; running it again finishes the work.
"""

from __future__ import annotations

import errno
import fcntl
import filecmp
import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from neuralinverse_hub import wire

from . import gitcmd, objects
from .config import Config
from .errors import HostRefused, RefMoved, RestoreFailed
from .gitcmd import GitFailed
from .history import time_of
from .host import NOTHING, GitHost, Update
from .pack import Pack
from .private import HOME, VSCODE, WORK, put_back
from .sealed import CannotOpen, SealedFile

__all__ = ["Restored", "Seed", "Snapshot", "newest_first", "restore_now"]

_log = logging.getLogger(__name__)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_MARKER: Final = "restored.json"
_LIVE: Final = "live.json"


@dataclass(frozen=True, slots=True)
class Restored:
    """How a restore went. ``files`` counts what was written; ``note`` is one sentence for the person."""

    restored: bool
    files: int
    from_generation: int | None
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot on the host."""

    generation: int
    ref: str
    commit: bytes


@dataclass(frozen=True, slots=True)
class Seed:
    """What a snapshot consists of and, where known, what ``stat`` says of the restored files."""

    tree: bytes
    at_s: float
    """When the snapshot was made, in seconds since 1970."""
    entries: list[tuple[bytes, int, bytes, objects.IndexEntry | None]]


def generations(config: Config, refs: dict[str, bytes]) -> dict[int, dict[str, bytes]]:
    """The workspace's generations on the host, each with its refs by their name below the generation."""
    start = f"{wire.REF_ROOT}/{config.workspace}/"
    found: dict[int, dict[str, bytes]] = {}
    for ref, oid in refs.items():
        if ref.startswith(start):
            number, _, name = ref[len(start) :].partition("/")
            if number.isascii() and number.isdigit():
                found.setdefault(int(number), {})[name] = oid
    return found


def newest_first(config: Config, refs: dict[str, bytes]) -> list[Snapshot]:
    """Snapshots to restore from, best first: none of a generation newer than ours.

    A generation's history follows its newest snapshot, for the case that one cannot be read.
    """
    found = []
    for generation, names in sorted(generations(config, refs).items(), reverse=True):
        if generation > config.generation:
            continue
        order = sorted((name for name in names if time_of(name)), key=lambda n: n.partition("/")[2], reverse=True)
        for name in ["snap", *order] if "snap" in names else order:
            ref = f"{wire.ref_prefix(config.workspace, generation)}/{name}"
            found.append(Snapshot(generation, ref, names[name]))
    return found


@contextmanager
def _alone(private: Path) -> Iterator[None]:
    """One restore at a time; the second one waits and finds the work done."""
    with (private / "restore.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, content: dict[str, object]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)


def remember_live(config: Config, commit: bytes) -> None:
    """The folder is, or is newer than, what ``commit`` of our generation holds."""
    _write_json(config.private / _LIVE, {"generation": config.generation, "commit": commit.hex()})


def restore_now(config: Config, host: GitHost, *, progress: Callable[[str], None] = lambda _: None) -> Restored:
    """Bring the work of the newest generation before ours back into the folder; see the package's ``restore``.

    Raises:
        SyncError: it could not be done; nothing has been lost and the next try goes on from here.
    """
    config.private.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(config.private):
        marker = config.private / _MARKER
        done = _read_json(marker)
        if done.get("generation") == config.generation and done.get("whole") and config.folder.is_dir():
            return Restored(False, 0, None, 0.0, "This start has been restored already.")
        began = time.monotonic()
        _claim(config, host)
        candidates = newest_first(config, host.refs())
        resuming = done.get("generation") == config.generation and not done.get("whole")
        (config.private / "seed.index").unlink(missing_ok=True)
        if not candidates:
            config.folder.mkdir(parents=True, exist_ok=True)
            result = Restored(False, 0, None, 0.0, "There is no snapshot yet; this workspace starts fresh.")
        elif not resuming and _is_current(config, candidates[0]):
            result = Restored(False, 0, None, 0.0, "The folder is still here and up to date; nothing to bring back.")
        else:
            _write_json(marker, {"generation": config.generation, "whole": False})
            result = _restore_best(config, host, candidates, resuming=resuming, began=began, progress=progress)
        _write_json(marker, {"generation": config.generation, "whole": True, **asdict(result)})
        return result


def _claim(config: Config, host: GitHost) -> None:
    """Make our generation known to the host, which from now on refuses older ones."""
    ref = f"{config.prefix}/claim"
    if ref in host.refs():
        return
    with Pack(config.private) as pack:
        tree = pack.add(objects.TREE_TYPE, b"")
        commit = objects.commit(tree, (), int(time.time()), f"Generation {config.generation} starts")
        try:
            host.push([Update(ref, NOTHING, pack.add(objects.COMMIT_TYPE, commit))], pack)
        except RefMoved:
            _log.info("generation %d was claimed meanwhile", config.generation)


def is_live(config: Config) -> bool:
    """Whether the folder is one that sync has protected before, with something in it."""
    try:
        return bool(_read_json(config.private / _LIVE)) and any(config.folder.iterdir())
    except OSError:
        return False


def _is_current(config: Config, newest: Snapshot) -> bool:
    """Whether the folder is the one the newest generation worked in, and so at least as new as its snapshots."""
    return is_live(config) and _read_json(config.private / _LIVE).get("generation") == newest.generation


def _restore_best(
    config: Config,
    host: GitHost,
    candidates: list[Snapshot],
    *,
    resuming: bool,
    began: float,
    progress: Callable[[str], None],
) -> Restored:
    refused: list[str] = []
    # Twice the newest: giving up the last hours of somebody's work wants more than one bad transfer.
    for attempt, snapshot in enumerate([candidates[0], *candidates]):
        try:
            files, remark = _restore_one(config, host, snapshot, resuming=resuming, progress=progress)
        except (HostRefused, GitFailed) as error:
            if any(os.strerror(code) in str(error) for code in _NO_ROOM):
                raise RestoreFailed(
                    f"The disk is full: {error} Make room and start the workspace again; the restore goes on then."
                ) from error
            _log.warning("snapshot %s cannot be restored: %s", snapshot.ref, error)
            if attempt:
                refused.append(str(error))
            continue
        except OSError as error:
            what = "The disk is full" if error.errno in _NO_ROOM else "A file cannot be written"
            where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
            raise RestoreFailed(
                f"{what}: {error.strerror}{where}. Mend that and start the workspace again; the restore goes on then."
            ) from error
        note = f"{files} files are back from generation {snapshot.generation}."
        if remark:
            note += f" {remark}"
        if refused:
            note += f" {len(refused)} newer snapshot{'s were' if len(refused) > 1 else ' was'} damaged: {refused[0]}"
        return Restored(True, files, snapshot.generation, round(time.monotonic() - began, 3), note)
    raise RestoreFailed(f"None of {len(candidates)} snapshots can be read; the newest: {refused[0]}")


def _restore_one(
    config: Config, host: GitHost, snapshot: Snapshot, *, resuming: bool, progress: Callable[[str], None]
) -> tuple[int, str]:
    """How many files were written, and what the person should know beyond that."""
    git_dir, work = config.private / "incoming.git", config.private / "incoming"
    shutil.rmtree(git_dir, ignore_errors=True)
    _remove_tree(work)
    work.mkdir(mode=0o700)
    env = gitcmd.own_environment()
    try:
        gitcmd.run(["init", "--quiet", "--bare", "--template=", str(git_dir)], env=env)
        progress("fetching")
        host.fetch([snapshot.commit], git_dir, depth=1)
        progress("writing")
        index = config.private / "seed.index"
        env |= {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(work), "GIT_INDEX_FILE": str(index)}
        commit = snapshot.commit.hex()
        gitcmd.run(["read-tree", commit], env=env)
        gitcmd.run(
            ["-C", str(work), "-c", "checkout.workers=0", "checkout-index", "--all", "--quiet", "--index"], env=env
        )
        folders = _folders(git_dir, commit)
        for path, oid in folders:
            if oid == objects.EMPTY_TREE:
                os.makedirs(os.fsencode(work) + b"/" + path, exist_ok=True)
        paths = [entry.path for entry in objects.index_entries(index.read_bytes())]
        private, ours = _take_ours(config, work)
        paths = [path for path in paths if not path.startswith(objects.ESCAPE + b"/")]
        folders = [(path, oid) for path, oid in folders if path != objects.ESCAPE]
        give_real_names(os.fsencode(work), [*paths, *(path for path, _ in folders)])
        _make_way(config, snapshot)
        config.folder.mkdir(parents=True, exist_ok=True)
        aside = config.private / f"replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        _move_in(os.fsencode(work), os.fsencode(config.folder), os.fsencode(aside), keep_local=resuming)
        empty = [path.decode("latin-1") for path, oid in folders if oid == objects.EMPTY_TREE]
        if private:
            put_back(private, places(config))
        tree = gitcmd.run(["rev-parse", f"{commit}^{{tree}}"], env=env).decode().strip()
        _write_json(config.private / "seed.json", {"tree": tree, "empty": empty})
        return len(paths), ours
    finally:
        shutil.rmtree(git_dir, ignore_errors=True)
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


def give_real_names(work: bytes, paths: list[bytes]) -> None:
    """Rename what is stored under another name, innermost first."""
    odd = {path for path in paths if path.rpartition(b"/")[2].startswith(objects.ESCAPE)}
    for path in sorted(odd, key=lambda p: p.count(b"/"), reverse=True):
        parent, _, name = path.rpartition(b"/")
        before = work + b"/" + parent if parent else work
        os.rename(before + b"/" + name, before + b"/" + objects.real_name(name))


def _make_way(config: Config, snapshot: Snapshot) -> None:
    """A folder left from an older generation than the snapshot's is set aside whole: mixing the two helps nobody."""
    live = _read_json(config.private / _LIVE).get("generation")
    if isinstance(live, int) and live < snapshot.generation and config.folder.is_dir() and any(config.folder.iterdir()):
        aside = config.private / f"replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        aside.mkdir(parents=True, exist_ok=True)
        for entry in config.folder.iterdir():
            shutil.move(entry, aside / entry.name)
        (config.private / _LIVE).unlink(missing_ok=True)
        _log.warning("an outdated folder of generation %d was set aside in %s", live, aside)


def _move_in(source: bytes, target: bytes, aside: bytes, *, keep_local: bool) -> None:
    """Move everything into place. Equal files stay; of different ones the local one is kept, or set aside."""
    for name in os.listdir(source):
        new, old = source + b"/" + name, target + b"/" + name
        try:
            there = os.lstat(old)
        except FileNotFoundError:
            _move(new, old)
            continue
        if stat.S_ISDIR(there.st_mode) and stat.S_ISDIR(os.lstat(new).st_mode):
            _move_in(new, old, aside + b"/" + name, keep_local=keep_local)
        elif keep_local or _equal(new, old):
            continue
        else:
            os.makedirs(aside, mode=0o700, exist_ok=True)
            _move(old, aside + b"/" + name)
            _move(new, old)


def _move(source: bytes, target: bytes) -> None:
    try:
        os.rename(source, target)
    except OSError:
        shutil.move(os.fsdecode(source), os.fsdecode(target))


def _equal(a: bytes, b: bytes) -> bool:
    first, second = os.lstat(a), os.lstat(b)
    if stat.S_IFMT(first.st_mode) != stat.S_IFMT(second.st_mode) or (first.st_mode ^ second.st_mode) & 0o100:
        return False
    if stat.S_ISLNK(first.st_mode):
        return os.readlink(a) == os.readlink(b)
    return filecmp.cmp(a, b, shallow=False)


def _remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def load_seed(config: Config) -> Seed | None:
    """What the last restore left for the daemon to start from; None: there is nothing, or it cannot be read."""
    try:
        facts = _read_json(config.private / "seed.json")
        data = (config.private / "seed.index").read_bytes()
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
