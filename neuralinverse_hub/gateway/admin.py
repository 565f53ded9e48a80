"""The operator's page: deployments, their health and queues, and what retires. Live, for the hub's administrators only.

People come with a browser and no token, so they log in at the hub (OAuth 2 authorization code); what they get is kept in
a signed cookie that every replica can read, for they all have the same service token.
"""

from __future__ import annotations

import hashlib
import html
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp
from tornado import web

from neuralinverse_hub.gateway.auth import Caller
from neuralinverse_hub.gateway.edge import Parts
from neuralinverse_hub.gateway.errors import GatewayError

__all__ = ["Login", "admin_routes", "state_of"]

COOKIE: Final = "neuralinverse-gateway-admin"
STATE_COOKIE: Final = "neuralinverse-gateway-login"
_PAGE_POLICY: Final = "default-src 'self'; img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class Login:
    """How to log people in at the hub; from the environment the hub gives its services."""

    session: aiohttp.ClientSession
    token_url: str
    authorize_url: str
    client_id: str
    callback: str
    hub_url: str
    service_token: str = field(repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str], session: aiohttp.ClientSession, hub_api: str) -> Login | None:
        """None when the hub gave this service no OAuth client: then there is no page."""
        client, callback = env.get("JUPYTERHUB_CLIENT_ID"), env.get("JUPYTERHUB_OAUTH_CALLBACK_URL")
        token = env.get("JUPYTERHUB_API_TOKEN")
        if not (client and callback and token):
            return None
        hub_url = f"{env.get('JUPYTERHUB_HOST', '')}{env.get('JUPYTERHUB_BASE_URL', '/')}hub/"
        authorize = f"{hub_url}api/oauth2/authorize"
        return cls(session, f"{hub_api.rstrip('/')}/oauth2/token", authorize, client, callback, hub_url, token)

    @property
    def cookie_path(self) -> str:
        """This service's own part of the host."""
        return urlsplit(self.callback).path.rpartition("/")[0] + "/"

    @property
    def cookie_secret(self) -> str:
        """The same in every replica, and of no use for anything else."""
        return hashlib.sha256(b"neuralinverse gateway admin cookie " + self.service_token.encode()).hexdigest()


def admin_routes(base: str, parts: Parts, login: Login) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The page's URLs. ``base`` is the service's prefix, escaped for a pattern."""
    given = {"parts": parts, "login": login}
    return [
        (rf"{base}(?:admin)?", PageHandler, given),
        (rf"{base}admin/state", StateHandler, given),
        (rf"{base}admin/(admin\.js|admin\.css)", FileHandler, given),
        (rf"{base}oauth_callback", CallbackHandler, given),
    ]


def state_of(parts: Parts) -> dict[str, Any]:
    """What the page shows now."""
    deployments = []
    for row in parts.directory.table.deployments:
        gate = parts.relay.gate(row)
        now = gate.clock()
        deployments.append(
            {
                "name": row.name,
                "serves": row.label or row.deployment,
                "models": sorted(row.models),
                "kind": row.upstream.kind,
                "where": ", ".join(dict.fromkeys(filter(None, (row.region, row.residency)))),
                "health": gate.breaker.state(now),
                "cause": gate.breaker.cause,
                "asked_again_s": round(gate.breaker.opens_in(now)),
                "in_flight": gate.in_flight,
                "limit": int(gate.limit.limit),
                "waiting": len(gate.queue),
                "people": gate.queue.people(),
                "wait_s": round(gate.wait_s(len(gate.queue)), 1) if gate.queue else 0,
            }
        )
    return {
        "deployments": deployments,
        "retirements": parts.directory.retirements(),
        "advice": None if deployments else parts.directory.table.advice,
        "draining": parts.draining,
    }


class AdminHandler(web.RequestHandler):
    """A handler for people with a browser."""

    def initialize(self, parts: Parts, login: Login) -> None:
        self.parts = parts
        self.login = login

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", _PAGE_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")

    async def person(self) -> Caller | None:
        """Who is logged in here; None when nobody is, or no longer."""
        token = self.get_signed_cookie(COOKIE, max_age_days=1)
        if token is None:
            return None
        try:
            return await self.parts.identity.caller(token.decode())
        except GatewayError as error:
            if error.status == 503:
                raise web.HTTPError(503, reason="the hub does not answer") from error
            return None

    def page(self, title: str, body: str, status: int = 200) -> None:
        """Finish with a page in the hub's look."""
        self.set_status(status)
        hub = html.escape(self.login.hub_url)
        text = resources.files("neuralinverse_hub.gateway").joinpath("admin.html").read_text("utf-8")
        for name, value in {"hub": hub, "title": html.escape(title), "body": body}.items():
            text = text.replace(f"[[{name}]]", value)
        self.finish(text)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.page("AI gateway", f"<p>{html.escape(self._reason)}. Reload the page to try again.</p>", status_code)


