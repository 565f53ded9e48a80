"""The hub's proxy, as far as activity goes: a real one, with a route that is used."""

from __future__ import annotations

import asyncio
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from traitlets.config import Config

from neuralinverse_hub import hub_activity
from neuralinverse_hub.local.ports import free_port
from tests.one_machine import eventually

TOKEN = "a-token-of-the-proxy"


@pytest.mark.hub
def test_what_passes_through_the_proxy_is_no_activity(installed: Any) -> None:
    port, api_port = free_port(), free_port()
    command = [
        *installed.proxy_command,
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--api-port={api_port}",
        "--api-ip=127.0.0.1",
    ]
    with subprocess.Popen(command, env={"CONFIGPROXY_AUTH_TOKEN": TOKEN}) as process:
        try:
            api = f"http://127.0.0.1:{api_port}"
            eventually("the proxy answering", lambda: answers(api), 30)
            route = asyncio.run(used_route(api, f"http://127.0.0.1:{port}"))
            assert route["data"] == {"user": "ada", "server_name": ""}
            # The proxy itself knows it: without ours the hub would believe it.
            theirs = requests.get(f"{api}/api/routes", headers={"Authorization": f"token {TOKEN}"}, timeout=10).json()
            assert "last_activity" in theirs["/user/ada"]
        finally:
            process.kill()


async def used_route(api: str, address: str) -> dict[str, Any]:
    """A workspace's route, as the hub sees it after a request."""
    hub = SimpleNamespace(connect_ip="127.0.0.1")
    proxy = hub_activity.proxy_class()(api_url=api, auth_token=TOKEN, should_start=False, hub=hub, app=None)
    await proxy.add_route("/user/ada/", api, {"user": "ada", "server_name": ""})
    await asyncio.to_thread(requests.get, f"{address}/user/ada/", timeout=10)
    (route,) = (await proxy.get_all_routes()).values()
    return dict(route)


def answers(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.RequestException:
        return False
    return True


def test_an_operators_own_proxy_stays() -> None:
    c = Config()
    c.JupyterHub.proxy_class = "traefik_file"
    hub_activity.join(c)
    assert c.JupyterHub.proxy_class == "traefik_file"
