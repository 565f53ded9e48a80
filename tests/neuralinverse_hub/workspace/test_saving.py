"""The calls of a workspace's server: who may make them, and what they say where there is no git host."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.local.ports import free_port
from tests.one_machine import eventually

TOKEN = "token-of-this-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Jupyter server with our calls; its address."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", f"--port={port}", "--port-retries=0"),
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.jpserver_extensions={'neuralinverse_hub.workspace.saving': True}",
        f"--ServerApp.root_dir={folder}",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "NEURALINVERSE_"))}
    places = {
        "HOME": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / "none"),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env | places, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}/"

    def serves() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{url}api", timeout=5).ok
        return False

    try:
        eventually("the server", serves, 60)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(("method", "path"), [("POST", "neuralinverse/flush"), ("GET", wire.RESTORE_PATH)])
def test_the_calls_are_for_the_servers_own_tokens(server: str, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "token wrong"}, {"Authorization": "Bearer "}):
        answer = requests.request(method, server + path, headers=headers, allow_redirects=False, timeout=20)
        assert answer.status_code in (302, 403), (headers, answer.text)
        assert "files" not in answer.text


def test_without_a_git_host_there_is_nothing_to_bring_back_and_nowhere_to_save(server: str) -> None:
    headers = {"Authorization": f"token {TOKEN}"}
    answer = requests.get(server + wire.RESTORE_PATH, headers=headers, timeout=20)
    assert answer.json() == {"state": "none", "files": 0, "seconds": 0.0}
    answer = requests.post(f"{server}neuralinverse/flush", headers=headers, timeout=20)
    assert answer.status_code == 503 and "no git host" in answer.json()["message"]
