"""The pages and calls of this room, served by the hub itself below ``/hub/region``.

``/hub/region/health`` is for load balancers and for browsers of all regions; everything else is for a person who is
logged in with a browser, and touches that person's own things only.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.utils import url_path_join
from tornado import web

from neuralinverse_hub import wire

from .catalogue import Catalogue, Region
from .errors import BadCatalogue, GitHostAway, RefMoved
from .health import Health, describe, lacking
from .moving import Moving, Step
from .parts import hub_probes
from .residence import Residence, Whereabouts, arrival

__all__ = ["Desk", "enter_url", "handlers"]

_log = logging.getLogger(__name__)
_NEEDS: Final = frozenset({"database", "proxy", "cluster", "git", "gateway", "capacity"})


@dataclass(frozen=True, slots=True)
class Desk:
    """What the handlers share."""

    residence: Residence
    health: Health
    workspace_name: Callable[[str], str]
    """A server's name in the hub → the workspace's name everywhere."""

    def __deepcopy__(self, memo: Any) -> Desk:
        # traitlets copies what stands in a configuration; these are things, not values.
        return self

    @property
    def catalogue(self) -> Catalogue:
        return self.residence.catalogue

    @property
    def here(self) -> Region:
        return self.residence.here


def handlers(desk: Desk) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """For ``c.JupyterHub.extra_handlers``."""
    pages: dict[str, type[web.RequestHandler]] = {
        "health": HealthHandler,
        "enter": EnterHandler,
        "home": HomeHandler,
        "take": TakeHandler,
        "move": MoveHandler,
        "arrive": ArriveHandler,
        "return": ReturnHandler,
    }
    shared = {"desk": desk}
    return [("/region/?", RegionHandler, shared), *((f"/region/{path}", each, shared) for path, each in pages.items())]


def enter_url(handler: BaseHandler) -> str:
    """For ``c.JupyterHub.default_url``: where a login goes when it was not on its way somewhere."""
    return str(url_path_join(handler.hub.base_url, "region/enter"))


class HealthHandler(web.RequestHandler):
    """What works. 503 when a part that is essential, or that ``?need=git,gateway`` names, does not."""

    def initialize(self, desk: Desk) -> None:
        self._desk = desk

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        # The one address that pages of other regions may read: their browsers measure how far we are.
        self.set_header("Vary", "Origin")
        origin = self.request.headers.get("Origin")
        if origin and origin in {region.origin for region in self._desk.catalogue.regions}:
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Timing-Allow-Origin", origin)

    async def get(self) -> None:
        need = frozenset(filter(None, self.get_query_argument("need", "").split(",")))
        if unknown := need - _NEEDS:
            self.set_status(400)
            self.finish({"error": f"unknown parts {sorted(unknown)}; known: {', '.join(sorted(_NEEDS))}"})
            return
        for name, probe in hub_probes(self.settings).items():
            self._desk.health.probes.setdefault(name, probe)
        parts, at = await self._desk.health.now()
        self.set_status(503 if lacking(parts, need) else 200)
        self.finish(describe(self._desk.here.name, parts, at, need))

    async def head(self) -> None:
        await self.get()


class _PersonHandler(BaseHandler):  # type: ignore[misc]  # no types
    """A page or call for whoever is logged in with a browser; workspaces' tokens are not let in."""

    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    @property
    def person(self) -> str:
        return str(self.current_user.name)

    def server_argument(self) -> str:
        return str(self.get_argument("server", ""))

    def workspace(self, server: str) -> str:
        return self.desk.workspace_name(server)

    def usual_url(self) -> str:
        """Where the hub sends people after a login when nothing is special."""
        if self.redirect_to_server:
            user = self.current_user
            return str(user.url) if user.spawner.active else url_path_join(self.hub.base_url, "spawn")
        return str(url_path_join(self.hub.base_url, "home"))

    def facts(self, where: Whereabouts | None) -> dict[str, Any]:
        """What the page's script works with."""
        desk = self.desk
        return {
            "here": desk.here.name,
            "home": where.home if where else None,
            "regions": [{"name": r.name, "place": r.place, "hub": r.hub} for r in desk.catalogue.regions],
            "base": self.hub.base_url,
            "user": self.person,
            "xsrf": self.xsrf_token.decode("ascii"),
            "usual": self.usual_url(),
        }

    async def show(self, template: str, where: Whereabouts | None, **more: Any) -> None:
        facts = self.facts(where) | more.pop("facts", {})
        page = await self.render_template(
            template, here=self.desk.here, regions=self.desk.catalogue.regions, where=where, facts=facts, **more
        )
        self.finish(page)

    def body(self) -> dict[str, Any]:
        try:
            found = json.loads(self.request.body or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(v is None or isinstance(v, str) for v in found.values()):
            raise web.HTTPError(400, "the body should be a JSON object of texts")
        return found

    def refuse(self, status: int, error: Exception | str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"message": str(error)}))


