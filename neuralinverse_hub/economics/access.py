"""Who may do what here: the hub's services hand records in, the hub's administrators look, and nobody else sees a thing."""

from __future__ import annotations

import html
import json
from importlib import resources
from typing import Any, Final

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated, UserNotAllowed
from tornado import web

from neuralinverse_hub.economics.desk import Desk
from neuralinverse_hub.economics.errors import BadPrices, LedgerAway

__all__ = ["ADMIN_SCOPE", "AdminHandler", "AdminPage", "CallbackHandler", "ServiceHandler", "page"]

ADMIN_SCOPE: Final = "admin-ui"
"""Held by the hub's administrators, and by whom they gave it to."""

# Plotly sets the style of what it draws.
_POLICY: Final = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


class Handler(web.RequestHandler):
    """A handler with nothing that a browser could keep or misread."""

    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")

    def refuse(self, status: int, message: str) -> None:
        """Finish with a sentence for a program."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"message": message}))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, (LedgerAway, BadPrices)):
            self.refuse(503, str(error))
        elif isinstance(error, web.HTTPError):
            self.refuse(status_code, error.log_message or self._reason)
        else:
            self.refuse(status_code, self._reason)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        # Said where it arose, and no fault of the service.
        if not isinstance(value, (LedgerAway, BadPrices)):
            super().log_exception(typ, value, tb)


class ServiceHandler(Handler):
    """For the hub's services, with a token that has the scope for this one."""

    def check_xsrf_cookie(self) -> None:
        # Nothing here goes by a cookie.
        pass

    async def prepare(self) -> None:
        auth = HubOAuth.instance()
        kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
        model = None
        if kind.lower() in ("token", "bearer") and token.strip():
            model = await auth.user_for_token(token.strip(), sync=False)
        if model is None:
            self.refuse(401, "send 'Authorization: token <token of a service of the hub>'")
        elif not self.may(auth, model):
            self.refuse(403, f"{model.get('name')} may not do this: it takes a service with {auth.access_scopes}")

    def may(self, auth: HubOAuth, model: dict[str, Any]) -> bool:
        return model.get("kind") == "service" and bool(auth.check_scopes(auth.access_scopes, model))


class AdminHandler(HubOAuthenticated, Handler):  # type: ignore[misc]  # JupyterHub ships no types
    """For the hub's administrators, by a browser's login or by a token of theirs; answers programs."""

    def check_hub_user(self, model: dict[str, Any]) -> dict[str, Any]:
        super().check_hub_user(model)
        if not self.hub_auth.check_scopes({ADMIN_SCOPE}, model):
            raise UserNotAllowed(model)
        return model

    async def prepare(self) -> None:
        # While the hub answers, others are served; what follows finds the answer.
        await self.hub_auth.get_user(self, sync=False)

    def check_xsrf_cookie(self) -> None:
        # Before who asks is known. A token's own request needs no check, and only asking the hub says whether it is one.
        if self.request.headers.get("Authorization") and not hasattr(self, "_cached_hub_user"):
            self.get_current_user()
        super().check_xsrf_cookie()

    def get_login_url(self) -> str:
        raise web.HTTPError(401, "log in at the hub as an administrator, or send a token of one")


class AdminPage(AdminHandler):
    """For the hub's administrators; sends who is not logged in to the hub."""

    def get_login_url(self) -> str:
        # That of HubAuthenticated, past the one above.
        return str(super(AdminHandler, self).get_login_url())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if status_code == 403:
            words = "This page is for administrators of the hub. Ask one of them."
        else:
            words = f"{self._reason}. Reload the page to try again."
        self.finish(page(self.hub_auth.hub_prefix, "Economics", f"<p>{html.escape(words)}</p>"))


class CallbackHandler(HubOAuthCallbackHandler, Handler):  # type: ignore[misc]  # JupyterHub ships no types
    """Where the hub sends people back to."""


def page(hub: str, title: str, body: str, head: str = "") -> str:
    """A page in the hub's look. ``hub`` is the path of the hub; ``body`` and ``head`` are HTML."""
    text = resources.files("neuralinverse_hub.economics").joinpath("page", "frame.html").read_text("utf-8")
    for name, value in {"hub": html.escape(hub), "title": html.escape(title), "head": head, "body": body}.items():
        text = text.replace(f"[[{name}]]", value)
    return text
