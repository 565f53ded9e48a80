"""``POST /hub/api/git-access/{user}/{server}``: a new credential for a workspace whose own has become worthless.

Somebody deleted it on the host, or an administrator rotated all of them: the workspace asks with its own hub token, as for
everything, and goes on saving. Part of the hub's own process, since only the hub knows which start is the present one.
"""

from __future__ import annotations

import json

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from neuralinverse_hub import wire

from .errors import GiteaAway, ProvisioningError

__all__ = ["handlers"]


class GitAccessHandler(APIHandler):  # type: ignore[misc]  # JupyterHub ships no types
    """The body is ``{"generation": <number>}``: a start that has been superseded gets nothing any more."""

    @needs_scope("access:servers")  # type: ignore[untyped-decorator]
    async def post(self, user_name: str, server_name: str = "") -> None:
        """Answer with ``{"user", "token"}``."""
        user = self.find_user(user_name)
        spawner = user.spawners.get(server_name) if user else None
        if spawner is None or not spawner.active:
            raise web.HTTPError(404, "no such workspace is running")
        model = self.get_json_body()
        if not isinstance(model, dict) or model.get("generation") != spawner.generation:
            raise web.HTTPError(409, "this workspace has been started again elsewhere")
        try:
            access = await spawner.renew_git_access()
        except GiteaAway as error:
            raise web.HTTPError(503, error.jupyterhub_message) from error
        except ProvisioningError as error:
            raise web.HTTPError(502, error.jupyterhub_message) from error
        if access is None:
            raise web.HTTPError(404, "the Git host has no credentials of its own")
        self.set_header("Cache-Control", "no-store")
        self.write(json.dumps({"user": access.user, "token": access.token}))


handlers = [
    (rf"/api/{wire.GIT_ACCESS}/([^/]+)", GitAccessHandler),
    (rf"/api/{wire.GIT_ACCESS}/([^/]+)/([^/]*)", GitAccessHandler),
]
"""For ``c.JupyterHub.extra_handlers``."""