class EnterHandler(_PersonHandler):
    """Where a login ends: on to the workspace, or to the page of regions when this is not where it is."""

    @web.authenticated
    async def get(self) -> None:
        try:
            where = await self.desk.residence.look(self.person)
        except GitHostAway as error:
            # What is here can go on; where else it might be, nobody can say now.
            self.log.warning("%s goes on here: %s", self.person, error)
            self.redirect(self.usual_url())
            return
        go = arrival(where, self.desk.here.name) == "go"
        self.redirect(self.usual_url() if go else url_path_join(self.hub.base_url, "region"))


class RegionHandler(_PersonHandler):
    """The person's regions: home, where each workspace is, and what can be done about it."""

    @web.authenticated
    async def get(self) -> None:
        try:
            where = await self.desk.residence.look(self.person)
        except GitHostAway:
            await self.show("region.html", None, arrival="away", workspaces=[])
            return
        default = wire.DEFAULT_WORKSPACE
        names = where.workspaces()
        at = where.at
        rows = [
            {"name": name, "server": self._server(name), "at": at.get(name)}
            for name in ([] if default in names else [default]) + names
        ]
        await self.show(
            "region.html",
            where,
            arrival=arrival(where, self.desk.here.name),
            workspaces=rows,
            facts={"arrival": arrival(where, self.desk.here.name), "workspaces": rows},
        )

    def _server(self, workspace: str) -> str | None:
        """The hub's name of the server; None when it cannot be told from the workspace's."""
        known = ["", workspace, *(name for name in self.current_user.spawners)]
        return next((name for name in known if self.workspace(name) == workspace), None)


class HomeHandler(_PersonHandler):
    """``{"home": name, "instead_of": name or null}``: choose the home, if it still is what the page showed."""

    @web.authenticated
    async def post(self) -> None:
        body = self.body()
        try:
            where = await self.desk.residence.choose_home(
                self.person, body.get("home") or "", instead_of=body.get("instead_of")
            )
        except BadCatalogue as error:
            self.refuse(400, error)
        except GitHostAway as error:
            self.refuse(503, error)
        else:
            self.finish(json.dumps({"home": where.home}))


class TakeHandler(_PersonHandler):
    """``{"server": name, "from": region or null}``: the workspace is here from now on, wherever it was.

    For a region that is lost, or for a workspace that is nowhere yet. Starting it is the next, separate call.
    """

    @web.authenticated
    async def post(self) -> None:
        body = self.body()
        workspace = self.workspace(body.get("server") or "")
        try:
            await self.desk.residence.settle(self.person, workspace, self.desk.here.name, instead_of=body.get("from"))
        except RefMoved as error:
            self.refuse(409, error)
        except GitHostAway as error:
            self.refuse(503, error)
        else:
            self.log.info("%s takes %s over from %s", self.person, workspace, body.get("from") or "nowhere")
            self.finish(json.dumps({"at": self.desk.here.name}))


class ReturnHandler(_PersonHandler):
    """``{"server": name, "to": region}``: a workspace that could not start here is where it was again."""

    @web.authenticated
    async def post(self) -> None:
        body = self.body()
        server = body.get("server") or ""
        spawner = self.current_user.spawners.get(server)
        if spawner is not None and spawner.active:
            self.refuse(409, "the workspace runs here; move it instead")
            return
        try:
            back = self.desk.catalogue[body.get("to") or ""]
            here = self.desk.here.name
            await self.desk.residence.settle(self.person, self.workspace(server), back.name, instead_of=here)
        except BadCatalogue as error:
            self.refuse(400, error)
        except RefMoved as error:
            self.refuse(409, error)
        except GitHostAway as error:
            self.refuse(503, error)
        else:
            self.finish(json.dumps({"go": _arrive(back, server, self.desk.here.name, failed=True)}))


