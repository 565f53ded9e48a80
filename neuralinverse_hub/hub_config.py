"""``configure(c)``: the one place that sets a JupyterHub up as a NeuralInverse hub.

The chart, compose and one-machine mode all call it from their ``jupyterhub_config.py``::

    from neuralinverse_hub.hub_config import configure

    configure(c)

It is the only writer of ``c.*``. What an operator wrote before the call stays, unless it would break the product.
Works on JupyterHub 5.5 and 6.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from traitlets.config import Config

from neuralinverse_hub import wire
from neuralinverse_hub.local.handover import ENV_HANDOVER, Handover
from neuralinverse_hub.local.ports import free_port
from neuralinverse_hub.settings import NeuralInverseHub, check_names

__all__ = ["configure"]


def configure(c: Config, environ: Mapping[str, str] = os.environ) -> None:
    """Turn ``c`` into the configuration of a NeuralInverse hub.

    One-machine mode is chosen by the path of ``up``'s handover file in ``environ``.

    Raises `neuralinverse_hub.settings.UnknownSetting` for a misspelt setting of ours.
    """
    check_names(c, _sections())
    handover = Handover.read(Path(environ[ENV_HANDOVER])) if ENV_HANDOVER in environ else None
    if handover:
        _one_machine(c, handover)
    settings = NeuralInverseHub(config=c)
    hub_url = _reachable(settings.hub_url or c.JupyterHub.get("bind_url", ""))
    marker = {wire.ENV_DATA_DIR: handover.data_dir} if handover else {}

    services = [_gateway(environ, marker)]
    if settings.git_host == "embedded":
        services.append(_git_host(settings, marker))
    c.JupyterHub.services = [*c.JupyterHub.get("services", []), *services]
    _grant(c, [service["name"] for service in services])
    _workspaces(c, settings, hub_url, marker)


def _reachable(url: str) -> str:
    """``url`` without its last slash; one that binds every interface becomes this machine's loopback."""
    parts = urlsplit(url or "http://127.0.0.1:8000")
    if parts.hostname in (None, "0.0.0.0", "::", "*"):
        parts = parts._replace(netloc=f"127.0.0.1:{parts.port or 8000}")
    return urlunsplit(parts).rstrip("/")


def _sections() -> list[type]:
    """The classes whose settings are checked; a hub has the spawner's libraries only for the spawner it uses."""
    sections: list[type] = [NeuralInverseHub]
    for module, name in (("spawner.local", "LocalWorkspaceSpawner"), ("spawner.kube", "NeuralInverseSpawner")):
        with contextlib.suppress(ModuleNotFoundError):
            sections.append(getattr(import_module(module), name))
    return sections


def _one_machine(c: Config, handover: Handover) -> None:
    """A hub for this machine only: loopback, a shared password, processes as workspaces."""
    hub = c.JupyterHub
    hub.bind_url = f"http://127.0.0.1:{handover.port}"
    hub.public_url = f"{hub.bind_url}/"
    hub.hub_bind_url = f"http://127.0.0.1:{handover.hub_port}"
    hub.spawner_class = "neuralinverse-local"
    hub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = Path(handover.password_file).read_text().strip()
    # Who has the team's password may come in under any name; everyone gets a workspace of their own.
    c.Authenticator.allow_all = True
    hub.db_url = f"sqlite:///{handover.data_dir}/jupyterhub.sqlite"
    hub.cookie_secret_file = f"{handover.data_dir}/jupyterhub_cookie_secret"
    hub.cleanup_servers = True
    # A workspace that died is noticed at once, and whoever comes back to its address gets it started again.
    hub.implicit_spawn_seconds = 0.5
    c.LocalWorkspaceSpawner.poll_interval = 2
    c.ConfigurableHTTPProxy.command = list(handover.proxy_command)
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{handover.proxy_api_port}"
    c.ConfigurableHTTPProxy.pid_file = f"{handover.data_dir}/jupyterhub-proxy.pid"
    c.NeuralInverseHub.git_root = handover.git_root
    c.NeuralInverseHub.sync_secret_file = f"{handover.data_dir}/sync_secret"
    local = c.LocalWorkspaceSpawner
    local.workspaces_dir = handover.workspaces_dir
    local.ide_environment = {wire.ENV_IDE_NODE: handover.node, wire.ENV_IDE_ENTRY: handover.code_server_entry}


