"""The economics service put together: settings, ledger, server, and an orderly end. Decides nothing about figures.

It stays up whatever becomes of its database, its price list or the hub: a service that ended would end the hub with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from pathlib import Path
from urllib.parse import urlsplit

from tornado import httpserver, netutil, web
from traitlets import Integer, Unicode, default
from traitlets.config import Application

from neuralinverse_hub import wire
from neuralinverse_hub.economics.book import Book, PriceBook
from neuralinverse_hub.economics.desk import Desk
from neuralinverse_hub.economics.handlers import routes
from neuralinverse_hub.economics.rounds import Retention, Rounds

__all__ = ["Economics", "main"]

BODY_LIMIT = 64 * 2**20
"""Bytes of one batch; a spool's segment has a twentieth of it."""


class Economics(Application):
    """The economics service: takes records, keeps the ledger, and shows the hub's administrators what it says."""

    name = "neuralinverse-economics"
    description = __doc__

    url = Unicode(
        help="Where to listen, as http://<address>:<port>; port 0 takes a free one. Default: JUPYTERHUB_SERVICE_URL."
    ).tag(config=True)
    prefix = Unicode(
        help="URL path of the service, with a slash at both ends. Default: JUPYTERHUB_SERVICE_PREFIX."
    ).tag(config=True)
    ledger_url = Unicode(
        help="The ledger's database, as SQLAlchemy writes it. Default: NEURALINVERSE_LEDGER, else economics.sqlite in the "
        "working folder. One with a password belongs into the variable: others can read command lines."
    ).tag(config=True)
    prices_file = Unicode(
        help="The operator's price list; read again when it changes. Default: NEURALINVERSE_PRICES, else the shipped one."
    ).tag(config=True)
    region = Unicode(help="Region of this hub's workspaces. Default: NEURALINVERSE_REGION.").tag(config=True)

    keep_names_days = Integer(
        min=0,
        help="Days after which pseudonyms take the place of names; 0: never. Default: NEURALINVERSE_KEEP_NAMES_DAYS.",
    ).tag(config=True)
    keep_requests_days = Integer(
        min=0,
        help="Days after which single requests are removed and their sums stay; 0: never. "
        "Default: NEURALINVERSE_KEEP_REQUESTS_DAYS.",
    ).tag(config=True)

    @default("keep_names_days")
    def _keep_names_days(self) -> int:
        return int(os.environ.get(wire.ENV_KEEP_NAMES) or 0)

    @default("keep_requests_days")
    def _keep_requests_days(self) -> int:
        return int(os.environ.get(wire.ENV_KEEP_REQUESTS) or 0)

    @default("url")
    def _url(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:0")

    @default("prefix")
    def _prefix(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_PREFIX", f"/services/{wire.ECONOMICS_SERVICE}/")

    @default("ledger_url")
    def _ledger_url(self) -> str:
        return os.environ.get(wire.ENV_LEDGER) or "sqlite:///economics.sqlite"

    @default("prices_file")
    def _prices_file(self) -> str:
        return os.environ.get(wire.ENV_PRICES, "")

    @default("region")
    def _region(self) -> str:
        return os.environ.get(wire.ENV_REGION, "")

    @default("log_level")
    def _log_level(self) -> int:
        return logging.INFO

    def start(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        desk = Desk(
            Book(self.ledger_url, os.environ.get(wire.ENV_LEDGER_SECRET, "").encode()),
            PriceBook(Path(self.prices_file) if self.prices_file else None),
        )
        rounds = Rounds(
            desk,
            os.environ.get("JUPYTERHUB_API_URL", ""),
            os.environ.get(wire.ENV_TOKEN, ""),
            self.region,
            Retention(self.keep_names_days, self.keep_requests_days),
        )
        server = self._listen(desk)
        desk.book.open()
        rounds.open()
        await stop.wait()
        server.stop()
        await rounds.close()
        await server.close_all_connections()
        await desk.book.close()

    def _listen(self, desk: Desk) -> httpserver.HTTPServer:
        application = web.Application(
            routes(self.prefix, desk),
            # Of this process alone: after a restart people are logged in again without noticing.
            cookie_secret=secrets.token_bytes(32),
            xsrf_cookies=True,
            log_function=lambda handler: None,
        )
        parts = urlsplit(self.url)
        address = parts.hostname or "127.0.0.1"
        server = httpserver.HTTPServer(application, max_body_size=BODY_LIMIT, max_buffer_size=BODY_LIMIT)
        sockets = netutil.bind_sockets(parts.port or 0, address)
        server.add_sockets(sockets)
        shown = f"[{address}]" if ":" in address else address
        self.log.info("economics serves http://%s:%d%s", shown, sockets[0].getsockname()[1], self.prefix)
        return server


def main(argv: list[str] | None = None) -> None:
    """Run the service until it is told to stop."""
    service = Economics()
    service.initialize(argv)
    package = logging.getLogger("neuralinverse_hub")
    package.setLevel(service.log.level)
    package.handlers[:] = service.log.handlers
    try:
        service.start()
    except OSError as error:
        service.exit(f"the economics service cannot start: {error}")
