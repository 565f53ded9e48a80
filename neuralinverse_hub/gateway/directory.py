"""Which deployments there are right now: the operator's, or the stand-ins of this machine that answer.

Asks local servers what they serve, at the start, every ``LOOK_S`` seconds, and at once when a request finds nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from neuralinverse_hub.gateway.catalogue import ADVICE, explicit_rows, stand_in_row, stand_ins
from neuralinverse_hub.gateway.router import Deployment, Table
from neuralinverse_hub.gateway.upstreams import Failed, UpstreamClient

__all__ = ["Directory"]

LOOK_S: Final = 20.0
PROBE_S: Final = 2.0

log = logging.getLogger(__name__)


class Directory:
    """The routing table with the deployments that exist now. ``table`` is replaced as a whole, never changed."""

    def __init__(self, base: Table, env: Mapping[str, str], client: UpstreamClient) -> None:
        self._base = base
        self._client = client
        self._explicit = explicit_rows(base, env)
        # Where an operator named an upstream, a stand-in must not answer in its place.
        self._rows = self._explicit or stand_ins(base, env)
        self._looking: asyncio.Task[None] | None = None
        self._forever: asyncio.Task[None] | None = None
        self.table = replace(base, deployments=tuple(row for row in self._explicit if row.deployment))

    async def open(self) -> None:
        """Look once, then keep looking in the background."""
        await self.look()
        if any(not row.deployment for row in self._rows):
            self._forever = asyncio.create_task(self._keep_looking())

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
                await self.look()
            except Exception:
                # The loop must survive anything; the next look may do better.
                log.exception("looking for upstreams failed")

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
