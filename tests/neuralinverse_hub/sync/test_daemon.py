"""Save, lose everything, have it back: real git, real daemon processes, a real git host."""

from __future__ import annotations

import os
import time

from tests.neuralinverse_hub.sync.rig import git, picture, until


def test_a_saved_file_is_on_the_host_within_two_seconds(workspace):
    workspace.start()
    (workspace.folder / "notes.txt").write_text("saved\n")
    saved = time.monotonic()
    until(lambda: workspace.on_host("notes.txt") == b"saved\n", "the file on the host")
    assert time.monotonic() - saved < 2


def make_a_busy_repository(folder):
    """A repository with everything in it that a person would miss."""
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.txt").write_text("one\n")
    (folder / "b.txt").write_bytes(b"crlf\r\nlines\r\n")
    (folder / ".gitattributes").write_text("*.txt text eol=lf\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    git(folder, "branch", "side")
    (folder / "a.txt").write_text("stashed\n")
    (folder / "new-for-stash.txt").write_text("untracked in a stash\n")
    git(folder, "stash", "push", "-q", "-u")
    (folder / "a.txt").write_text("stashed again\n")
    git(folder, "stash", "push", "-q")
    (folder / "a.txt").write_text("staged\n")
    git(folder, "add", "a.txt")
    (folder / "a.txt").write_text("not staged\n")
    (folder / "intent.txt").write_text("only intended\n")
    git(folder, "add", "-N", "intent.txt")
    (folder / "untracked.txt").write_text("untracked\n")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)
    os.symlink("a.txt", folder / "link")
    os.symlink("nowhere", folder / "dangling")
    (folder / "empty" / "deeper").mkdir(parents=True)
    with open(os.fsencode(folder) + b"/odd \xff\n:name", "wb") as odd:
        odd.write(bytes(range(256)) * 4000)


def state_of(folder):
    """What git says about a repository, asked so that git does not write its index."""
    quiet = {"GIT_OPTIONAL_LOCKS": "0"}
    return {
        "status": git(folder, "status", "--porcelain=v2", "--branch", "--ignored=no", **quiet),
        "refs": git(folder, "for-each-ref"),
        "head": git(folder, "symbolic-ref", "-q", "HEAD", check=False) + git(folder, "rev-parse", "HEAD", check=False),
        "stash": git(folder, "stash", "list", "--format=%H %gs"),
        "index": git(folder, "ls-files", "--stage", "--debug").splitlines()[0::6],
        "fsck": git(folder, "fsck", "--strict", "--no-dangling"),
    }


def test_everything_comes_back_after_sigkill_and_a_deleted_folder(workspace):
    busy = workspace.folder / "busy"
    busy.mkdir()
    make_a_busy_repository(busy)
    plain = workspace.folder / "plain"
    plain.mkdir()
    (plain / "data.csv").write_text("1,2\n")
    workspace.start()
    (plain / "late.txt").write_text("written while running\n")
    git(busy, "checkout", "-q", "--detach", "side", check=False)
    workspace.flush()
    before, state = picture(workspace.folder), state_of(busy)

    workspace.lose()
    told = workspace.restore()

    assert told["restored"] and told["from_generation"] == 1
    assert picture(workspace.folder) == before
    assert state_of(busy) == state
    workspace.start()
    assert picture(workspace.folder) == before


def test_the_persons_repository_is_not_touched_and_nothing_shows(workspace):
    make_a_busy_repository(workspace.folder)
    before, state = picture(workspace.folder), state_of(workspace.folder)
    workspace.start()
    workspace.flush()
    assert picture(workspace.folder) == before
    assert state_of(workspace.folder) == state
    assert "refs/ni" not in git(workspace.folder, "log", "--all", "--format=%D")
    assert "ni/" not in git(workspace.folder, "branch", "-a")


def test_a_repository_made_while_running_is_protected(workspace):
    workspace.start()
    repository = workspace.folder / "fresh"
    repository.mkdir()
    make_a_busy_repository(repository)
    workspace.flush()
    git(repository, "commit", "-qam", "second")
    git(repository, "checkout", "-q", "-b", "feature")
    workspace.flush()
    before, state = picture(workspace.folder), state_of(repository)
    workspace.lose()
    workspace.restore()
    assert picture(workspace.folder) == before
    assert state_of(repository) == state


