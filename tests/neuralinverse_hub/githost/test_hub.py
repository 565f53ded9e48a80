"""The git host as a service that a real JupyterHub manages, with a real workspace token."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from tests.neuralinverse_hub.sync.rig import Workspace, free_port, git, until

CONFIG = """
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.JupyterHub.db_url = "sqlite:///{place}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{place}/cookie"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.services = [
    dict(
        name="git",
        url="http://127.0.0.1:{git_port}",
        command=[{python!r}, "-m", "neuralinverse_hub.githost"],
        environment=dict(NEURALINVERSE_GIT_ROOT="{place}/repositories"),
    ),
    dict(name="maker", api_token="{secret}"),
]
c.JupyterHub.load_roles = [
    dict(name="maker", scopes=["admin:users", "tokens", "access:services"], services=["maker"]),
    dict(name="user", scopes=["self", "access:services!service=git"]),
]
"""


def proxy_command() -> list[str]:
    """A proxy that this environment has: the Python one, or the npm one on the path."""
    import importlib.util
    import shutil

    if importlib.util.find_spec("configurable_http_proxy") is not None:
        return [sys.executable, "-c", "from configurable_http_proxy.cli import main; main()"]
    found = shutil.which("configurable-http-proxy")
    if found is None:
        pytest.skip("no configurable-http-proxy, neither the npm nor the PyPI package, is installed")
    return [found]


class Hub:
    def __init__(self, place: Path) -> None:
        self.port, self.secret, self.place = free_port(), secrets.token_hex(16), place
        self.root = place / "repositories"
        (place / "jupyterhub_config.py").write_text(
            CONFIG.format(
                port=self.port,
                hub_port=free_port(),
                api_port=free_port(),
                git_port=free_port(),
                place=place,
                python=sys.executable,
                proxy=proxy_command(),
                secret=self.secret,
            )
        )
        self.log = place / "hub.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(place / "jupyterhub_config.py")],
                cwd=place,
                env=dict(os.environ) | {"PYTHONPATH": str(Path(__file__).parents[3])},
                stdout=log,
                stderr=log,
            )

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/git"

    def api(self, path: str, body: object = None) -> dict:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/hub/api{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.secret}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"{}")

    def healthy(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.base}/health", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def repository(self, person: str = "ada", name: str = wire.WORKSPACE_REPOSITORY) -> Path:
        return self.root / person / f"{name}.git"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture
def hub(tmp_path):
    running = Hub(tmp_path)
    try:
        until(running.healthy, "the hub and its git host", 60)
        yield running
    finally:
        running.stop()


@pytest.mark.hub
def test_work_comes_back_through_a_real_hub_with_a_real_token(hub, tmp_path):
    hub.api("/users/ada", {})
    hub.api("/users/bob", {})
    scopes = ["access:services!service=git"]
    token = hub.api("/users/ada/tokens", {"scopes": scopes, "note": "workspace"})["token"]
    workspace = Workspace(tmp_path / "a", hub, token=token)
    try:
        (workspace.folder / "a.txt").write_text("kept\n")
        workspace.start()
        assert workspace.on_host("a.txt") == b"kept\n"
        workspace.lose()
        assert workspace.restore()["restored"]
        assert (workspace.folder / "a.txt").read_text() == "kept\n"
        workspace.start()
    finally:
        workspace.kill()
    other = hub.api("/users/bob/tokens", {"scopes": scopes})["token"]
    with_other = hub.base.replace("http://", f"http://x:{other}@")
    assert git(tmp_path, "ls-remote", f"{with_other}/bob/notes.git") == ""
    request = urllib.request.Request(
        f"{hub.base}/ada/workspaces.git/info/refs?service=git-upload-pack", headers={"Authorization": f"token {other}"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.code == 403
        assert "belongs to bob" in answer.read().decode()
