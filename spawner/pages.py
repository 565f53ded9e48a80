"""A person's own workspaces: the hub's home page that lists them, and the call that gives one another title.

A title is what people read. A workspace's name stays what it was: it is in its address and on the git host, so a new title
moves nothing and breaks no bookmark. It is kept in the server's state, which every JupyterHub has, and from JupyterHub 6 on
also as its display name, which the hub's own pages show.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

__all__ = ["LONGEST", "TEMPLATES", "BadTitle", "handlers", "titled"]

TEMPLATES: Final = str(files("spawner") / "templates")
"""For ``c.JupyterHub.template_paths``."""
LONGEST: Final = 60
"""Characters of a title."""


class BadTitle(ValueError):
    """It cannot be shown as a title; the message says why."""


def handlers() -> list[tuple[str, type[web.RequestHandler]]]:
    """For ``c.JupyterHub.extra_handlers``."""
    return [(r"/api/neuralinverse/users/([^/]+)/workspaces/([^/]*)/title", TitleHandler)]


def titled(text: object) -> str:
    """``text`` as a title; empty: the workspace's name is shown again. Raises `BadTitle`."""
    if not isinstance(text, str):
        raise BadTitle(f"The title is {text!r}; write text")
    title = " ".join(text.split())
    if len(title) > LONGEST:
        raise BadTitle(f"The title has {len(title)} characters; {LONGEST} fit")
    if not title.isprintable():
        raise BadTitle("The title has characters that cannot be shown")
    return title


class TitleHandler(APIHandler):  # type: ignore[misc]  # no types
    """``PUT {"title": "Thesis"}`` of one's own workspace, with the right to start and stop it."""

    @needs_scope("servers")  # type: ignore[untyped-decorator]  # no types
    def put(self, user_name: str, server_name: str) -> None:
        user = self.find_user(user_name)
        stored = user and user.orm_spawners.get(server_name)
        if not stored:
            raise web.HTTPError(404, f"{user_name} has no workspace {server_name or '(unnamed)'!r}")
        try:
            body: Any = self.get_json_body()
            title = titled(body.get("title") if isinstance(body, dict) else None)
        except BadTitle as error:
            raise web.HTTPError(400, str(error)) from error
        if server_name in user.spawners:
            # The hub stores what it says with the next change of its state.
            user.spawners[server_name].title = title
        # Another object: a change inside the stored one goes unnoticed.
        stored.state = {**(stored.state or {}), "title": title}
        if hasattr(stored, "display_name"):
            stored.display_name = title or server_name
        self.db.commit()
        self.finish(json.dumps({"title": title}))
