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
from tornado import netutil, web
from traitlets import Bool, Dict, Float, List, Unicode, default
from traitlets.config import Application

from neuralinverse_hub import wire
from neuralinverse_hub.delivery import LedgerClient
from neuralinverse_hub.gateway.admin import Login, admin_routes, cookie_secret
from neuralinverse_hub.gateway.auth import HubIdentity
from neuralinverse_hub.gateway.directory import Directory
from neuralinverse_hub.gateway.edge import Front, Parts
from neuralinverse_hub.gateway.entra import EntraIdentity
from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.gateway.handlers import exchanges, routes
from neuralinverse_hub.gateway.listening import Server
from neuralinverse_hub.gateway.metrics import Metrics
from neuralinverse_hub.gateway.places import Place
from neuralinverse_hub.gateway.relay import Relay
from neuralinverse_hub.gateway.tasks import Classifier
from neuralinverse_hub.gateway.tracing import Tracing
from neuralinverse_hub.gateway.turns import weights_from
from neuralinverse_hub.gateway.upstreams import Patience, UpstreamClient, upstream_session
from neuralinverse_hub.regions import catalogue
from neuralinverse_hub.regions.errors import BadCatalogue
from neuralinverse_hub.spool import Ledger, Spool

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
    hedge_after_s = Float(
        0.0,
        help="Seconds without a first word after which a second deployment is asked too, if one is free: the faster answer "
        "counts, and both are paid. 0: never.",
    ).tag(config=True)
    heartbeat_s = Float(
        3.0, help="Seconds a streaming client waits before it gets a comment that keeps it waiting, and between those."
    ).tag(config=True)
    drain_s = Float(30.0, help="Seconds that answers under way may take after SIGTERM.").tag(config=True)
    region = Unicode(
        help="Region this gateway is in: its deployments are asked first. Empty: all are equally near. "
        "Default: NEURALINVERSE_REGION."
    ).tag(config=True)
    region_order = List(
        Unicode(),
        help="Regions to go to when the own one cannot answer in time, nearest first; others come after those. "
        "Default: NEURALINVERSE_REGION_ORDER, with commas between.",
    ).tag(config=True)
    residency = Unicode(
        help="Tag of where requests have to stay, such as eu: only deployments with that 'residency' get any. "
        "Empty: anywhere. Default: NEURALINVERSE_RESIDENCY."
    ).tag(config=True)
    residencies = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Tags of where single people's requests have to stay, beside 'residency': {'ada': 'eu'}. "
        "The table file's 'residencies' come on top.",
    ).tag(config=True)
    table_file = Unicode(
        help="JSON file with the operator's own tasks, models, upstreams and deployments, on top of the shipped table; "
        "read again when it changes and on SIGHUP. Default: NEURALINVERSE_GATEWAY_TABLE."
    ).tag(config=True)
    ledger_url = Unicode(
        help="URL of the economics service that takes usage records, ending in /records/usage; the gateway shows it its "
        "JUPYTERHUB_API_TOKEN. Empty: nobody takes them. Default: NEURALINVERSE_LEDGER_URL."
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

    @default("ledger_url")
    def _ledger_url(self) -> str:
        return os.environ.get(wire.ENV_LEDGER_URL, "")

    @default("region")
    def _region(self) -> str:
        return os.environ.get(wire.ENV_REGION, "")

    @default("region_order")
    def _region_order(self) -> list[str]:
        return [name.strip() for name in os.environ.get(wire.ENV_REGION_ORDER, "").split(",") if name.strip()]

    @default("residency")
    def _residency(self) -> str:
        return os.environ.get(wire.ENV_RESIDENCY, "")

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
        return await self._listen()

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
        directory = Directory(self.env, client, Path(self.table_file) if self.table_file else None, self._place())
        stack.push_async_callback(directory.close)
        metrics = Metrics(lambda: relay.gates)
        relay = Relay(client, lambda row, outcome: metrics.tried(row.name, outcome), self.hedge_after_s)
        stack.callback(relay.close)
        tracing = Tracing.from_env(self.env)
        if tracing is not None:
            stack.push_async_callback(tracing.close)
        self.parts = Parts(
            identity, directory, relay, metrics, Classifier.shipped(), self.record, self.heartbeat_s, tracing
        )
        if take := self._who_takes():
            spool = Spool(Path(self.spool_dir), take, lost=metrics.ledger_lost.inc)
            spool.open()
            metrics.ledger_waiting.set_function(lambda: spool.waiting)
            stack.push_async_callback(spool.close)
            self._spool = spool
        metrics.under_way.set_function(lambda: len(self.parts.works))
        await directory.open()

    def _place(self) -> Place:
        place = Place(self.region, tuple(self.region_order), self.residency, dict(self.residencies))
        path = self.env.get(wire.ENV_REGIONS)
        try:
            return place.among(catalogue.read(Path(path))) if path else place
        except BadCatalogue as error:
            raise ConfigurationError(str(error)) from error

    def _who_takes(self) -> Ledger | None:
        if not self.ledger_url:
            return None
        if not self.spool_dir:
            raise ConfigurationError(
                "usage records have a ledger but no folder to wait in: set --Gateway.spool_dir, one per gateway, "
                f"or {wire.ENV_DATA_DIR}"
            )
        return LedgerClient(self.ledger_url, self.env.get(wire.ENV_TOKEN, ""), self._answered).deliver

    def _answered(self, answer: Mapping[str, Any]) -> None:
        """Take over the weights that came with the ledger's answer; an answer without any changes nothing."""
        weights = answer.get("weights")
        if isinstance(weights, Mapping):
            self.set_weights(weights)

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
        await self._server.close()
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

    def set_weights(self, weights: Mapping[str, object]) -> None:
        """Let these people, and nobody else, weigh less than 1 in the fair queues from the next turn on.

        A weight (above 0, up to 1) is somebody's share beside others who wait; alone they are as fast as ever, and it
        refuses nobody. What is no weight is logged and counts as 1.
        """
        lowered, wrong = weights_from(weights)
        if wrong:
            self.log.warning("no weights above 0 and up to 1, so they count as 1: those of %s", ", ".join(wrong))
        known = self.parts.relay.weights
        if lowered != known:
            self.log.info("weights in the fair queues are now: %s", lowered or "1 for everybody")
            known.clear()
            known.update(lowered)

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

    async def _listen(self) -> str:
        pages = admin_routes(re.escape(self.prefix), self.parts, self._login) if self._login else []
        application = web.Application(
            [*pages, *routes(self.prefix, self.parts)],
            log_function=lambda handler: None,
            cookie_secret=cookie_secret(self._login),
        )
        parts = urlsplit(self.url)
        address = parts.hostname or "127.0.0.1"
        self._server = Server(Front(exchanges(self.prefix, self.parts), application).answer)
        sockets = netutil.bind_sockets(parts.port or 0, address)
        await self._server.listen(sockets)
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
        # What is here now stays, and what a request makes goes with it: the garbage collector need not look often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
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
