"""A real JupyterHub that ``configure(c)`` set up, with the economics and the gateway as its managed services."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.local.ports import free_port
from neuralinverse_hub.spool import to_line
from tests.one_machine import eventually

__all__ = ["RealHub", "bearer", "processes", "serving"]

TESTER = "token-of-the-tests-own-service"
RECORDER = "token-of-the-hubs-own-records"

CONFIG = """
import json, sys
from pathlib import Path
from neuralinverse_hub.hub_config import configure

given = json.loads(Path({given!r}).read_text())
hub = c.JupyterHub
hub.bind_url = "http://127.0.0.1:%d" % given["port"]
hub.hub_port = given["hub_port"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:%d" % given["proxy_port"]
c.ConfigurableHTTPProxy.command = [sys.executable, "-c", "from configurable_http_proxy.cli import main; main()"]
c.ConfigurableHTTPProxy.auth_token = "proxy-token-of-this-test"
# A proxy of a hub that was killed is the next one's.
c.ConfigurableHTTPProxy.should_start = True
hub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"root"}}
hub.spawner_class = "neuralinverse-local"
c.LocalWorkspaceSpawner.cmd = [sys.executable, given["folder"] + "/workspace.py"]
c.LocalWorkspaceSpawner.workspaces_dir = given["folder"] + "/workspaces"
c.LocalWorkspaceSpawner.poll_interval = 1
hub.cleanup_servers = False
hub.services = [{{"name": "tester", "api_token": given["tester"]}}]
hub.load_roles = [{{
    "name": "tester", "services": ["tester"], "scopes": ["admin:users", "admin:servers", "tokens", "list:users"],
}}]
c.NeuralInverseHub.git_host = "none"
configure(c, {{**given["env"], "NEURALINVERSE_COMPUTE_TOKEN": given["recorder"], "NEURALINVERSE_REGION": ""}})
"""

WORKSPACE = """
import http.server, os, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()
    def log_message(self, *_):
        pass
port = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


class RealHub:
    """The hub's process, and how to call what it serves."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port, hub_port, proxy_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.economics = f"{self.url}/services/economics"
        given = {
            "port": self.port,
            "hub_port": hub_port,
            "proxy_port": proxy_port,
            "folder": str(folder),
            "tester": TESTER,
            "recorder": RECORDER,
            "env": env or {},
        }
        (folder / "given.json").write_text(json.dumps(given))
        (folder / "workspace.py").write_text(WORKSPACE)
        (folder / "jupyterhub_config.py").write_text(CONFIG.format(given=str(folder / "given.json")))

    def start(self) -> None:
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        eventually("the economics answering", self._serves, timeout_s=90)

    def _serves(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return requests.get(f"{self.economics}/healthz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait(10)

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    def api(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        return requests.request(method, f"{self.url}/hub/api/{path}", headers=bearer(TESTER), timeout=60, **kwargs)

    def token(self, person: str, scopes: list[str]) -> str:
        """A token as a person makes one on the hub's page."""
        self.api("POST", f"users/{person}")
        answer = self.api("POST", f"users/{person}/tokens", json={"scopes": scopes})
        assert answer.ok, answer.text
        return str(answer.json()["token"])

    def hand_in(self, path: str, records: list[Any], token: str = RECORDER) -> requests.Response:
        body = "".join(map(to_line, records))
        return requests.post(f"{self.economics}/{path}", data=body, headers=bearer(token), timeout=60)

    def report(self, month: str, token: str, by: str = "day") -> Any:
        url = f"{self.economics}/api/report?month={month}&by={by}"
        answer = requests.get(url, headers=bearer(token), timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def browser(self, person: str) -> requests.Session:
        """A browser's worth of cookies, logged in at the hub."""
        session = requests.Session()
        page = session.get(f"{self.url}/hub/login?next=/hub/home", timeout=30)
        page.raise_for_status()
        (xsrf,) = re.findall(r'name="_xsrf"\s+value="([^"]+)"', page.text)[:1]
        form = {"username": person, "password": "any", "_xsrf": xsrf}
        assert session.post(page.url, data=form, timeout=30).ok
        return session

    def started(self, person: str) -> datetime | None:
        """When the hub says that the person's workspace started; None: it does not run."""
        servers = self.api("GET", f"users/{person}").json()["servers"]
        return datetime.fromisoformat(servers[""]["started"]) if "" in servers else None


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}"}


def processes(folder: Path) -> list[psutil.Process]:
    """Whatever runs below ``folder``: workspaces outlive their hub."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.cwd().startswith(str(folder)):
                found.append(process)
        except psutil.Error:
            continue
    return found


@contextlib.contextmanager
def serving(folder: Path, env: dict[str, str] | None = None) -> Iterator[RealHub]:
    """A hub whose economics service takes records."""
    hub = RealHub(folder, env)
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()
        for process in processes(folder):
            process.kill()


ACCESS = wire.service_scope(wire.ECONOMICS_SERVICE)
