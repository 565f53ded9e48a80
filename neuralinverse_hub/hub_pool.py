"""The part of ``configure(c)`` for the warm pool: has the hub keep it, once it has started, and operators reach it.

``hub_config`` calls it and nobody else does.
"""

from __future__ import annotations

import asyncio
from typing import Any

from traitlets.config import Config

__all__ = ["join"]

_tasks: set[asyncio.Task[None]] = set()


def join(c: Config) -> None:
    """Keep the pool when this is a hub that is starting, and its spawner is the one for Kubernetes.

    JupyterHub has no hook for what runs beside it; its configuration file is read in the loop that it will run in.
    """
    chosen = c.JupyterHub.get("spawner_class", "")
    bases = [each.__name__ for each in getattr(chosen, "__mro__", ())]
    if chosen != "neuralinverse" and "NeuralInverseSpawner" not in (*bases, str(chosen).rpartition(".")[2]):
        return
    # The hub's libraries are not there where only the names of settings are looked at.
    from spawner.pool_api import handlers

    c.JupyterHub.extra_handlers = [*c.JupyterHub.get("extra_handlers", []), *handlers()]
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Somebody looks at the configuration only.
        return
    task = loop.create_task(_keep(), name="warm pool")
    _tasks.add(task)
    task.add_done_callback(_ended)


async def _keep() -> None:
    from jupyterhub.app import JupyterHub

    from spawner.kube import keep_warm

    app: Any = JupyterHub.instance()
    # There is no event for it.
    while not getattr(app, "tornado_application", None):  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    await keep_warm(app)


def _ended(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()):
        from jupyterhub.app import JupyterHub

        JupyterHub.instance().log.critical("The warm pool is not kept, every start is a cold one: %s", error)
