"""``neuralinverse-hub up`` in a process of its own: what it refuses, what it says, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.local import processes
from neuralinverse_hub.local.ports import free_port
from tests.one_machine import OneMachine, eventually
from tests.person import Person

hub = pytest.mark.hub


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder; nothing that belongs to it outlives the test."""
    folder = (tmp_path / "data").resolve()
    yield folder
    processes.kill(belonging_to(folder))


def belonging_to(data: Path) -> list[psutil.Process]:
    return processes.marked(wire.ENV_DATA_DIR, str(data))


def up(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """An ``up`` that is expected to end by itself."""
    command = [sys.executable, "-m", "neuralinverse_hub.cli", "up", "--data-dir", str(data), "--no-model", *arguments]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=os.path.expanduser("~"),
    )


def start(person: Person) -> None:
    """Start the person's workspace, and be let in as a browser is: by a page, which brings the workspace's cookie."""
    person.session.get(f"{person.machine.url}/hub/spawn/{person.name}", timeout=60)
    page = f"{person.machine.url}/user/{person.name}/lab"
    eventually("the workspace's page", lambda: person.session.get(page, timeout=60).url.startswith(page), timeout_s=90)


def said(machine: OneMachine) -> str:
    return (machine.data_dir / "up.log").read_text()


def refused(answer: subprocess.CompletedProcess[str], *words: str) -> None:
    """One sentence on stderr that holds all ``words``, and no traceback."""
    assert answer.returncode == 1, answer
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("neuralinverse-hub: ")
    assert all(word in last for word in words), last
    assert "Traceback" not in answer.stderr


# -- bad input --------------------------------------------------------------------------------------------------------


def test_a_taken_port_is_said_before_anything_is_started(data: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused(up(data, "--port", str(port)), f"Port {port} is taken", "--port")
    assert not belonging_to(data)


def test_a_missing_git_is_said_before_anything_is_made(data: Path, tmp_path: Path) -> None:
    refused(up(data, PATH=str(tmp_path)), "git is missing", "install it")
    assert not data.exists()


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(up(tmp_path / "file" / "data"), "Cannot write to the data folder", "--data-dir")


def test_a_wrong_user_name_is_said(data: Path) -> None:
    refused(up(data, "--user", "Ada Lovelace"), "'Ada Lovelace' cannot be a user name")


def test_without_a_network_the_first_run_says_so(data: Path, tmp_path: Path) -> None:
    offline = {
        "NEURALINVERSE_CACHE": str(tmp_path / "cache"),
        "npm_config_registry": f"http://127.0.0.1:{free_port()}/",
        "npm_config_fetch_retries": "0",
    }
    refused(up(data, "--port", "0", **offline), "cannot be reached", "run the same command again")
    assert not list((tmp_path / "cache").glob(".partial-*"))
    assert not belonging_to(data)


def test_ctrl_c_while_installing_leaves_no_process_and_no_half_component(data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "neuralinverse_hub.cli",
        "up",
        "--data-dir",
        str(data),
        "--port",
        "0",
        "--no-model",
    ]
    environment = {**os.environ, "NEURALINVERSE_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    below: list[psutil.Process] = []

    def npm_runs() -> bool:
        below[:] = psutil.Process(process.pid).children(recursive=True)
        for each in below:
            with contextlib.suppress(psutil.Error):
                if "npm-cli.js" in " ".join(each.cmdline()):
                    return True
        return False

    try:
        eventually("npm running", npm_runs)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the same command continues" in stdout and "Traceback" not in stderr
    assert not any(processes.alive(each) for each in below)
    assert not list((tmp_path / "cache").glob(".partial-*"))


# -- running ----------------------------------------------------------------------------------------------------------


@hub
def test_it_says_where_to_go_and_a_second_up_says_where_the_first_is(one_machine: OneMachine) -> None:
    eventually("the welcome", lambda: "is ready" in said(one_machine))
    shown = said(one_machine)
    for word in (
        one_machine.url,
        one_machine.user,
        one_machine.password,
        str(one_machine.data_dir / "password"),
        "Ctrl-C",
    ):
        assert word in shown
    assert "demo model SmolLM2-135M-Instruct" in shown
    assert "\x1b" not in shown
    second = up(one_machine.data_dir.resolve(), "--port", str(free_port()))
    refused(second, "already running", one_machine.url, f"process {one_machine.process.pid}")


@hub
def test_the_handover_holds_no_secret_and_no_command_line_does(one_machine: OneMachine) -> None:
    handover = (one_machine.data_dir / "local.json").read_text()
    assert one_machine.password not in handover
    assert json.loads(handover)["password_file"] == str(one_machine.data_dir / "password")
    key = demo_key(one_machine)
    below = psutil.Process(one_machine.process.pid).children(recursive=True)
    assert len(below) > 3
    for process in below:
        line = " ".join(process.cmdline())
        assert key not in line and one_machine.password not in line


def demo_key(machine: OneMachine) -> str:
    for process in psutil.Process(machine.process.pid).children():
        if "server.mjs" in " ".join(process.cmdline()):
            return process.environ()["NEURALINVERSE_DEMO_MODEL_KEY"]
    raise AssertionError("no demo model is running")


@hub
def test_a_demo_model_that_dies_is_started_again_at_the_same_address(one_machine: OneMachine) -> None:
    def model() -> psutil.Process:
        below = psutil.Process(one_machine.process.pid).children()
        return next(each for each in below if "server.mjs" in " ".join(each.cmdline()))

    def answers(port: int) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                return json.load(answer)["status"]
        except OSError:
            return None

    first = model()
    port = next(c.laddr.port for c in first.net_connections() if c.status == psutil.CONN_LISTEN)
    first.kill()
    eventually("the same port answering again", lambda: not processes.alive(first) and answers(port))
    eventually("a sentence about it", lambda: "was started again" in said(one_machine))


@hub
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_asking_it_to_stop_leaves_no_process(data: Path, how: signal.Signals, installed: Any) -> None:
    with OneMachine.started(data, "--no-model") as machine:
        person = Person(machine, "ada")
        assert person.log_in().ok
        if how == signal.SIGINT:
            # One of the three with a workspace, whose processes are not children of the hub's own group.
            start(person)
        below = psutil.Process(machine.process.pid).children(recursive=True)
        assert len(below) >= 4
        machine.process.send_signal(how)
        assert machine.process.wait(60) == 0
        assert not [each for each in below if processes.alive(each)]
        assert not belonging_to(data)
        assert "Everything is stopped." in said(machine)


@hub
def test_what_a_killed_up_left_is_ended_by_the_next_and_nobody_else_is(data: Path, installed: Any) -> None:
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)"],
        env={**os.environ, wire.ENV_DATA_DIR: str(data) + "-other"},
    )
    try:
        with OneMachine.started(data, "--no-model") as killed:
            person = Person(killed, "ada")
            assert person.log_in().ok
            start(person)
            killed.process.kill()
            killed.process.wait()
            left = belonging_to(data)
            assert len(left) >= 5
        with OneMachine.started(data, "--no-model") as machine:
            assert "left behind" in said(machine)
            assert not [each for each in left if processes.alive(each)]
            assert Person(machine, "ada").log_in().ok
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@hub
def test_a_hub_that_dies_is_told_with_the_reason_and_nothing_is_left(data: Path, installed: Any) -> None:
    data.mkdir(parents=True)
    # A database that is none: what a full disk or a bad restore leaves.
    (data / "jupyterhub.sqlite").write_text("this is no database\n" * 100)
    answer = up(data, "--port", str(free_port()))
    assert answer.returncode == 1
    assert "The hub ended with exit code" in answer.stderr and str(data / "logs" / "hub.log") in answer.stderr
    assert "file is not a database" in answer.stderr
    assert not belonging_to(data)


