"""Where a restore gets its snapshot from: the git host, a mirror of it, a cache on the node, an earlier try."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.sync.cache import Cache
from neuralinverse_hub.sync.mirror import age
from tests.neuralinverse_hub.sync.rig import PlainHost, git, picture, until


@pytest.fixture
def filled(workspace):
    """A workspace with a little of everything on the host; its files are lost."""
    repository = workspace.folder / "project"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    for number in range(50):
        (repository / f"{number}.txt").write_text(f"{number}\n" * 200)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "first")
    (workspace.folder / "big.bin").write_bytes(os.urandom(2_000_000))
    (workspace.folder / "empty").mkdir()
    workspace.start()
    return workspace


class Counter:
    """Bytes that the git host has sent, from its own network socket's point of view."""

    def __init__(self, pid):
        self._path = f"/proc/{pid}/io"

    def written(self):
        with open(self._path) as file:
            return int(next(line for line in file if line.startswith("wchar")).split()[1])


# -- the cache on the node -------------------------------------------------------------------------------------------


@pytest.fixture
def cached(filled, tmp_path):
    filled.extra_env[wire.ENV_GIT_CACHE] = str(tmp_path / "node-cache")
    return filled


def test_with_a_cache_only_what_changed_is_fetched_and_everything_comes_back(cached, tmp_path):
    sent = Counter(cached.host.process.pid)
    for number in range(3):
        before = picture(cached.folder)
        cached.lose()
        already = sent.written()
        cached.restore()
        fetched = sent.written() - already
        assert picture(cached.folder) == before
        assert (fetched > 2_000_000) if number == 0 else (fetched < 100_000), (number, fetched)
        cached.start()
        (cached.folder / "project" / f"new{number}.txt").write_text(f"new {number}\n")
        cached.flush()
    assert (tmp_path / "node-cache").stat().st_mode & 0o777 == 0o700 or os.listdir(tmp_path / "node-cache")


