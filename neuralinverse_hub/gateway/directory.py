"""Which deployments there are right now: the operator's, or the stand-ins of this machine that answer.

Asks local servers what they serve, at the start, every ``LOOK_S`` seconds, and at once when a request finds nothing;
reads the table file again when it changed. Requests under way keep the rows they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from neuralinverse_hub.gateway.catalogue import ADVICE, explicit_rows, shipped_rows, stand_in_row, stand_ins
from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.gateway.places import Place
from neuralinverse_hub.gateway.router import Deployment
from neuralinverse_hub.gateway.tablefile import read_table
from neuralinverse_hub.gateway.upstreams import Failed, UpstreamClient

__all__ = ["Directory"]

LOOK_S: Final = 20.0
PROBE_S: Final = 2.0
WARN_BEFORE: Final = timedelta(days=30)

log = logging.getLogger(__name__)


class Directory:
    """The routing table with the deployments that exist now. ``table`` is replaced as a whole, never changed."""

    def __init__(
        self, env: Mapping[str, str], client: UpstreamClient, file: Path | None = None, place: Place | None = None
    ) -> None:
        self._place = place
        self._env = env
        self._client = client
        self._file = file
        self._file_version: object = None
        self._warned: object = None
        self._looking: asyncio.Task[None] | None = None
        self._forever: asyncio.Task[None] | None = None
        self._read()

    async def open(self) -> None:
        """Look once, then keep looking in the background."""
        await self.look()
        self._warn()
        self._forever = asyncio.create_task(self._keep_looking())

    async def reload(self) -> None:
        """Read the table file again; a table that is not right changes nothing. Raises `ConfigurationError`."""
        self._read()
        await self.look()

    def retirements(self, within: timedelta = WARN_BEFORE) -> list[str]:
        """A sentence for every model that is deployed and retired, or retires soon."""
        today = datetime.now(UTC).date()
        sentences = []
        deployed = {name for row in self.table.deployments if not row.stand_in for name in row.models}
        for model in self.table.models.values():
            if model.name in deployed and model.retires and model.retires <= today + within:
                word = "retired" if model.retires <= today else "retires"
                after = f"; its successor is {model.successor}" if model.successor else "; the table names no successor"
                sentences.append(f"{model.name} {word} on {model.retires}{after}")
        return sentences

    def _read(self) -> None:
        base, rows = read_table(shipped_rows(), self._file, self._env, self._place)
        explicit = tuple(map(self._placed, (*rows, *explicit_rows(base, self._env))))
        self._base = base
        # Where an operator named an upstream, a stand-in must not answer in its place.
        self._rows = explicit or stand_ins(base, self._env)
        self.table = replace(base, deployments=tuple(row for row in explicit if row.deployment))
        self._file_version = self._version()

    def _placed(self, row: Deployment) -> Deployment:
        """The row with the region and residency of the catalogue of regions, where it names none itself."""
        if self._place is None or row.region:
            return row
        region, residency = self._place.where(row.name)
        return replace(row, region=region, residency=row.residency or residency)

    def _version(self) -> object:
        try:
            stat = self._file.stat() if self._file else None
        except OSError:
            return self._file_version
        return stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    async def close(self) -> None:
        """Stop looking."""
        tasks = [task for task in (self._forever, self._looking) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Ask every server whose models are not known what it serves; simultaneous callers share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if self._version() != self._file_version:
                    log.info("the table file changed; reading it again")
                    self._file_version = self._version()
                    self._read()
                if any(not row.deployment for row in self._rows):
                    await self.look()
                self._warn()
            except ConfigurationError as error:
                log.error("the table stays as it was: %s", error)
            except Exception:
                # The loop must survive anything; the next look may do better.
                log.exception("looking for upstreams failed")

    def _warn(self) -> None:
        today = datetime.now(UTC).date()
        if today != self._warned:
            self._warned = today
            for sentence in self.retirements():
                log.warning("%s", sentence)

    async def _look(self) -> None:
        found = await asyncio.gather(*(self._ask(row) for row in self._rows))
        rows = tuple(row for row in found if isinstance(row, Deployment))
        silent = [row for row in found if isinstance(row, str)]
        advice = ADVICE if not silent else f"{ADVICE} ({'; '.join(silent)})"
        before = {row.name: row.deployment for row in self.table.deployments}
        self.table = replace(self._base, deployments=rows, advice=advice)
        now = {row.name: row.deployment for row in rows}
        if before != now or not now:
            known = ", ".join(f"{name} ({served})" for name, served in now.items())
            log.info("upstreams now: %s", known or f"none; {advice}")

    async def _ask(self, row: Deployment) -> Deployment | str:
        if row.deployment:
            return row
        try:
            served = await self._client.models(row.upstream, timeout_s=PROBE_S)
        except Failed as error:
            return f"{row.name} at {row.upstream.url} {error.failure.cause}"
        talking = [name for name in served if "embed" not in name.lower()]
        if not talking:
            return f"{row.name} at {row.upstream.url} has no model"
        return stand_in_row(row, talking[0])