def test_ignored_files_are_not_pushed_and_are_listed(workspace):
    git(workspace.folder, "init", "-q")
    (workspace.folder / ".gitignore").write_text("*.log\nout/\n")
    (workspace.folder / "a.log").write_text("secret\n")
    (workspace.folder / "kept.log").write_text("tracked although ignored\n")
    (workspace.folder / "out").mkdir()
    (workspace.folder / "out" / "x").write_text("built\n")
    git(workspace.folder, "add", "-f", "kept.log")
    workspace.start()
    assert workspace.on_host("a.log") is None
    assert workspace.on_host("out/x") is None
    assert workspace.on_host("kept.log") == b"tracked although ignored\n"
    assert {item["path"] for item in workspace.status()["not_protected"]} == {"a.log", "out"}
    (workspace.folder / ".gitignore").write_text("out/\n")
    until(lambda: workspace.on_host("a.log") == b"secret\n", "a file that is not ignored any more")


def test_the_host_being_away_is_visible_and_caught_up_with(workspace, host):
    workspace.start()
    host.stop()
    (workspace.folder / "late.txt").write_text("first\n")
    until(lambda: workspace.status_is("behind"), "the status to say behind")
    assert workspace.status()["pending"] >= 1
    assert "git host" in workspace.status()["error"]
    (workspace.folder / "late.txt").write_text("final\n")
    (workspace.folder / "more.txt").write_text("more\n")
    host.start()
    until(lambda: workspace.on_host("late.txt") == b"final\n", "the final content on the host")
    until(lambda: workspace.status_is("protected"), "the status to recover")
    assert workspace.on_host("more.txt") == b"more\n"
    assert workspace.status()["error"] is None


def test_sigterm_flushes_what_was_saved_before_it(workspace):
    workspace.start()
    for number in range(50):
        (workspace.folder / f"{number}.txt").write_text(str(number))
    assert workspace.end() == 0
    assert all(workspace.on_host(f"{number}.txt") == str(number).encode() for number in range(50))
    assert workspace.status()["state"] == "stopped"


def test_sigterm_with_the_host_away_says_what_is_missing(workspace, host):
    workspace.start()
    host.stop()
    (workspace.folder / "a.txt").write_text("not there yet\n")
    began = time.monotonic()
    assert workspace.end() == 3
    assert time.monotonic() - began < 13
    assert "before everything was on the git host" in workspace.status()["error"]
    assert workspace.status()["pending"] >= 1


def test_a_deleted_folder_does_not_become_an_empty_snapshot(workspace):
    for number in range(20):
        (workspace.folder / f"{number}.txt").write_text(str(number))
    workspace.start()
    for number in range(20):
        (workspace.folder / f"{number}.txt").unlink()
    workspace.folder.rmdir()
    until(lambda: "is gone" in (workspace.status()["error"] or ""), "the daemon to say that the folder is gone")
    assert workspace.end() == 3
    assert workspace.on_host("7.txt") == b"7"


def test_restoring_a_new_workspace_says_that_there_is_nothing(workspace):
    told = workspace.restore()
    assert told["restored"] is False and told["files"] == 0


def test_restoring_twice_changes_nothing(workspace):
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    workspace.lose()
    assert workspace.restore()["restored"]
    (workspace.folder / "a.txt").write_text("edited after the restore\n")
    assert not workspace.restore()["restored"]
    assert (workspace.folder / "a.txt").read_text() == "edited after the restore\n"


def test_a_folder_that_survived_keeps_what_never_reached_the_host(workspace, host):
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    host.stop()
    (workspace.folder / "a.txt").write_text("newer than the host knows\n")
    workspace.kill()
    host.start()
    workspace.generation += 1
    assert not workspace.restore()["restored"]
    assert (workspace.folder / "a.txt").read_text() == "newer than the host knows\n"
    workspace.start()
    assert workspace.on_host("a.txt") == b"newer than the host knows\n"


def test_two_workspaces_of_one_person_do_not_meet(make_workspace):
    one, two = make_workspace("one"), make_workspace("two", name="second")
    one.start()
    two.start()
    (one.folder / "x").write_text("one")
    (two.folder / "x").write_text("two")
    one.flush()
    two.flush()
    assert (one.on_host("x"), two.on_host("x")) == (b"one", b"two")


def test_a_zombie_cannot_write_after_its_successor_has_started(make_workspace):
    zombie, successor = make_workspace("zombie"), make_workspace("successor")
    (zombie.folder / "x").write_text("first\n")
    zombie.start()
    successor.generation = 2
    successor.folder.rmdir()
    assert successor.restore()["restored"]
    (zombie.folder / "x").write_text("from the grave\n")
    until(lambda: zombie.status()["state"] == "stopped", "the zombie to stop")
    assert "started again elsewhere" in zombie.status()["error"]
    assert zombie.on_host("x") == b"first\n"
    assert zombie.end() == 3
