"""A real JupyterHub with an operator's token, for what operators ask of it. Its workspaces are a few lines, or there are none."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from neuralinverse_hub.local.ports import free_port
from tests.cluster import nowhere
from tests.neuralinverse_hub.gateway.real_hub import WORKSPACE
from tests.neuralinverse_hub.githost.test_hub import proxy_command
from tests.one_machine import eventually

__all__ = ["SmallHub"]

CONFIG = """
import os, sys
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"root"}}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.services = [{{"name": "tests", "api_token": os.environ["TESTS_TOKEN"]}}]
c.JupyterHub.load_roles = [{{"name": "tests", "services": ["tests"],
                           "scopes": ["admin:users", "admin:servers", "tokens", "read:metrics"]}}]
{more}
"""

SIMPLE = """
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/{{username}}"
c.Spawner.cmd = [sys.executable, {workspace!r}]
c.Spawner.environment = {{"TOKEN_FILE": {folder!r} + "/token"}}
"""

LOCAL = """
from neuralinverse_hub.hub_config import configure
c.JupyterHub.spawner_class = "neuralinverse-local"
c.LocalWorkspaceSpawner.workspaces_dir = {folder!r} + "/workspaces"
c.LocalWorkspaceSpawner.cmd = [sys.executable, "-m", "tests.neuralinverse_hub.regions.light_workspace"]
c.LocalWorkspaceSpawner.sizes = {{"small": {{"cpu": 1, "memory": "1G"}}, "large": {{"cpu": 2, "memory": "2G"}}}}
c.NeuralInverseHub.hub_url = {url!r}
configure(c)
"""

POOLED = """
c.JupyterHub.spawner_class = "neuralinverse"
c.KubeSpawner.namespace = "workspaces"
c.KubeSpawner.image = "workspace:1"
c.NeuralInverseSpawner.pool = {pool!r}
c.NeuralInverseHub.hub_url = {url!r}
from neuralinverse_hub.hub_config import configure
configure(c)
"""


@dataclass
class SmallHub:
    """One hub, its operator's token in `token`."""

    folder: Path
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    @classmethod
    @contextlib.contextmanager
    def simple(cls, folder: Path) -> Iterator[SmallHub]:
        """Workspaces are processes that answer, and nothing else."""
        workspace = folder / "workspace.py"
        workspace.write_text(WORKSPACE)
        with cls(folder)._serving(SIMPLE.format(folder=str(folder), workspace=str(workspace)), {}) as hub:
            yield hub

    @classmethod
    @contextlib.contextmanager
    def local(cls, folder: Path) -> Iterator[SmallHub]:
        """Workspaces are what they are on one machine, but for their server, which is a few lines."""
        hub = cls(folder)
        root = str(Path(__file__).parents[3])
        with hub._serving(LOCAL.format(folder=str(folder), url=hub.url), {"PYTHONPATH": root}):
            yield hub

    @classmethod
    @contextlib.contextmanager
    def pooled(cls, folder: Path, pool: dict[str, Any]) -> Iterator[SmallHub]:
        """A hub for Kubernetes that keeps a pool on a cluster that does not answer."""
        hub = cls(folder)
        more = POOLED.format(pool=pool, url=hub.url)
        with hub._serving(more, {"KUBECONFIG": str(nowhere(folder))}):
            yield hub

    @contextlib.contextmanager
    def _serving(self, more: str, env: dict[str, str]) -> Iterator[SmallHub]:
        config = CONFIG.format(
            url=self.url, hub_port=free_port(), proxy_port=free_port(), proxy=proxy_command(), more=more
        )
        (self.folder / "jupyterhub_config.py").write_text(config)
        environment = {**os.environ, "TESTS_TOKEN": self.token, "CONFIGPROXY_AUTH_TOKEN": self.token, **env}
        with (self.folder / "hub.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub"], cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        try:
            eventually("the hub serving", lambda: self._serves(process), 60)
            yield self
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()

    def _serves(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log[-3000:]
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/hub/health", timeout=5).ok
        return False

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> requests.Response:
        """Of the hub's API, as the operator or with ``token``; an empty one is none."""
        token = self.token if token is None else token
        headers = {"Authorization": f"token {token}"} if token else {}
        return requests.request(method, f"{self.url}/hub/api/{path}", headers=headers, timeout=60, **more)

    def person(self, name: str, scopes: list[str] | None = None) -> str:
        """A token of ``name``, who is there afterwards."""
        self.ask("POST", f"users/{name}")
        answer = self.ask("POST", f"users/{name}/tokens", json={"scopes": scopes} if scopes else {})
        assert answer.ok, answer.text
        return str(answer.json()["token"])

    def start(self, person: str, server: str = "") -> None:
        self.ask("POST", f"users/{person}")
        path = f"users/{person}/servers/{server}" if server else f"users/{person}/server"
        assert self.ask("POST", path).ok
        eventually(f"{person}/{server}", lambda: self.servers(person).get(server, {}).get("ready"), 60)

    def servers(self, person: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"users/{person}").json()["servers"])