@hub
def test_what_env_names_reaches_the_gateway_and_no_workspace(data: Path, installed: Any) -> None:
    data.mkdir(parents=True)
    secret = "key-that-no-workspace-may-see"
    (data / ".env").write_text(
        f"OPENAI_UPSTREAM_URL=http://127.0.0.1:{free_port()}/v1\nOPENAI_UPSTREAM_API_KEY={secret}\nUNRELATED=1\n"
    )
    with OneMachine.started(data) as machine:
        eventually("the welcome", lambda: "is ready" in said(machine))
        assert "the OpenAI-compatible server at 127.0.0.1" in said(machine)
        assert "Ignored in .env: UNRELATED" in said(machine)
        person = Person(machine, "ada")
        assert person.log_in().ok
        start(person)
        holders = [" ".join(each.cmdline()) for each in belonging_to(data) if secret in each.environ().values()]
        assert [line for line in holders if "neuralinverse_hub.gateway" in line]
        assert not [line for line in holders if "workspace" in line or "githost" in line or "code-server" in line]
        assert not [each for each in machine.processes("ada") if secret in each.environ().values()]
        assert not [
            name for name in machine.environment("ada") if name.startswith(("OPENAI_UPSTREAM", "AZURE", "UNRELATED"))
        ]


@hub
def test_a_browser_is_opened_and_outlives_the_hub(data: Path, tmp_path: Path, installed: Any) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1 $$" > {tmp_path}/opened\nexec sleep 300\n')
    browser.chmod(0o755)
    with OneMachine.started(data, "--no-model", "--open", env={"BROWSER": f"{browser} %s &"}) as machine:
        eventually(
            "the browser being opened", lambda: (tmp_path / "opened").exists() and (tmp_path / "opened").read_text()
        )
    url, pid = (tmp_path / "opened").read_text().split()
    assert url == machine.url
    opened = psutil.Process(int(pid))
    assert processes.alive(opened)
    opened.kill()
