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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from traitlets.config import Config, Configurable
from traitlets.utils.importstring import import_item

from neuralinverse_hub import hub_activity, hub_economics, hub_gitea, hub_pool, hub_regions, hub_workspaces, wire
from neuralinverse_hub.local.handover import ENV_HANDOVER, Handover
from neuralinverse_hub.local.ports import free_port
from neuralinverse_hub.settings import NeuralInverseHub, SettingError, check_names

__all__ = ["ENV_SYNC_SECRET", "configure"]

ENV_SYNC_SECRET = "NEURALINVERSE_SYNC_SECRET"
"""What people's own keys are derived from, where the hub keeps no files; else a file of its own holds it."""


def configure(c: Config, environ: Mapping[str, str] = os.environ) -> None:
    """Turn ``c`` into the configuration of a NeuralInverse hub.

    One-machine mode is chosen by the path of ``up``'s handover file in ``environ``.

    Raises:
        neuralinverse_hub.settings.SettingError: a setting of ours is missing or wrong, or one, of ours or of JupyterHub's,
            is misspelt.
        neuralinverse_hub.githost.errors.ProvisioningError: people are to log in with Gitea, and it does not have the hub.
    """
    check_names(c, _sections(c))
    handover = Handover.read(Path(environ[ENV_HANDOVER])) if ENV_HANDOVER in environ else None
    if handover:
        _one_machine(c, handover)
    settings = NeuralInverseHub(config=c)
    hub_url = _reachable(settings.hub_url or c.JupyterHub.get("bind_url", ""))
    marker = {wire.ENV_DATA_DIR: handover.data_dir} if handover else {}

    regions = hub_regions.of(settings, environ)
    place = regions.environment if regions else {}
    ours = [_gateway({**environ, **place}, marker)]
    if settings.git_host == "embedded" and (regions is None or regions.runs_git):
        ours.append(_git_host(settings, {**_network(environ), **marker, **place}))
    folder = handover.data_dir if handover else str(Path.cwd())
    economics = _economics(settings, {**environ, **place}, folder, marker)
    services = _completed(c.JupyterHub.get("services", []), [*ours, economics])
    base_url = str(c.JupyterHub.get("base_url", "/"))
    ledger = hub_economics.reached(services[wire.ECONOMICS_SERVICE], base_url)
    services[wire.GATEWAY_SERVICE] = hub_economics.recording(services[wire.GATEWAY_SERVICE], ledger, folder)
    if wire.GIT_SERVICE in services:
        services[wire.GIT_SERVICE] = hub_economics.measuring(services[wire.GIT_SERVICE], ledger)
    c.JupyterHub.services = list(services.values())
    addresses = {each["name"]: _address(services[each["name"]], hub_url, base_url) for each in ours}
    mirror = regions.mirror(addresses.get(wire.GIT_SERVICE, "")) if regions else ""
    if regions and settings.git_host == "embedded":
        addresses[wire.GIT_SERVICE] = regions.catalogue.git
    _grant(c, list(addresses))
    # One machine has no sizes to choose from; its hours count as those of the size that the price list begins with.
    hub_economics.join(c, {**environ, **place}, ledger, folder, "medium" if handover else "")
    _workspaces(c, settings, addresses, mirror, environ.get(ENV_SYNC_SECRET, ""), marker)
    if regions:
        hub_regions.join(c, settings, regions, hub_url, addresses)
    hub_gitea.join(c, settings, {**environ, **place}, f"{ledger}/{wire.VOLUME_RECORDS}", folder)
    hub_pool.join(c)
    hub_workspaces.join(c, kept=settings.git_host != "none")
    hub_activity.join(c)


def _reachable(url: str) -> str:
    """``url`` without its last slash; one that binds every interface becomes this machine's loopback."""
    parts = urlsplit(url or "http://127.0.0.1:8000")
    if parts.hostname in (None, "0.0.0.0", "::", "*"):
        parts = parts._replace(netloc=f"127.0.0.1:{parts.port or 8000}")
    return urlunsplit(parts).rstrip("/")


def _sections(c: Config) -> list[type[Configurable]]:
    """The classes whose settings are checked: ours, all that JupyterHub finds installed, and those that ``c`` chooses."""
    from jupyterhub.app import JupyterHub

    sections: list[type] = [NeuralInverseHub, JupyterHub, *JupyterHub().classes]
    for choice in ("spawner_class", "authenticator_class", "proxy_class"):
        chosen = c.JupyterHub.get(choice, JupyterHub.class_traits()[choice].default_value)
        if not isinstance(chosen, type):
            # The name of an entry point is among the classes above; a wrong one stops the hub in its own words.
            with contextlib.suppress(Exception):
                chosen = import_item(chosen)
        if isinstance(chosen, type):
            sections.append(chosen)
    return [part for each in sections for part in each.__mro__ if issubclass(part, Configurable)]