class PageHandler(AdminHandler):
    """The page itself; sends who is not logged in to the hub."""

    async def get(self) -> None:
        person = await self.person()
        if person is None:
            state = secrets.token_urlsafe(24)
            self.keep(STATE_COOKIE, state, days=None)
            query = {
                "client_id": self.login.client_id,
                "redirect_uri": self.login.callback,
                "response_type": "code",
                "state": state,
            }
            self.redirect(f"{self.login.authorize_url}?{urlencode(query)}")
        elif not person.admin:
            self.page("AI gateway", "<p>This page is for administrators of the hub. Ask one of them.</p>", 403)
        else:
            page = resources.files("neuralinverse_hub.gateway").joinpath("admin_body.html").read_text("utf-8")
            self.page("AI gateway", page)

    def keep(self, name: str, value: str, *, days: int | None) -> None:
        """Set a cookie that only this service gets to see: people's own servers live on the same host."""
        scheme = self.request.headers.get("X-Forwarded-Proto", self.request.protocol).split(",")[0]
        path = self.login.cookie_path
        self.set_signed_cookie(
            name, value, expires_days=days, path=path, httponly=True, samesite="Lax", secure=scheme == "https"
        )


class CallbackHandler(PageHandler):
    """Where the hub sends people back to."""

    async def get(self) -> None:
        state = self.get_signed_cookie(STATE_COOKIE)
        given = self.get_query_argument("state", "")
        if state is None or not secrets.compare_digest(state.decode(), given):
            raise web.HTTPError(400, reason="This login was not begun here, or has expired")
        form = {
            "client_id": self.login.client_id,
            "client_secret": self.login.service_token,
            "grant_type": "authorization_code",
            "code": self.get_query_argument("code", ""),
            "redirect_uri": self.login.callback,
        }
        try:
            async with self.login.session.post(
                self.login.token_url, data=form, timeout=aiohttp.ClientTimeout(total=20)
            ) as response:
                answer = await response.json(content_type=None)
                token = answer["access_token"]
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise web.HTTPError(502, reason="The hub did not complete the login") from error
        self.clear_cookie(STATE_COOKIE, path=self.login.cookie_path)
        self.keep(COOKIE, token, days=1)
        self.redirect("admin")


class StateHandler(AdminHandler):
    """What the page asks for every two seconds."""

    async def get(self) -> None:
        person = await self.person()
        if person is None or not person.admin:
            self.set_status(401 if person is None else 403)
            self.finish({})
            return
        self.finish(state_of(self.parts))


class FileHandler(AdminHandler):
    """The page's script and style."""

    def get(self, name: str) -> None:
        kind = "text/javascript" if name.endswith(".js") else "text/css"
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish(resources.files("neuralinverse_hub.gateway").joinpath(name).read_bytes())


def cookie_secret(login: Login | None) -> str:
    """The secret for the application's signed cookies; a random one when there is no page."""
    return login.cookie_secret if login else os.urandom(32).hex()
