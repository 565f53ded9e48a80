"""The part of ``configure(c)`` for what counts as somebody being active: what the workspace says, not what the proxy sees.

VS Code and JupyterLab keep their connections alive for as long as a tab is open, and the proxy takes every byte of that for
activity: a forgotten tab would keep its workspace running for ever. ``hub_config`` calls this and nobody else does.
"""

from __future__ import annotations

from typing import Any

from traitlets.config import Config

__all__ = ["join"]


def join(c: Config) -> None:
    """Leave the proxy's opinion out, unless the operator chose a proxy of their own."""
    if "proxy_class" not in c.JupyterHub:
        c.JupyterHub.proxy_class = proxy_class()


def proxy_class() -> type[Any]:
    """JupyterHub's proxy, without the times of what passed through it. All of ``c.ConfigurableHTTPProxy`` holds for it."""
    # The hub's libraries are not there where only the names of settings are looked at.
    from jupyterhub.proxy import ConfigurableHTTPProxy

    class WorkspaceProxy(ConfigurableHTTPProxy):  # type: ignore[misc]  # JupyterHub ships no types
        async def get_all_routes(self, *arguments: Any, **more: Any) -> dict[str, Any]:
            # JupyterHub 5 hands its HTTP client along.
            routes: dict[str, Any] = await super().get_all_routes(*arguments, **more)
            for route in routes.values():
                # The hub skips a route that has none.
                route["data"].pop("last_activity", None)
            return routes

    return WorkspaceProxy