def _completed(configured: Iterable[dict[str, Any]], ours: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All services by name, ours completed.

    One of ours that is configured already runs elsewhere, in the chart in pods of its own: it keeps its address and its
    token, and the hub does not start it. The Git host is taken off the list where it is not used.
    """
    services = {str(each["name"]): each for each in configured}
    wanted = {str(each["name"]): each for each in ours}
    for name, service in wanted.items():
        theirs = services.get(name)
        if theirs is None:
            services[name] = service
        else:
            started = ("url", "command", "environment")
            services[name] = {**{key: value for key, value in service.items() if key not in started}, **theirs}
    if wire.GIT_SERVICE not in wanted:
        services.pop(wire.GIT_SERVICE, None)
    return services


def _address(service: Mapping[str, Any], hub_url: str, base_url: str) -> str:
    """Where workspaces reach ``service``: through the hub's proxy, or directly when it runs elsewhere."""
    path = f"services/{service['name']}"
    return f"{hub_url}/{path}" if "command" in service else f"{service['url'].rstrip('/')}{base_url}{path}"


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
    # Whoever runs it reads this file, and comes in as "admin" to see what only operators may see.
    c.Authenticator.admin_users = {"admin"}
    c.SharedPasswordAuthenticator.admin_password = _secret(Path(handover.data_dir) / "admin_password", "").read_text()
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
    named = (
        "NEURALINVERSE_GATEWAY_TABLE",
        wire.ENV_REGION,
        wire.ENV_REGION_ORDER,
        wire.ENV_RESIDENCY,
        wire.ENV_REGIONS,
    )
    own = {name: environ[name] for name in named if name in environ}
    environment = {**upstreams, **own, **_network(environ), **marker}
    return {
        **_managed(wire.GATEWAY_SERVICE, "neuralinverse_hub.gateway", environment),
        # Its page for operators asks the hub who looks, and whether that is an admin.
        "oauth_client_allowed_scopes": [wire.service_scope(wire.GATEWAY_SERVICE), "admin-ui"],
        "oauth_no_confirm": True,
    }


def _git_host(settings: NeuralInverseHub, marker: Mapping[str, str]) -> dict[str, Any]:
    root = str(Path(settings.git_root).absolute())
    return _managed(wire.GIT_SERVICE, "neuralinverse_hub.githost", {"NEURALINVERSE_GIT_ROOT": root, **marker})


def _economics(
    settings: NeuralInverseHub, environ: Mapping[str, str], folder: str, marker: Mapping[str, str]
) -> dict[str, Any]:
    secret = environ.get(wire.ENV_LEDGER_SECRET, "")
    if not secret and os.access(folder, os.W_OK):
        secret = _secret(Path(folder) / "economics_secret", "").read_text()
    own = hub_economics.service(settings, environ, secret, folder)
    return {
        **_managed(wire.ECONOMICS_SERVICE, "neuralinverse_hub.economics", {}),
        **own,
        "environment": {**own["environment"], **marker},
    }


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


def _secret(path: Path, given: str) -> Path:
    """``path``, holding ``given``, or else 32 random bytes in hexadecimal; only its owner can read it.

    What is there already stays. Raises `SettingError` when that is not what was given.
    """
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(given or secrets.token_hex(32))
    except FileExistsError:
        if given and path.read_text() != given:
            raise SettingError(
                f"{ENV_SYNC_SECRET} is not the secret that {path} holds, and what people's private files are encrypted "
                f"with cannot change. Set it to the content of that file; or remove the file, if those files may be lost."
            ) from None
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


def _workspaces(
    c: Config,
    settings: NeuralInverseHub,
    addresses: Mapping[str, str],
    mirror: str,
    secret: str,
    marker: Mapping[str, str],
) -> None:
    kept = settings.git_host != "none"
    secret_file = str(_secret(Path(settings.sync_secret_file).absolute(), secret)) if kept else ""
    for spawner in (c.LocalWorkspaceSpawner, c.NeuralInverseDockerSpawner, c.NeuralInverseSpawner):
        spawner.gateway_url = f"{addresses[wire.GATEWAY_SERVICE]}/v1"
        if kept:
            spawner.sync_secret_file = secret_file
        if wire.GIT_SERVICE in addresses:
            spawner.git_url = addresses[wire.GIT_SERVICE]
        if kept and mirror:
            spawner.git_mirror = mirror
    local = c.LocalWorkspaceSpawner
    local.environment = {**local.get("environment", {}), **marker}
    # A first start on a busy laptop imports JupyterLab from a cold disk.
    local.start_timeout = local.get("start_timeout", 180)
    local.http_timeout = local.get("http_timeout", 120)
