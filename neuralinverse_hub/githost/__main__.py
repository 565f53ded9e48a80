"""``python -m neuralinverse_hub.githost``: the embedded git host as a service that the hub manages."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from neuralinverse_hub import wire
from neuralinverse_hub.delivery import LedgerClient
from neuralinverse_hub.environment import needed
from neuralinverse_hub.regions import catalogue
from neuralinverse_hub.regions.errors import BadCatalogue

from .app import LARGEST_BODY, make_app
from .errors import GitHostError
from .following import SETTINGS, Follower
from .identity import Caller, Identity
from .primary import Primary
from .repositories import Repositories
from .volumes import Held, Volumes, on_disk

ENV_ROOT: Final = "NEURALINVERSE_GIT_ROOT"


def _need(name: str, what: str) -> str:
    return needed(os.environ, name, what, GitHostError)


@dataclass(frozen=True, slots=True)
class _Role:
    """What this host is: the only one, the primary of several regions, or the mirror of one."""

    identity: Identity
    follows: Primary | None = None


def _role() -> _Role:
    path = os.environ.get(wire.ENV_REGIONS)
    if not path:
        return _Role(Identity({"": _need("JUPYTERHUB_API_URL", "the address of the hub's API")}))
    try:
        known = catalogue.read(Path(path))
    except BadCatalogue as error:
        raise GitHostError(str(error)) from error
    name = os.environ.get(wire.ENV_REGION)
    try:
        here = known[name] if name else None
    except BadCatalogue as error:
        raise GitHostError(f"{wire.ENV_REGION}: {error} ({path})") from error
    if here is not None and known.mirrors_git(here):
        # Believed are the hubs whose workspaces are sent here, and the own one without a way round the internet.
        hubs = {region.name: region.api for region in known.regions if region.git_mirror == here.git_host}
        hubs[here.name] = _need("JUPYTERHUB_API_URL", "the address of the hub's API")
        token = _need(wire.ENV_TOKEN, "this service's own token, with which it reads from the primary")
        return _Role(Identity(hubs), Primary(known.git, here.name, token))
    services = {(region.name, wire.REGIONS_SERVICE): Caller(region.name, "hub") for region in known.regions}
    for region in filter(known.mirrors_git, known.regions):
        services[region.name, wire.GIT_SERVICE] = Caller(f"the mirror of {region.name}", "mirror")
    return _Role(Identity({region.name: region.api for region in known.regions}, services))


async def _serve() -> None:
    root = Path(_need(ENV_ROOT, "the folder that keeps the repositories"))
    role = _role()
    address = urlsplit(_need("JUPYTERHUB_SERVICE_URL", "the address to listen on, as http://127.0.0.1:10202"))
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/services/git/")
    if role.follows is None:
        repositories, follower = Repositories(root), None
    else:
        # Apart from what a primary keeps: copies become what the primary has, whatever they were.
        repositories = Repositories(root / ".copies", SETTINGS)
        follower = Follower(repositories, role.follows)
    repositories.prepare()
    host, port = address.hostname or "127.0.0.1", address.port or 80
    try:
        sockets = bind_sockets(port, host)
    except OSError as error:
        raise GitHostError(f"The git host cannot listen on {host}:{port}: {error.strerror}.") from error
    server = HTTPServer(make_app(prefix, role.identity, repositories, follower), max_body_size=LARGEST_BODY)
    server.add_sockets(sockets)
    logging.info("git host: %s on http://%s:%s%s", root, host, sockets[0].getsockname()[1], prefix)
    if follower is not None:
        logging.info("a mirror of %s", follower.primary.url)
        follower.start()
    volumes = None
    # What a mirror holds is measured where it comes from.
    if follower is None and (url := os.environ.get(wire.ENV_VOLUMES_URL)):
        client = LedgerClient(url, os.environ.get(wire.ENV_TOKEN, ""))
        region = os.environ.get(wire.ENV_REGION, "")

        async def measure() -> list[Held]:
            return await asyncio.to_thread(on_disk, root)

        volumes = Volumes(root / ".records", measure, client.deliver, f"git:{region}", region)
        volumes.open()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    server.stop()
    await asyncio.wait_for(server.close_all_connections(), 5)
    if follower is not None:
        await follower.close()
    await repositories.close()
    if volumes is not None:
        await volumes.close()


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1 and one sentence when that is not possible."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s git] %(message)s")
    try:
        asyncio.run(_serve())
    except GitHostError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
