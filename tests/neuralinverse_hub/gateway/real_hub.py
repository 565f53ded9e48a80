"""A real JupyterHub in a process of its own, with the gateway as its managed service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import aiohttp

from tests.neuralinverse_hub.gateway.azure import Azure
from tests.neuralinverse_hub.gateway.conftest import azure_env, until

ADMIN = "admin-token-of-this-test"
SCOPE = "access:services!service=ai-gateway"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


CONFIG = """
import json, sys
given = json.load(open({given!r}))
c.JupyterHub.bind_url = "http://127.0.0.1:%d" % given["port"]
c.JupyterHub.hub_port = given["hub_port"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:%d" % given["proxy_port"]
c.ConfigurableHTTPProxy.command = [sys.executable, "-c", "from configurable_http_proxy.cli import main; main()"]
c.ConfigurableHTTPProxy.auth_token = "proxy-token-of-this-test"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"root"}}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = given["folder"] + "/{{username}}"
c.Spawner.cmd = [sys.executable, given["workspace"]]
c.Spawner.environment = {{"TOKEN_FILE": given["token_file"]}}
c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", given["scope"]]
c.JupyterHub.load_roles = [
    {{"name": "user", "scopes": ["self", given["scope"]]}},
    {{"name": "tester", "scopes": ["admin:users", "admin:servers", "tokens"], "services": ["tester"]}},
]
c.JupyterHub.services = [
    {{"name": "tester", "api_token": given["admin"]}},
    {{
        "name": "ai-gateway",
        "url": "http://127.0.0.1:%d" % given["gateway_port"],
        "command": [sys.executable, "-m", "neuralinverse_hub.gateway"],
        "environment": given["env"],
        "oauth_client_allowed_scopes": ["admin-ui", given["scope"]],
        "oauth_no_confirm": True,
    }},
]
c.JupyterHub.db_url = "sqlite:///" + given["folder"] + "/hub.sqlite"
c.JupyterHub.cookie_secret_file = given["folder"] + "/cookie_secret"
c.ConfigurableHTTPProxy.pid_file = given["folder"] + "/proxy.pid"
"""

WORKSPACE = """
import http.server, os, urllib.parse
open(os.environ["TOKEN_FILE"], "w").write(os.environ["JUPYTERHUB_API_TOKEN"])
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
    """A JupyterHub in a process of its own, with the gateway as its managed service."""

    def __init__(self, folder: Path, azure: Azure) -> None:
        self.folder = folder
        self.token_file = folder / "token"
        port, hub_port, proxy_port, gateway_port = free_ports(4)
        self.url = f"http://127.0.0.1:{port}"
        self.gateway = f"{self.url}/services/ai-gateway/v1"
        workspace = folder / "workspace.py"
        workspace.write_text(dedent(WORKSPACE))
        given = folder / "given.json"
        given.write_text(
            json.dumps(
                {
                    "port": port,
                    "hub_port": hub_port,
                    "proxy_port": proxy_port,
                    "gateway_port": gateway_port,
                    "folder": str(folder),
                    "workspace": str(workspace),
                    "token_file": str(self.token_file),
                    "scope": SCOPE,
                    "admin": ADMIN,
                    "env": {**azure_env(azure), "PYTHONPATH": os.getcwd()},
                }
            )
        )
        (folder / "jupyterhub_config.py").write_text(CONFIG.format(given=str(given)))

    def start(self) -> None:
        self._log = (self.folder / "hub.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=self.folder,
            stdout=self._log,
            stderr=self._log,
        )

    async def stop(self) -> None:
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, 30)
        finally:
            self._process.kill()
            self._log.close()

    async def api(self, session: aiohttp.ClientSession, method: str, path: str, **kwargs: Any) -> int:
        headers = {"Authorization": f"token {ADMIN}"}
        async with session.request(method, f"{self.url}/hub/api/{path}", headers=headers, **kwargs) as response:
            return response.status

    async def token(self, session: aiohttp.ClientSession, person: str) -> str:
        """A token that may use the gateway, as a person makes one on the hub's token page."""
        headers = {"Authorization": f"token {ADMIN}"}
        url = f"{self.url}/hub/api/users/{person}/tokens"
        async with session.post(url, headers=headers, json={"scopes": [SCOPE]}) as response:
            return str((await response.json())["token"])

    async def workspace_token(self, session: aiohttp.ClientSession, person: str) -> str:
        """The token the hub gave the person's running workspace."""
        assert await self.api(session, "POST", f"users/{person}") == 201
        self.token_file.unlink(missing_ok=True)
        assert await self.api(session, "POST", f"users/{person}/server") in (201, 202)
        return str(await until(lambda: self.token_file.exists() and self.token_file.read_text(), within_s=60))


@contextlib.asynccontextmanager
async def hub_serving(folder: Path, azure: Azure) -> AsyncIterator[RealHub]:
    """A hub that serves, and whose gateway does."""
    hub = RealHub(folder, azure)
    hub.start()
    try:
        async with aiohttp.ClientSession() as session:

            async def serves() -> bool:
                assert hub._process.poll() is None, (folder / "hub.log").read_text()
                try:
                    async with session.get(f"{hub.url}/services/ai-gateway/healthz") as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await until(serves, within_s=90)
        yield hub
    finally:
        await hub.stop()