def _gateway(environ: Mapping[str, str], marker: Mapping[str, str]) -> dict[str, Any]:
    upstreams = {name: value for name, value in environ.items() if name.startswith(wire.UPSTREAM_ENVIRONMENT)}
    table = {name: environ[name] for name in ("NEURALINVERSE_GATEWAY_TABLE",) if name in environ}
    environment = {**upstreams, **table, **_network(environ), **marker}
    return {
        **_managed(wire.GATEWAY_SERVICE, "neuralinverse_hub.gateway", environment),
        # Its page for operators asks the hub who looks, and whether that is an admin.
        "oauth_client_allowed_scopes": [wire.service_scope(wire.GATEWAY_SERVICE), "admin-ui"],
        "oauth_no_confirm": True,
    }


def _git_host(settings: NeuralInverseHub, marker: Mapping[str, str]) -> dict[str, Any]:
    root = str(Path(settings.git_root).absolute())
    return _managed(wire.GIT_SERVICE, "neuralinverse_hub.githost", {"NEURALINVERSE_GIT_ROOT": root, **marker})


def _managed(name: str, module: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """A service that the hub starts, restarts when it dies, and reaches through its proxy."""
    return {
        "name": name,
        "url": f"http://127.0.0.1:{free_port()}",
        "command": [sys.executable, "-m", module],
        "environment": dict(environment),
        # Both are called by programs with a token; a card on the hub's pages would lead a person to an API.
        "display": False,
    }


def _network(environ: Mapping[str, str]) -> dict[str, str]:
    """How this machine reaches the internet: the hub does not hand these to its services by itself."""
    return {name: environ[name] for name in wire.NETWORK_ENVIRONMENT if name in environ}


def _secret(path: Path) -> Path:
    """``path``, holding 32 random bytes in hexadecimal that only its owner can read; made when it is not there."""
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path


def _grant(c: Config, services: list[str]) -> None:
    """Let every person, and the token of every workspace, call ``services``; and nothing more.

    A workspace's token gets the part of ``server_token_scopes`` that its owner holds, so the owner needs the scopes
    too. JupyterHub 6 has ``extra_user_scopes`` for that; redefining the ``user`` role works on 5.5 as well.
    """
    scopes = [wire.service_scope(name) for name in services]
    roles = list(c.JupyterHub.get("load_roles", []))
    user = next((role for role in roles if role["name"] == "user"), None)
    if user is None:
        user = {"name": "user", "description": "Standard user privileges", "scopes": ["self"]}
        roles.append(user)
    user["scopes"] = [*user.get("scopes", ["self"]), *(s for s in scopes if s not in user.get("scopes", []))]
    c.JupyterHub.load_roles = roles
    c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", *scopes]


def _workspaces(c: Config, settings: NeuralInverseHub, hub_url: str, marker: Mapping[str, str]) -> None:
    secret = str(_secret(Path(settings.sync_secret_file).absolute())) if settings.git_host == "embedded" else ""
    for spawner in (c.LocalWorkspaceSpawner, c.NeuralInverseSpawner):
        spawner.gateway_url = f"{hub_url}/services/{wire.GATEWAY_SERVICE}/v1"
        if settings.git_host == "embedded":
            spawner.git_url = f"{hub_url}/services/{wire.GIT_SERVICE}"
            spawner.sync_secret_file = secret
    local = c.LocalWorkspaceSpawner
    local.environment = {**local.get("environment", {}), **marker}
    # A first start on a busy laptop imports JupyterLab from a cold disk.
    local.start_timeout = local.get("start_timeout", 180)
    local.http_timeout = local.get("http_timeout", 120)
