"""The part of ``configure(c)`` for the economics: the service that keeps the ledger, and who hands records to it.

``hub_config`` calls it and nobody else does. No person and no workspace gets a scope for it; administrators hold one by
their role.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traitlets.config import Config

from neuralinverse_hub import wire
from neuralinverse_hub.settings import NeuralInverseHub

__all__ = ["join", "measuring", "reached", "recording", "service"]

log = logging.getLogger(__name__)

ENV_SERVICE_TOKEN = "NEURALINVERSE_COMPUTE_TOKEN"
"""The hub's own token for the ledger, where the ledger's service runs elsewhere. Unset: a new one at each start."""


def service(settings: NeuralInverseHub, environ: Mapping[str, str], secret: str, folder: str) -> dict[str, Any]:
    """What the economics service has that others do not. ``folder`` is the hub's; a relative path there starts at it."""
    ledger = settings.ledger_url or environ.get(wire.ENV_LEDGER) or f"sqlite:///{folder}/economics.sqlite"
    prices = settings.prices_file or environ.get(wire.ENV_PRICES, "")
    environment = {
        wire.ENV_LEDGER: ledger,
        wire.ENV_LEDGER_SECRET: secret,
        wire.ENV_KEEP_NAMES: str(settings.keep_names_days),
        wire.ENV_KEEP_REQUESTS: str(settings.keep_requests_days),
    }
    if prices:
        environment[wire.ENV_PRICES] = str(Path(prices).absolute())
    if settings.region or environ.get(wire.ENV_REGION):
        environment[wire.ENV_REGION] = settings.region or environ[wire.ENV_REGION]
    return {
        "environment": environment,
        # Its pages ask the hub who looks, and whether that is an administrator.
        "oauth_client_allowed_scopes": [wire.service_scope(wire.ECONOMICS_SERVICE), "admin-ui"],
        "oauth_no_confirm": True,
    }


def reached(service: Mapping[str, Any], base_url: str) -> str:
    """URL of the service for the hub and its services: not through the proxy, which may be another machine's."""
    return f"{str(service['url']).rstrip('/')}{base_url}services/{wire.ECONOMICS_SERVICE}"


def recording(gateway: Mapping[str, Any], ledger: str, folder: str) -> dict[str, Any]:
    """The gateway that hands its usage in; one that runs elsewhere is told so where it is configured.

    Records wait in ``folder`` for the ledger. Where that cannot be, there is a gateway without records rather than none.
    """
    if "command" not in gateway:
        return dict(gateway)
    if not os.access(folder, os.W_OK):
        log.warning("%s cannot be written, so usage records have no place to wait in, and nothing is recorded", folder)
        return dict(gateway)
    return {
        **gateway,
        "command": [*gateway["command"], f"--Gateway.spool_dir={folder}/gateway-usage"],
        "environment": {wire.ENV_LEDGER_URL: f"{ledger}/{wire.USAGE_RECORDS}", **gateway.get("environment", {})},
    }


def measuring(git_host: Mapping[str, Any], ledger: str) -> dict[str, Any]:
    """The Git host that measures what it holds; one that runs elsewhere is told so where it is configured."""
    if "command" not in git_host:
        return dict(git_host)
    return {
        **git_host,
        "environment": {wire.ENV_VOLUMES_URL: f"{ledger}/{wire.VOLUME_RECORDS}", **git_host.get("environment", {})},
    }


def join(c: Config, environ: Mapping[str, str], address: str, folder: str, size: str) -> None:
    """Let the gateway and the hub itself hand records in, and the service ask the hub what runs.

    ``size`` is what a workspace counts as where there are no sizes.
    """
    # The hub's libraries are not there where only the names of settings are looked at.
    from neuralinverse_hub.delivery import LedgerClient
    from spawner.recorder import Recorder

    hub = c.JupyterHub
    services = {each["name"]: each for each in hub.services}
    token = environ.get(ENV_SERVICE_TOKEN) or secrets.token_hex(32)
    services.setdefault(wire.COMPUTE_SERVICE, {"name": wire.COMPUTE_SERVICE, "api_token": token, "display": False})
    hub.services = list(services.values())
    hub.load_roles = [
        *hub.load_roles,
        {
            "name": "economics-reads-the-hub",
            "services": [wire.ECONOMICS_SERVICE],
            "scopes": ["list:users", "read:servers"],
        },
        {
            "name": "economics-records",
            "services": [
                name
                for name in (wire.GATEWAY_SERVICE, wire.GIT_SERVICE, wire.TRAFFIC_SERVICE, wire.COMPUTE_SERVICE)
                if name in services
            ],
            "scopes": [wire.service_scope(wire.ECONOMICS_SERVICE)],
        },
    ]
    client = LedgerClient(f"{address}/{wire.COMPUTE_RECORDS}", services[wire.COMPUTE_SERVICE]["api_token"])
    region = services[wire.ECONOMICS_SERVICE].get("environment", {}).get(wire.ENV_REGION) or environ.get(
        wire.ENV_REGION, ""
    )
    recorder = Recorder(Path(folder) / "compute-records", client.deliver, region, size)
    recorder.begin_soon()
    for spawner in (c.LocalWorkspaceSpawner, c.NeuralInverseDockerSpawner, c.NeuralInverseSpawner):
        spawner.recorder = recorder
