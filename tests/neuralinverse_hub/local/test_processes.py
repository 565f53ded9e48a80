"""Finding and ending processes: only ours, and all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psutil
import pytest

from neuralinverse_hub.local import processes
from tests.one_machine import eventually

MARKER = "NEURALINVERSE_TEST_MARKER"
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def mark() -> Iterator[str]:
    value = uuid.uuid4().hex
    yield value
    processes.kill(processes.marked(MARKER, value))


def start(script: str, mark: str | None = None) -> subprocess.Popen[bytes]:
    """A running Python that has come so far as to print a line."""
    environment = {**os.environ, **({MARKER: mark} if mark else {})}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_marked_finds_those_with_the_value_their_descendants_and_nobody_else(mark: str) -> None:
    unmarked_child = (
        "import os, subprocess, sys, time\n"
        "environment = {n: v for n, v in os.environ.items() if n != 'NEURALINVERSE_TEST_MARKER'}\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], env=environment)\n"
        "print('up', flush=True); time.sleep(60)"
    )
    ours = start(unmarked_child, mark)
    other, plain = start(SLEEP, "another value"), start(SLEEP)
    try:
        found = {each.pid for each in processes.marked(MARKER, mark)}
        assert found == {ours.pid, psutil.Process(ours.pid).children()[0].pid}
    finally:
        for each in (other, plain):
            each.kill()
            each.wait()
        processes.kill(processes.marked(MARKER, mark))
        ours.wait()


def test_this_process_and_those_above_it_are_never_found(mark: str) -> None:
    script = (
        "import os, sys; from neuralinverse_hub.local import processes\n"
        "print([each.pid for each in processes.marked('NEURALINVERSE_TEST_MARKER', sys.argv[1])])"
    )
    shell = ["sh", "-c", '"$0" -c "$1" "$2"; true', sys.executable, script, mark]
    answer = subprocess.run(shell, env={**os.environ, MARKER: mark}, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_kill_ends_what_ignores_being_asked(mark: str) -> None:
    process = start(STUBBORN, mark)
    found = processes.marked(MARKER, mark)
    processes.terminate(found)
    assert processes.wait(found, 0.3) == found
    processes.kill(found)
    assert process.wait(5) == -9


def test_wait_returns_as_soon_as_all_have_ended(mark: str) -> None:
    process = start(SLEEP, mark)
    found = processes.marked(MARKER, mark)
    processes.terminate(found)
    assert processes.wait(found, 30) == []
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to somebody else than init")
def test_orphans_are_adopted_found_and_reaped() -> None:
    script = (
        "import os, subprocess, sys; from neuralinverse_hub.local import processes\n"
        "processes.adopt_orphans()\n"
        "orphan = 'import os, time; os.setsid(); time.sleep(60)'\n"
        "subprocess.run(['sh', '-c', '\"$0\" -c \"$1\" & echo', sys.executable, orphan], check=True)\n"
        "found = processes.descendants()\n"
        "assert len(found) == 1, found\n"
        "processes.kill(found)\n"
        "processes.reap(())\n"
        "import psutil\n"
        "assert psutil.Process().children() == []\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_reaping_leaves_alone_what_somebody_waits_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    eventually("its end", lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    processes.reap([process.pid])
    assert process.wait() == 7
