"""The part of ``configure(c)`` for people's own workspaces: several of them, and the page that lists them.

``hub_config`` calls it and nobody else does.
"""

from __future__ import annotations

from typing import Final

from traitlets.config import Config

__all__ = ["join"]

_LIMIT: Final = 5
"""Workspaces besides the first one: enough to keep things apart, and not a way to take a whole cluster by mistake."""


def join(c: Config, *, kept: bool) -> None:
    """Let people have several workspaces, unless the operator said otherwise, and look after them on the hub's home page.

    ``kept``: a Git host keeps what is in them, also when they are deleted.
    """
    # The hub's libraries are not there where only the names of settings are looked at.
    from spawner.pages import TEMPLATES, handlers

    hub = c.JupyterHub
    hub.allow_named_servers = hub.get("allow_named_servers", True)
    hub.named_server_limit_per_user = hub.get("named_server_limit_per_user", _LIMIT)
    # An operator's own templates come before ours.
    hub.template_vars = {"work_is_kept": kept, **hub.get("template_vars", {})}
    hub.template_paths = [*hub.get("template_paths", []), TEMPLATES]
    hub.extra_handlers = [*hub.get("extra_handlers", []), *handlers()]