@pytest.mark.parametrize("damage", ["bytes changed", "packs lost", "nonsense in its list"])
def test_a_damaged_cache_is_thrown_away_and_everything_comes_back(cached, tmp_path, damage):
    before = picture(cached.folder)
    cached.lose()
    cached.restore()
    place = next((tmp_path / "node-cache").iterdir())
    for pack in (place / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o600)
        if damage == "bytes changed":
            content = bytearray(pack.read_bytes())
            content[len(content) // 2] ^= 0xFF
            pack.unlink()  # it may be linked from elsewhere
            pack.write_bytes(content)
        elif damage == "packs lost":
            pack.unlink()
            pack.with_suffix(".idx").unlink()
    if damage == "nonsense in its list":
        (place / "whole" / "default").write_text("nonsense")
    shutil.rmtree(cached.folder)
    cached.lose_state()
    assert cached.restore()["restored"]
    assert picture(cached.folder) == before


def test_a_cache_that_cannot_be_written_is_done_without(cached, tmp_path):
    (tmp_path / "node-cache").write_text("a file where a folder should be")
    before = picture(cached.folder)
    cached.lose()
    assert cached.restore()["restored"]
    assert picture(cached.folder) == before


def test_a_cache_does_not_grow_for_ever(tmp_path):
    cache = Cache(tmp_path / "node-cache", "http://host/ada/workspaces.git")
    most = 0
    with cache.opened() as usable:
        assert usable
        for number in range(25):
            incoming = tmp_path / f"incoming{number}"
            git(tmp_path, "init", "-q", "--bare", incoming.name)
            lent = cache.lend(incoming)
            work = tmp_path / "work"
            work.mkdir(exist_ok=True)
            (work / "count.txt").write_text(f"{number}\n")
            git(incoming, "--work-tree", str(work), "add", "-A")
            git(incoming, "--work-tree", str(work), "commit", "-qm", "one")
            git(incoming, "repack", "-qad", "--local")
            commit = bytes.fromhex(git(incoming, "rev-parse", "HEAD").strip())
            cache.keep(incoming, "default", commit)
            packs = len(list((tmp_path / "node-cache").glob("*/objects/pack/*.pack")))
            assert packs <= 20
            # Begun anew, it lends nothing until it holds something whole again.
            assert len(lent) == (most > 0)
            most = packs
    assert 1 <= packs < 20


# -- a try that was cut short ----------------------------------------------------------------------------------------


def test_what_was_fetched_whole_is_not_fetched_again_by_the_next_try(filled):
    before = picture(filled.folder)
    filled.lose()
    program = (
        "import os, signal, sys\n"
        "def kill(frame, event, arg):\n"
        "    if event == 'call' and frame.f_code.co_qualname == '_write':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.setprofile(kill)\n"
        "from neuralinverse_hub.sync.__main__ import main\n"
        "main(['restore'])"
    )
    assert subprocess.run([sys.executable, "-c", program], env=filled.env).returncode == -9
    sent = Counter(filled.host.process.pid)
    already = sent.written()
    filled.restore()
    assert sent.written() - already < 100_000
    assert picture(filled.folder) == before
    assert not (filled.state / "sync" / "incoming.git").exists()


# -- a mirror --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path, filled):
    running = PlainHost(tmp_path / "mirror", ("workspace", filled.token))
    filled.extra_env[wire.ENV_GIT_MIRROR] = f"{running.base}/ada/{wire.WORKSPACE_REPOSITORY}.git"
    yield running
    running.stop()


def replicate(host, mirror):
    git(mirror.repository(), "fetch", "-q", str(host.repository()), "+refs/*:refs/*")


def test_a_mirror_that_is_up_to_date_gives_the_snapshot_and_the_host_is_spared(filled, mirror, host):
    before = picture(filled.folder)
    replicate(host, mirror)
    filled.lose()
    sent = Counter(host.process.pid)
    already = sent.written()
    told = filled.restore()
    assert sent.written() - already < 100_000
    assert picture(filled.folder) == before
    assert abs(datetime.fromisoformat(told["saved_at"]) - datetime.now(UTC)) < timedelta(minutes=5)
    filled.start()
    (filled.folder / "a.txt").write_text("a\n")
    until(lambda: filled.on_host("a.txt") == b"a\n", f"the workspace to be saved on the host itself: {filled.log()}")
    assert "default/2" not in git(mirror.repository(), "for-each-ref")


@pytest.mark.parametrize("state", ["behind", "empty", "damaged", "away"])
def test_a_mirror_that_has_not_the_newest_snapshot_is_passed_over(filled, mirror, host, state):
    if state != "empty":
        replicate(host, mirror)
    if state == "behind":
        (filled.folder / "late.txt").write_text("late\n")
        filled.flush()
    if state == "damaged":
        for pack in [*mirror.repository().glob("objects/*/*")]:
            pack.chmod(0o600)
            pack.write_bytes(b"damaged")
    if state == "away":
        mirror._server.server_close()
    before = picture(filled.folder)
    filled.lose()
    assert filled.restore()["restored"]
    assert picture(filled.folder) == before


def test_without_the_host_the_mirror_gives_what_it_has_and_says_how_old_it_is(filled, mirror, host):
    replicate(host, mirror)
    before = picture(filled.folder)
    (filled.folder / "late.txt").write_text("saved after the mirror had last looked\n")
    filled.flush()
    filled.lose()
    host.stop()
    told = filled.restore()
    assert picture(filled.folder) == before
    assert "did not answer" in told["note"] and "0 minutes ago" in told["stale"]

    # Once the host is back, work goes on there, and what the mirror did not have can be gone back to.
    (filled.folder / "meanwhile.txt").write_text("meanwhile\n")
    host.start()
    filled.start()
    assert filled.on_host("meanwhile.txt") == b"meanwhile\n"
    # The person can read it as long as the workspace lives, though all is well with the host again.
    assert filled.status()["state"] == "protected" and "0 minutes ago" in filled.status()["error"]
    refs = git(host.repository(), "for-each-ref", "--format=%(refname)", "refs/ni").split()
    held = [git(host.repository(), "ls-tree", "--name-only", ref) for ref in refs]
    assert any("late.txt" in names for names in held)


def test_a_damaged_mirror_that_is_all_there_is_gives_the_newest_snapshot_that_is_whole(filled, mirror, host):
    before = picture(filled.folder)
    filled.lose()
    filled.restore()
    replicate(host, mirror)
    git(mirror.repository(), "repack", "-qad")
    (filled.folder / "late.txt").write_text("in the snapshot that is damaged on the mirror\n")
    filled.start()
    held = set(mirror.repository().glob("objects/*/*"))
    replicate(host, mirror)
    late = set(mirror.repository().glob("objects/*/*")) - held
    assert late
    for path in late:
        path.chmod(0o600)
        path.write_bytes(b"damaged")
    filled.lose()
    host.stop()
    told = filled.restore()
    assert "did not answer" in told["note"] and "damaged" in told["note"], told
    assert picture(filled.folder) == before


def test_a_mirror_that_is_slow_to_say_what_it_has_holds_up_no_restore(filled, host, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        filled.extra_env[wire.ENV_GIT_MIRROR] = f"http://127.0.0.1:{silent.getsockname()[1]}/ada/workspaces.git"
        before = picture(filled.folder)
        filled.lose()
        began = time.monotonic()
        done = filled.sync("restore")
        assert done.returncode == 0 and time.monotonic() - began < 10
        assert "the mirror is not used: it has not said within 1 s" in done.stderr
    assert picture(filled.folder) == before


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (0, "0 minutes ago"),
        (-0.5, "0 minutes ago"),
        (14, "14 minutes ago"),
        (180, "3 hours ago"),
        (3 * 1440, "3 days ago"),
        # Saved by a clock that is three days ahead of ours, or seen by one that is as much behind.
        (-3 * 1440, "at 2026-11-30 12:00 UTC by the clock they were saved by, which is ahead of this one"),
    ],
)
def test_the_age_of_what_a_mirror_gave_is_said_for_people(minutes, said):
    now = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    assert age(now - timedelta(minutes=minutes), now) == said


def test_a_host_that_takes_connections_and_says_nothing_is_waited_for_once(filled, mirror, host):
    replicate(host, mirror)
    before = picture(filled.folder)
    filled.lose()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        filled.extra_env[wire.ENV_GIT_REMOTE] = f"http://127.0.0.1:{silent.getsockname()[1]}/ada/workspaces.git"
        began = time.monotonic()
        told = filled.restore()
        assert time.monotonic() - began < 40
    assert "did not answer" in told["stale"]
    assert picture(filled.folder) == before