class MoveHandler(_PersonHandler):
    """GET: the page that moves a workspace away from here. POST does it, a line of JSON for each step."""

    def _target(self) -> Region:
        try:
            target = self.desk.catalogue[str(self.get_argument("to", ""))]
        except BadCatalogue as error:
            raise web.HTTPError(400, str(error)) from error
        if target.name == self.desk.here.name:
            raise web.HTTPError(400, f"this is {target.place} already")
        return target

    @web.authenticated
    async def get(self) -> None:
        target = self._target()
        server = self.server_argument()
        facts = {"server": server, "to": target.name, "origins": [r.origin for r in self.desk.catalogue.regions]}
        await self.show("region_move.html", None, target=target, workspace=self.workspace(server), facts=facts)

    @web.authenticated
    async def post(self) -> None:
        target, server = self._target(), self.server_argument()
        self.set_header("Content-Type", "application/x-ndjson")
        self.set_header("X-Accel-Buffering", "no")
        async for step in self._steps(target, server):
            self.write(json.dumps(step.as_json()) + "\n")
            await self.flush()
        self.finish()

    async def _steps(self, target: Region, server: str) -> AsyncIterator[Step]:
        workspace = self.workspace(server)
        moving = Moving(self.desk.residence, self.person, workspace, target)
        began = time.monotonic()
        yield Step("check", f"Asking {target.place} whether it can take the workspace")
        if refusal := await moving.refusal():
            yield Step("failed", f"{refusal} The workspace is where it was.")
            return
        spawner = self.current_user.spawners.get(server)
        if spawner is not None and spawner.pending:
            yield Step("failed", f"The workspace is just being {spawner.pending}ed; try again when that is over.")
            return
        stopped = False
        if spawner is not None and spawner.active:
            yield Step("flush", "Saving everything")
            if problem := await self._flush(spawner):
                yield Step("failed", f"{problem} The workspace is where it was.")
                return
            yield Step("stop", f"Stopping it in {self.desk.here.place}")
            await (await self.stop_single_user(self.current_user, server))
            if spawner.active:
                yield Step("failed", "The workspace did not stop. It is where it was.")
                return
            stopped = True
        try:
            await self.desk.residence.settle(self.person, workspace, target.name, instead_of=self.desk.here.name)
        except (GitHostAway, RefMoved) as error:
            yield Step("failed", f"{error} The workspace is still in {self.desk.here.place}.", restart=stopped)
            return
        self.log.info("%s moved %s to %s in %.1f s", self.person, workspace, target.name, time.monotonic() - began)
        go = _arrive(target, server, self.desk.here.name)
        yield Step("go", f"Going on in {target.place}", go=go)

    async def _flush(self, spawner: Any) -> str | None:
        """Have the workspace save now; a sentence when not everything is on the git host afterwards."""
        # The token of this call, good for this server and for a minute.
        name = f"{self.person}/{spawner.name}"
        token = self.current_user.new_api_token(
            note="save before a move", expires_in=60, scopes=[f"access:servers!server={name}"]
        )
        url = url_path_join(spawner.server.url, "neuralinverse/flush")
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
                session.post(url, headers={"Authorization": f"token {token}"}) as answer,
            ):
                if answer.status == 200:
                    return None
                said = (await answer.json(content_type=None) or {}).get("message", "") if answer.status != 404 else ""
                return f"Not everything could be saved now. {said or f'The workspace said {answer.status}.'}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.log.warning("%s cannot be asked to save: %s", spawner._log_name, error)
            return "The workspace does not answer, so it cannot be said that everything is saved."


class ArriveHandler(_PersonHandler):
    """The page that starts a workspace which has just been moved here, and shows how that goes."""

    @web.authenticated
    async def get(self) -> None:
        server, origin = self.server_argument(), str(self.get_argument("from", ""))
        source = self.desk.catalogue[origin] if origin in self.desk.catalogue else None
        facts = {
            "server": server,
            "from": source.name if source else None,
            "failed": bool(self.get_argument("failed", "")),
            "target": str(self.current_user.server_url(server)),
        }
        await self.show("region_arrive.html", None, source=source, workspace=self.workspace(server), facts=facts)


def _arrive(region: Region, server: str, origin: str, *, failed: bool = False) -> str:
    query = {"server": server, "from": origin, **({"failed": "1"} if failed else {})}
    return f"{region.hub}/hub/region/arrive?{urlencode(query, quote_via=quote)}"
