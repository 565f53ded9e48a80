"""The gateway put together: settings, sessions, server, and an orderly end. Decides nothing about requests."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from tornado import httpserver, netutil, web
from traitlets import Bool, Float, Unicode, default
from traitlets.config import Application
from traitlets.utils.importstring import import_item

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.admin import Login, admin_routes, cookie_secret
from neuralinverse_hub.gateway.auth import HubIdentity
from neuralinverse_hub.gateway.directory import Directory
from neuralinverse_hub.gateway.edge import BODY_LIMIT, Parts
from neuralinverse_hub.gateway.entra import EntraIdentity
from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.gateway.handlers import routes
from neuralinverse_hub.gateway.metrics import Metrics
from neuralinverse_hub.gateway.relay import Relay
from neuralinverse_hub.gateway.spool import Spool
from neuralinverse_hub.gateway.tasks import Classifier
from neuralinverse_hub.gateway.upstreams import Patience, UpstreamClient, upstream_session

__all__ = ["Gateway", "main"]


class Gateway(Application):
    """The AI gateway: an OpenAI-compatible API in front of every model, for everyone the hub knows."""

    name = "neuralinverse-gateway"
    description = __doc__

    url = Unicode(
        help="Where to listen, as http://<address>:<port>; port 0 takes a free one. Default: JUPYTERHUB_SERVICE_URL."
    ).tag(config=True)
    prefix = Unicode(help="URL path before v1/, with a slash at both ends. Default: JUPYTERHUB_SERVICE_PREFIX.").tag(
        config=True
    )
    hub_api = Unicode(help="URL of the hub's API, which says whose token it is. Default: JUPYTERHUB_API_URL.").tag(
        config=True
    )
    service = Unicode(
        help="Name of this service at the hub; callers need the scope access:services!service=<name>. "
        "Default: JUPYTERHUB_SERVICE_NAME."
    ).tag(config=True)
    connect_timeout_s = Float(10.0, help="Seconds to reach an upstream before the next one is tried.").tag(config=True)
    first_byte_timeout_s = Float(
        300.0, help="Seconds until an upstream begins to answer before the next one is tried."
    ).tag(config=True)
    gap_timeout_s = Float(90.0, help="Seconds of silence within an answer before it counts as broken off.").tag(
        config=True
    )
    heartbeat_s = Float(
        3.0, help="Seconds a streaming client waits before it gets a comment that keeps it waiting, and between those."
    ).tag(config=True)
    drain_s = Float(30.0, help="Seconds that answers under way may take after SIGTERM.").tag(config=True)
    table_file = Unicode(
        help="JSON file with the operator's own tasks, models, upstreams and deployments, on top of the shipped table; "
        "read again when it changes and on SIGHUP. Default: NEURALINVERSE_GATEWAY_TABLE."
    ).tag(config=True)
    ledger = Unicode(
        help="Who takes over usage records: dotted name of a callable that is given a list of them. Empty: nobody."
    ).tag(config=True)
    spool_dir = Unicode(
        help="Folder that keeps usage records until the ledger has them; this gateway's alone. "
        "Default: gateway-usage below NEURALINVERSE_DATA_DIR."
    ).tag(config=True)
    verbose = Bool(False, help="Log one line per request.").tag(config=True)

    @default("url")
    def _url(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:0")

    @default("prefix")
    def _prefix(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_PREFIX", f"/services/{wire.GATEWAY_SERVICE}/")

    @default("hub_api")
    def _hub_api(self) -> str:
        return os.environ.get("JUPYTERHUB_API_URL", "")

    @default("service")
    def _service(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_NAME", wire.GATEWAY_SERVICE)

    @default("table_file")
    def _table_file(self) -> str:
        return os.environ.get("NEURALINVERSE_GATEWAY_TABLE", "")

    @default("spool_dir")
    def _spool_dir(self) -> str:
        data = os.environ.get(wire.ENV_DATA_DIR)
        return os.path.join(data, "gateway-usage") if data else ""

    @default("log_level")
    def _log_level(self) -> int:
        return logging.INFO

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        sink: Callable[[wire.UsageRecord], None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.env: Mapping[str, str] = os.environ if env is None else env
        self.sink = sink
        self._spool: Spool | None = None

    def start(self) -> None:
        """Serve until SIGTERM or SIGINT, then let answers under way finish."""
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(self._serve())

    async def open(self) -> str:
        """Start serving; the URL of the API, ending in ``/v1``."""
        if not self.hub_api:
            raise ConfigurationError(
                "the gateway needs a hub to know people by: JUPYTERHUB_API_URL is not set; "
                "run it as a service of the hub, or set --Gateway.hub_api"
            )
        async with contextlib.AsyncExitStack() as stack:
            await self._put_together(stack)
            # All went well: what was opened stays open until `close`.
            self._stack = stack.pop_all()
        return self._listen()

    async def _put_together(self, stack: contextlib.AsyncExitStack) -> None:
        hub = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20), cookie_jar=aiohttp.DummyCookieJar())
        )
        outer = await stack.enter_async_context(upstream_session())
        identity = HubIdentity(hub, self.hub_api, service=self.service)
        stack.push_async_callback(identity.close)
        patience = Patience(self.connect_timeout_s, self.first_byte_timeout_s, self.gap_timeout_s)
        self._login = Login.from_env(self.env, hub, self.hub_api)
        entra = EntraIdentity(hub, self.env)
        stack.push_async_callback(entra.close)
        client = UpstreamClient(outer, patience, entra.token)
        directory = Directory(self.env, client, Path(self.table_file) if self.table_file else None)
        stack.push_async_callback(directory.close)
        metrics = Metrics(lambda: relay.gates)
        relay = Relay(client, lambda row, outcome: metrics.tried(row.name, outcome))
        stack.callback(relay.close)
        self.parts = Parts(
            identity, directory, relay, metrics, Classifier.shipped(), self.record, heartbeat_s=self.heartbeat_s
        )
        if self.ledger and self.spool_dir:
            take = import_item(self.ledger)
            spool = Spool(Path(self.spool_dir), take, lost=metrics.ledger_lost.inc)
            spool.open()
            metrics.ledger_waiting.set_function(lambda: spool.waiting)
            stack.push_async_callback(spool.close)
            self._spool = spool
        await directory.open()

    async def close(self) -> None:
        """Take no new requests, let answers under way finish for ``drain_s`` at most, and stop."""
        if self.parts.draining:
            return
        self.parts.draining = True
        self._server.stop()
        if self.parts.works:
            self.log.info("waiting for %d answers to finish", len(self.parts.works))
            await asyncio.wait(set(self.parts.works), timeout=self.drain_s)
        for task in set(self.parts.works):
            task.cancel()
        await self._server.close_all_connections()
        await self._stack.aclose()

    async def reload(self) -> None:
        """Read the table file again without touching a request under way; a wrong one is logged and changes nothing."""
        try:
            await self.parts.directory.reload()
        except ConfigurationError as error:
            self.log.error("the table stays as it was: %s", error)
        else:
            self.parts.relay.keep(row.name for row in self.parts.directory.table.deployments)
            self.log.info("the table was read again")

    def record(self, record: wire.UsageRecord) -> None:
        """Take note of what an answered request used."""
        self.parts.metrics.answered(record)
        if self._spool is not None:
            self._spool.add(record)
        if self.sink is not None:
            self.sink(record)
        if self.verbose:
            self.log.info(
                "%s %s %s/%s %s %d+%d tokens %.3f s",
                record.request_id,
                record.person,
                record.model,
                record.upstream,
                record.status,
                record.input_tokens,
                record.output_tokens,
                record.duration_s,
            )

    def _listen(self) -> str:
        pages = admin_routes(re.escape(self.prefix), self.parts, self._login) if self._login else []
        application = web.Application(
            [*pages, *routes(self.prefix, self.parts)],
            log_function=lambda handler: None,
            cookie_secret=cookie_secret(self._login),
        )
        parts = urlsplit(self.url)
        address = parts.hostname or "127.0.0.1"
        self._server = httpserver.HTTPServer(
            application,
            max_body_size=4 * BODY_LIMIT,
            max_header_size=64 * 1024,
            # Seconds a kept-alive connection may idle, and headers may take to arrive.
            idle_connection_timeout=120,
        )
        sockets = netutil.bind_sockets(parts.port or 0, address)
        self._server.add_sockets(sockets)
        port = sockets[0].getsockname()[1]
        shown = f"[{address}]" if ":" in address else address
        self.log.info("AI gateway serves http://%s:%d%sv1", shown, port, self.prefix)
        return f"http://{shown}:{port}{self.prefix}v1"

    async def _serve(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self.open()
        # What is here now stays: the garbage collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        reloads: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(signal.SIGHUP, lambda: reloads.add(asyncio.create_task(self.reload())))
        await stop.wait()
        await self.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where it is installed: the same behaviour for less CPU."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def main(argv: list[str] | None = None) -> None:
    """Run the gateway until it is told to stop; a setting that cannot work ends it with one sentence."""
    gateway = Gateway()
    gateway.initialize(argv)
    package = logging.getLogger("neuralinverse_hub.gateway")
    package.setLevel(gateway.log.level)
    package.handlers[:] = gateway.log.handlers
    try:
        gateway.start()
    except (ConfigurationError, OSError) as error:
        gateway.exit(f"AI gateway cannot start: {error}")
