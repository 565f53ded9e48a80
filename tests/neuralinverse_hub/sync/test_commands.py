"""Listing, looking into and bringing back earlier states, as a person types it."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.neuralinverse_hub.sync.rig import git, picture, until


def snapshots(workspace, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "neuralinverse_hub.cli", "snapshots", *arguments],
        env=workspace.env,
        capture_output=True,
        text=True,
    )


def ids(workspace):
    done = snapshots(workspace, "list", "--all")
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def test_an_earlier_state_can_be_listed_shown_and_brought_back(workspace):
    (workspace.folder / "dir").mkdir()
    (workspace.folder / "dir" / "a.txt").write_text("first\n")
    workspace.start()
    (workspace.folder / "dir" / "a.txt").write_text("second\n")
    (workspace.folder / "b.txt").write_text("b\n")
    workspace.flush()
    second, first = ids(workspace)
    assert snapshots(workspace, "show", first, "dir/a.txt").stdout == "first\n"
    assert snapshots(workspace, "show", "latest").stdout.splitlines() == ["b.txt", "dir/a.txt"]
    done = snapshots(workspace, "restore", first, "dir/a.txt")
    assert done.returncode == 0, done.stderr
    assert (workspace.folder / "dir" / "a.txt").read_text() == "first\n"
    assert (workspace.folder / "b.txt").exists()
    kept = done.stdout.splitlines()[-1].removeprefix("What was there before is in ").rstrip(".")
    assert subprocess.run(["cat", f"{kept}/dir/a.txt"], capture_output=True, text=True).stdout == "second\n"
    until(lambda: workspace.on_host("dir/a.txt") == b"first\n", "the restored state in a snapshot of its own")
    assert second in ids(workspace)


def test_everything_comes_back_repositories_included(workspace):
    git(workspace.folder, "init", "-q", "-b", "main")
    (workspace.folder / "a.txt").write_text("a\n")
    git(workspace.folder, "add", "-A")
    (workspace.folder / "empty").mkdir()
    workspace.start()
    before = picture(workspace.folder)
    (first,) = ids(workspace)
    git(workspace.folder, "commit", "-qm", "one")
    (workspace.folder / "new.txt").write_text("new\n")
    workspace.flush()
    done = snapshots(workspace, "restore", first, "--everything")
    assert done.returncode == 0, done.stderr
    assert picture(workspace.folder) == before
    elsewhere = workspace.place / "elsewhere"
    assert snapshots(workspace, "restore", first, "--everything", "--to", str(elsewhere)).returncode == 0
    assert picture(elsewhere) == before


def test_what_cannot_be_done_is_said_in_one_sentence(workspace, host):
    def said(*arguments):
        done = snapshots(workspace, *arguments)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr

    assert "no snapshot" in said("list")
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    assert "'ffff' is no snapshot" in said("show", "ffff")
    assert "is not a file in" in said("show", "latest", "missing.txt")
    assert "Say which paths" in said("restore", "latest")
    assert "is not a path from" in said("restore", "latest", "../etc/passwd")
    assert "is not in snapshot" in said("restore", "latest", "missing.txt")
    host.stop()
    assert "cannot be reached" in said("list")


def test_a_new_generation_takes_over_the_history_and_clears_the_old_refs_away(workspace):
    (workspace.folder / "a.txt").write_text("of the first generation\n")
    workspace.start()
    (first,) = ids(workspace)
    workspace.lose()
    born = int(time.time())
    until(lambda: int(time.time()) > born, "the clock's next second, since snapshots are dated by it", 5)
    workspace.restore()
    (workspace.folder / "a.txt").write_text("of the second generation\n")
    workspace.start()

    def refs():
        return git(workspace.host.repository(), "for-each-ref", "--format=%(refname)").split()

    until(lambda: refs() and all("/default/2/" in ref for ref in refs()), "refs of the second generation only", 30)
    oldest = ids(workspace)[-1]
    assert snapshots(workspace, "show", oldest, "a.txt").stdout == "of the first generation\n"
    assert first in ids(workspace)
