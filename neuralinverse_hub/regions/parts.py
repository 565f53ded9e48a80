"""Probes of what only the hub's process can use: its database, its cluster, its room for more workspaces."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from .health import Broken, Probe

__all__ = ["hub_probes"]


def hub_probes(settings: Mapping[str, Any]) -> dict[str, Probe]:
    """The probes of a hub with these tornado settings. ``cluster`` is there when workspaces are pods."""

    async def database() -> None:
        # A connection of its own, in a thread: the hub's may have been opened before the database went away, and a
        # database that hangs must not make the hub hang with it.
        engine = settings["db"].get_bind()

        def read() -> None:
            with engine.connect() as connection:
                connection.execute(text("SELECT id FROM users LIMIT 1")).fetchall()

        await asyncio.to_thread(read)

    async def capacity() -> None:
        limit = settings.get("active_server_limit") or 0
        if limit and settings["users"].count_active_users()["active"] >= limit:
            raise Broken(f"all {limit} servers that may run at once are running (active_server_limit)")

    async def cluster() -> None:
        from kubespawner.clients import load_config, shared_client

        # With the spawner's own values: both configure the one client that this process has.
        load_config(
            host=_kube(settings, "k8s_api_host"),
            ssl_ca_cert=_kube(settings, "k8s_api_ssl_ca_cert"),
            verify_ssl=_kube(settings, "k8s_api_verify_ssl"),
        )
        await shared_client("VersionApi").get_code()

    probes: dict[str, Probe] = {"database": database, "capacity": capacity}
    if any(cls.__name__ == "KubeSpawner" for cls in settings["spawner_class"].__mro__):
        probes["cluster"] = cluster
    return probes


def _kube(settings: Mapping[str, Any], name: str) -> Any:
    sections = (settings["config"].get(section, {}) for section in (settings["spawner_class"].__name__, "KubeSpawner"))
    return next((section[name] for section in sections if name in section), None)
