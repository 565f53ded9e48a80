"""Outages, kills and bad luck: nothing is lost, nothing stalls, and the person is told."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.workspace import saving
from tests.neuralinverse_hub.sync.rig import git, picture, until


class Between:
    """Stands between a workspace and the git host, and misbehaves on demand. A fake with behaviour, not a mock."""

    def __init__(self, target_port: int) -> None:
        self.target = target_port
        self.mode = "pass"
        self.cut_after: int | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/git"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self.mode == "hang":
                return
            if self.mode in ("500", "502"):
                client.recv(65536)
                body = b"the disk of the host is on fire"
                client.sendall(
                    b"HTTP/1.1 %s Broken\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                    % (self.mode.encode(), len(body), body)
                )
                client.close()
                return
            upstream = socket.create_connection(("127.0.0.1", self.target))
            self._open.append(upstream)
            back = threading.Thread(target=self._pump, args=(upstream, client, False), daemon=True)
            self._threads.append(back)
            back.start()
            self._pump(client, upstream, True)
        except OSError:
            pass

    def _pump(self, source: socket.socket, target: socket.socket, outward: bool) -> None:
        try:
            while data := source.recv(65536):
                if self.mode != "pass" and self.mode != "lose answers":
                    break
                if outward and self.cut_after is not None:
                    self.cut_after -= len(data)
                    if self.cut_after < 0:
                        self.cut_after = None
                        break
                if not outward and self.mode == "lose answers":
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def drop_all(self) -> None:
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
        self._open.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def between(host):
    middle = Between(host.port)
    yield middle
    middle.close()


@pytest.fixture
def behind(workspace, host, between):
    """A workspace that reaches its host by way of `Between`."""
    workspace.extra_env[wire.ENV_GIT_REMOTE] = f"{between.base}/ada/{wire.WORKSPACE_REPOSITORY}.git"
    return workspace


@pytest.mark.parametrize("mode", ["500", "502", "hang", "lose answers"])
def test_a_host_that_misbehaves_is_waited_for(behind, between, mode):
    behind.start()
    between.mode = mode
    between.drop_all()
    (behind.folder / "a.txt").write_text("first\n")
    until(lambda: behind.status_is("behind"), f"the status to say behind: {behind.log()}", 60)
    assert behind.status()["error"]
    (behind.folder / "a.txt").write_text("final\n")
    between.mode = "pass"
    between.drop_all()
    until(lambda: behind.status_is("protected"), f"the status to recover: {behind.log()}", 60)
    assert behind.on_host("a.txt") == b"final\n"


def test_a_push_that_is_cut_off_half_way_is_made_again(behind, between):
    behind.start()
    between.cut_after = 100_000
    content = os.urandom(1_000_000)
    (behind.folder / "large.bin").write_bytes(content)
    until(lambda: behind.on_host("large.bin") == content, "the whole file on the host", 60)
    repository = behind.host.repository()
    assert "missing" not in git(repository, "fsck", "--no-dangling")


def test_the_host_killed_in_the_middle_of_a_push_loses_nothing(workspace, host):
    workspace.start()
    content = os.urandom(3_000_000)
    (workspace.folder / "large.bin").write_bytes(content)
    until(lambda: workspace.status().get("pending") or workspace.on_host("large.bin"), "the push to be under way")
    host.stop(signal.SIGKILL)
    (workspace.folder / "after.txt").write_text("after\n")
    host.start()
    until(lambda: workspace.on_host("after.txt") == b"after\n", f"catching up: {workspace.log()}", 60)
    assert workspace.on_host("large.bin") == content


def test_a_host_without_room_says_so_and_is_tried_again(workspace, host):
    workspace.start()
    objects = host.repository() / "objects"
    shutil.move(objects, objects.with_name("objects.aside"))
    (workspace.folder / "a.txt").write_text("a\n")
    until(lambda: workspace.status_is("behind"), "the status to say behind")
    assert workspace.status()["pending"] >= 1
    shutil.move(objects.with_name("objects.aside"), objects)
    until(lambda: workspace.on_host("a.txt") == b"a\n", "the file once there is room", 60)


def test_an_expired_token_is_said_and_files_still_queue(workspace, host, tokens):
    workspace.start()
    model = tokens.tokens.pop("ada-token")
    host.stop()
    host.start()  # forgets who it has let in
    (workspace.folder / "a.txt").write_text("a\n")
    until(lambda: workspace.status_is("behind"), "the status to say behind")
    assert "token" in workspace.status()["error"]
    tokens.tokens["ada-token"] = model
    until(lambda: workspace.on_host("a.txt") == b"a\n", "the file once the token is good again", 90)


def test_memory_does_not_grow_while_the_host_is_away(workspace, host):
    workspace.start()
    host.stop()

    def resident_kb() -> int:
        with open(f"/proc/{workspace.daemon.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    (workspace.folder / "big.bin").write_bytes(os.urandom(2_000_000))
    until(lambda: workspace.status_is("behind"), "the status to say behind")
    before = resident_kb()
    for number in range(200):
        (workspace.folder / "big.bin").write_bytes(os.urandom(500_000))
        (workspace.folder / f"{number % 10}.txt").write_text(str(number))
    until(lambda: workspace.status()["pending"] >= 11, "the changes to be counted", 60)
    assert resident_kb() - before < 15_000


@pytest.mark.parametrize("when", [0.0, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4])
def test_a_daemon_killed_at_any_step_goes_on_from_there(workspace, when):
    workspace.start()
    for number in range(40):
        (workspace.folder / f"{number}.bin").write_bytes(os.urandom(20_000))
    time.sleep(when)  # the point is to hit different steps of a snapshot and its push
    workspace.kill()
    assert not list(workspace.state.glob("sync/*.tmp"))
    (workspace.folder / "later.txt").write_text("later\n")
    workspace.start()
    assert workspace.on_host("later.txt") == b"later\n"
    before = picture(workspace.folder)
    workspace.lose()
    workspace.restore()
    assert picture(workspace.folder) == before


def test_a_restore_killed_at_any_step_is_finished_by_the_next(workspace):
    for number in range(300):
        (workspace.folder / f"d{number % 7}").mkdir(exist_ok=True)
        (workspace.folder / f"d{number % 7}" / f"{number}.txt").write_text(f"{number}\n")
    git(workspace.folder / "d0", "init", "-q")
    workspace.start()
    before = picture(workspace.folder)
    workspace.lose()
    assert saving.restore(workspace.env)["state"] == "fetching", "what the hub is told"
    for wait_s in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45):
        process = subprocess.Popen(
            [sys.executable, "-m", "neuralinverse_hub.sync", "restore"], env=workspace.env, stdout=subprocess.DEVNULL
        )
        time.sleep(wait_s)  # the point is to hit different steps of a restore
        process.kill()
        process.wait()
        told = saving.restore(workspace.env)
        assert (told["files"] >= 300) == (told["state"] in ("writing", "done")), told
    workspace.restore()
    assert picture(workspace.folder) == before
    told = saving.restore(workspace.env)
    assert told["state"] == "done" and told["files"] >= 300


def test_twenty_thousand_files_in_a_second_all_arrive(workspace):
    workspace.start()
    for number in range(200):
        folder = workspace.folder / f"d{number}"
        folder.mkdir()
        for inner in range(100):
            with open(folder / str(inner), "w") as file:
                file.write(f"{number} {inner}")
    workspace.flush()
    tree = f"{wire.ref_prefix('default', 1)}/snap"
    listing = git(workspace.host.repository(), "ls-tree", "-r", "--name-only", tree)
    assert len(listing.splitlines()) == 20_000


def test_a_file_of_two_gigabytes_is_listed_and_stalls_nothing(workspace):
    workspace.start()
    with (workspace.folder / "huge.img").open("wb") as file:
        file.truncate(2 << 30)
    (workspace.folder / "small.txt").write_text("small\n")
    until(lambda: workspace.on_host("small.txt") == b"small\n", "the small file")
    told = [{"path": "huge.img", "reason": "larger than 100 MB"}]
    until(lambda: workspace.status()["not_protected"] == told, "the large file to be listed")
    (workspace.folder / "huge.img").unlink()
    until(lambda: workspace.status()["not_protected"] == [], "the list to be empty again")


def test_a_corrupt_repository_is_protected_as_the_files_it_is(workspace):
    broken = workspace.folder / "broken"
    broken.mkdir()
    git(broken, "init", "-q")
    (broken / "a.txt").write_text("a\n")
    git(broken, "add", "-A")
    git(broken, "commit", "-qm", "one")
    (broken / ".git" / "HEAD").write_text("nonsense")
    (broken / ".git" / "index").write_bytes(b"nonsense")
    workspace.start()
    told = {item["path"]: item["reason"] for item in workspace.status()["not_protected"]}
    assert "damaged" in told["broken/.git"]
    (broken / "b.txt").write_text("b\n")
    workspace.flush()
    before = picture(workspace.folder)
    workspace.lose()
    workspace.restore()
    assert picture(workspace.folder) == before


def test_a_damaged_snapshot_gives_way_to_the_newest_good_one(workspace):
    (workspace.folder / "a.txt").write_text("good\n")
    workspace.start()
    workspace.lose()
    workspace.restore()
    workspace.daemon = None
    (workspace.folder / "a.txt").write_text("to be damaged " * 500)
    with (workspace.place / "daemon.log").open("ab") as log:
        workspace.daemon = subprocess.Popen(
            [sys.executable, "-m", "neuralinverse_hub.sync", "run"], env=workspace.env, stderr=log
        )
    until(lambda: workspace.on_host("a.txt") == b"to be damaged " * 500, "the second state")
    workspace.kill()
    repository = workspace.host.repository()
    blob = git(repository, "rev-parse", "refs/ni/default/2/snap:a.txt").strip()
    path = repository / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    workspace.lose()
    told = workspace.restore()
    assert told["restored"] and "damaged" in told["note"]
    assert (workspace.folder / "a.txt").read_text() == "good\n"


def test_a_log_that_never_rests_is_protected_as_far_as_it_was_written(workspace):
    workspace.start()
    over = threading.Event()

    def write() -> None:
        with (workspace.folder / "run.txt").open("w", buffering=1) as log:
            number = 0
            while not over.is_set():
                log.write(f"line {number}\n")
                number += 1
                over.wait(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: (workspace.on_host("run.txt") or b"").count(b"\n") > 100, "a part of the log")
    finally:
        over.set()
        writer.join()


def test_the_watch_limit_is_said_and_saving_goes_on(workspace, tmp_path):
    """In a user namespace of its own, where the limit of watches can be lowered for this test alone."""
    for number in range(60):
        (workspace.folder / f"d{number}").mkdir()
    script = f"echo 20 > /proc/sys/user/max_inotify_watches && exec {sys.executable} -m neuralinverse_hub.sync run"
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    probe = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", "echo 20 > /proc/sys/user/max_inotify_watches"],
        capture_output=True,
    )
    if probe.returncode != 0:
        pytest.skip("this system does not let a test lower the limit of inotify watches")
    with (workspace.place / "daemon.log").open("ab") as log:
        workspace.daemon = subprocess.Popen(command, env=workspace.env, stderr=log)
    until(lambda: workspace.status_is("protected"), f"a first snapshot: {workspace.log()}", 30)
    assert "cannot watch" in workspace.status()["error"]
    (workspace.folder / "d7" / "a.txt").write_text("found by looking\n")
    until(lambda: workspace.on_host("d7/a.txt") == b"found by looking\n", f"the file: {workspace.log()}", 30)


def test_a_folder_that_cannot_be_read_is_listed_and_the_rest_is_protected(workspace):
    without_privilege: list[str] = []
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads everything, and there is no setpriv to take that from it")
        without_privilege = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    (workspace.folder / "closed").mkdir()
    (workspace.folder / "closed" / "x").write_text("x")
    (workspace.folder / "open.txt").write_text("open\n")
    (workspace.folder / "secret.bin").write_text("secret")
    (workspace.folder / "closed").chmod(0)
    (workspace.folder / "secret.bin").chmod(0)
    with (workspace.place / "daemon.log").open("ab") as log:
        workspace.daemon = subprocess.Popen(
            [*without_privilege, sys.executable, "-m", "neuralinverse_hub.sync", "run"], env=workspace.env, stderr=log
        )
    until(lambda: workspace.status_is("protected"), f"a first snapshot: {workspace.log()}", 30)
    assert workspace.on_host("open.txt") == b"open\n"
    told = {item["path"]: item["reason"] for item in workspace.status()["not_protected"]}
    assert set(told) == {"closed", "secret.bin"}
    assert all("cannot be read" in reason for reason in told.values())
    (workspace.folder / "closed").chmod(0o700)
    until(lambda: workspace.on_host("closed/x") == b"x", f"the folder once it can be read: {workspace.log()}")


def test_a_daemon_that_is_told_nonsense_says_which_variable(workspace):
    for name, value, said in [
        (wire.ENV_FOLDER, "", "is not set"),
        (wire.ENV_FOLDER, "work", "absolute path"),
        (wire.ENV_STATE, str(workspace.folder / "state"), "lies inside"),
        (wire.ENV_GENERATION, "new", "whole number"),
        (wire.ENV_WORKSPACE, "a/b", "letters, digits"),
        (wire.ENV_GIT_REMOTE, "ssh://host/x", "http"),
        (wire.ENV_GIT_REMOTE, "http://me:secret@host/x", "without user name"),
    ]:
        workspace.extra_env = {name: value}
        done = workspace.sync("run")
        assert done.returncode == 1
        assert name in done.stderr and said in done.stderr
        assert "secret" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_the_token_is_never_on_a_command_line_or_in_a_log(workspace, tokens):
    """Of nothing that this workspace starts; every command line of git goes through a program that writes it down."""
    workspace.token = "token-of-this-test-alone"
    tokens.tokens[workspace.token] = tokens.tokens["ada-token"]
    programs = workspace.place / "bin"
    programs.mkdir()
    seen = workspace.place / "command-lines"
    (programs / "git").write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {seen}\nexec {shutil.which("git")} "$@"\n')
    (programs / "git").chmod(0o755)
    workspace.extra_env["PATH"] = f"{programs}:{os.environ['PATH']}"
    git(workspace.folder, "init", "-q")
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    process = psutil.Process(workspace.daemon.pid)
    lines = [process.cmdline()]
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            lines.append(child.cmdline())
    workspace.lose()
    workspace.restore()
    assert (workspace.folder / "a.txt").exists()
    assert "index-pack" in seen.read_text() and len(lines[0]) > 1
    assert workspace.token not in str(lines) + seen.read_text()
    assert workspace.token not in workspace.log() + workspace.host.log.read_text() + json.dumps(workspace.status())


def test_nothing_is_snapshotted_before_the_restore_is_whole(workspace, host):
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    workspace.lose()
    host.stop()
    workspace.folder.mkdir()
    with (workspace.place / "daemon.log").open("ab") as log:
        workspace.daemon = subprocess.Popen(
            [sys.executable, "-m", "neuralinverse_hub.sync", "run"], env=workspace.env, stderr=log
        )
    until(lambda: workspace.status_is("restoring") and workspace.status()["error"], "the daemon to wait for the host")
    (workspace.folder / "early.txt").write_text("written while it was restoring\n")
    host.start()
    until(lambda: workspace.status_is("protected"), f"the restore and a snapshot: {workspace.log()}", 60)
    assert (workspace.folder / "a.txt").read_text() == "a\n"
    assert workspace.on_host("a.txt") == b"a\n"
    assert workspace.on_host("early.txt") == b"written while it was restoring\n"


def test_a_change_that_no_watcher_reports_is_found_by_the_regular_full_scan(workspace):
    path = workspace.folder / "mapped.bin"
    path.write_bytes(b"a" * 4096)
    program = (
        "from neuralinverse_hub.sync.config import Config; from neuralinverse_hub.sync.daemon import Daemon; "
        "Daemon(Config.from_env(), full_scan_s=1).run()"
    )
    with (workspace.place / "daemon.log").open("ab") as log:
        workspace.daemon = subprocess.Popen([sys.executable, "-c", program], env=workspace.env, stderr=log)
    until(lambda: workspace.on_host("mapped.bin") == b"a" * 4096, f"the first state: {workspace.log()}")
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        file.close()
        until(lambda: workspace.status_is("protected"), "a quiet daemon")
        memory[:4] = b"bbbb"  # writing to mapped memory makes no inotify event
        memory.flush()
        until(lambda: (workspace.on_host("mapped.bin") or b"")[:4] == b"bbbb", "the change on the host")


def test_a_clock_that_jumps_stops_no_save_and_loses_no_state(workspace):
    """As when a laptop wakes, or a time server puts a wrong clock right: days forth and back while people save."""
    program = (
        "import pathlib, sys, time; real, offset = time.time, pathlib.Path(sys.argv[1]); "
        "time.time = lambda: real() + float(offset.read_text()); "
        "from neuralinverse_hub.sync.config import Config; from neuralinverse_hub.sync.daemon import Daemon; "
        "Daemon(Config.from_env()).run()"
    )
    offset = workspace.place / "offset"
    saved = {}
    for generation, jumps in enumerate(((0, -172_800, 86_400), (-86_400, 0)), 1):
        for number, seconds in enumerate(jumps):
            # In one step: the daemon reads it whenever it likes.
            (workspace.place / "new").write_text(str(seconds))
            (workspace.place / "new").rename(offset)
            if number == 0:
                with (workspace.place / "daemon.log").open("ab") as log:
                    command = [sys.executable, "-c", program, str(offset)]
                    workspace.daemon = subprocess.Popen(command, env=workspace.env, stderr=log, stdout=log)
                until(lambda: workspace.status_is("protected"), f"a quiet daemon: {workspace.log()}", 30)
            name = f"{generation}-{number}.txt"
            saved[name] = f"saved with a clock that is {seconds} s off\n".encode()
            (workspace.folder / name).write_bytes(saved[name])
            # Of another time than everything else, as files out of an archive are.
            os.utime(workspace.folder / name, (time.time() - 1e8,) * 2)
            until(lambda name=name: workspace.on_host(name) == saved[name], f"{name}: {workspace.log()}", 5)
            until(lambda: workspace.status_is("protected"), "the daemon's own word for it", 5)
            assert workspace.status()["error"] is None
        workspace.lose()
        workspace.folder.mkdir()
        assert workspace.restore()["restored"]
        assert {path.name: path.read_bytes() for path in workspace.folder.iterdir()} == saved
        # The history goes on too: the newest state is the newest one, whatever it is dated.
        command = [sys.executable, "-m", "neuralinverse_hub.cli", "snapshots", "show", "latest"]
        shown = subprocess.run(command, env=workspace.env, capture_output=True, text=True)
        assert shown.stdout.split() == sorted(saved), shown.stderr


def test_a_second_daemon_of_the_same_workspace_refuses_to_start(workspace):
    workspace.start()
    done = workspace.sync("run")
    assert done.returncode == 1 and "Another sync daemon" in done.stderr


def test_a_disk_that_is_full_during_a_restore_is_said_and_the_next_try_succeeds(workspace):
    (workspace.folder / "large.bin").write_bytes(os.urandom(6_000_000))
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    before = picture(workspace.folder)
    workspace.lose()
    mount = f"mount -t tmpfs -o size=4m small {workspace.state}"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*command, mount], capture_output=True).returncode != 0:
        pytest.skip("this system does not let a test mount a small disk of its own")
    script = f"{mount} && exec {sys.executable} -m neuralinverse_hub.sync restore"
    done = subprocess.run([*command, script], env=workspace.env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "disk is full" in done.stderr and len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert "Traceback" not in done.stderr
    workspace.restore()
    assert picture(workspace.folder) == before


def test_without_hooks_on_the_host_a_zombie_still_overwrites_nothing(make_workspace, host):
    zombie, successor = make_workspace("zombie"), make_workspace("successor")
    (host.root / ".hooks" / "pre-receive").write_text("#!/bin/sh\nexit 0\n")
    (zombie.folder / "x").write_text("first\n")
    zombie.start()
    successor.generation = 2
    successor.folder.rmdir()
    successor.start()
    (zombie.folder / "x").write_text("from the grave\n")
    (successor.folder / "x").write_text("second\n")
    until(lambda: zombie.on_host("x") != b"first\n" or zombie.status_is("stopped"), "the zombie to have tried")
    successor.flush()
    assert successor.on_host("x") == b"second\n"
    successor.lose()
    assert successor.restore()["from_generation"] == 2
    assert (successor.folder / "x").read_text() == "second\n"


def test_a_repository_whose_history_lies_outside_the_folder_is_said(workspace):
    outside = workspace.place / "outside"
    outside.mkdir()
    git(outside, "init", "-q")
    git(outside, "commit", "-q", "--allow-empty", "-m", "one")
    git(outside, "worktree", "add", "-q", str(workspace.folder / "linked"))
    git(workspace.folder, "clone", "-q", "--shared", str(outside), "shared")
    workspace.start()
    told = {item["path"]: item["reason"] for item in workspace.status()["not_protected"]}
    assert set(told) == {"linked/.git", "shared/.git"}
    assert all(str(outside) in reason for reason in told.values())


def test_the_status_is_there_over_http_too(workspace):
    workspace.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(workspace.state / wire.SYNC_SOCKET))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.0 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["state"] == "protected"
    assert (workspace.state / wire.SYNC_SOCKET).stat().st_mode & 0o077 == 0
