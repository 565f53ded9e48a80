"""What an operator asks of the warm pool while the hub runs: ``/hub/api/neuralinverse/pool``.

Only for a token or a session with the scope ``admin:servers`` for everybody's servers. What is changed here lasts until the
hub ends; what is to last longer stands in the hub's configuration.
"""

from __future__ import annotations

import json
from dataclasses import replace

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.scopes import Scope
from tornado import web

from spawner.outages import AWAY
from spawner.pool import BadPool, Bounds, count
from spawner.warm import WarmPool, words

__all__ = ["changed", "handlers"]


def handlers() -> list[tuple[str, type[web.RequestHandler]]]:
    """For ``c.JupyterHub.extra_handlers``."""
    return [("/api/neuralinverse/pool", PoolHandler), ("/api/neuralinverse/pool/leave", LeaveHandler)]


def changed(size: str, bounds: Bounds, wishes: object) -> Bounds:
    """``bounds`` with ``wishes``: ``{"paused": true}``, ``{"fixed": 5}``, ``{"fixed": null}``. Raises `BadPool`."""
    if not isinstance(wishes, dict) or not wishes or wishes.keys() - {"paused", "fixed"}:
        raise BadPool(f'pool of {size!r}: {wishes!r} is no change; write {{"paused": true}} or {{"fixed": 5}}')
    if "paused" in wishes:
        if not isinstance(wishes["paused"], bool):
            raise BadPool(f"pool of {size!r}: paused is {wishes['paused']!r}; write true or false")
        bounds = replace(bounds, paused=wishes["paused"])
    if "fixed" in wishes:
        fixed = wishes["fixed"]
        if fixed is not None and count(size, "fixed", fixed) > bounds.max:
            raise BadPool(f"pool of {size!r}: fixed is {fixed}, and the configuration allows {bounds.max} at most")
        bounds = replace(bounds, fixed=fixed)
    return bounds


class _OperatorHandler(APIHandler):  # type: ignore[misc]  # no types
    """For whoever may stop everybody's servers; the pool is nobody else's business."""

    pool: WarmPool

    async def prepare(self) -> None:
        # Who asks is known after the hub's own preparations only.
        await super().prepare()
        if self.current_user is None or self.parsed_scopes.get("admin:servers") is not Scope.ALL:
            raise web.HTTPError(403, "The pool is for operators: a token with the scope admin:servers")
        from spawner.kube import NeuralInverseSpawner

        if NeuralInverseSpawner.warm_pool is None:
            raise web.HTTPError(404, "This hub keeps no warm pool; c.NeuralInverseSpawner.pool says of which sizes")
        self.pool = NeuralInverseSpawner.warm_pool

    def finish_pools(self) -> None:
        self.finish(
            json.dumps(
                {
                    size: {
                        "min": bounds.min,
                        "max": bounds.max,
                        "fixed": bounds.fixed,
                        "paused": bounds.paused,
                        **self.pool.counts.get(size, {}),
                        "failing": self.pool.failing(size),
                    }
                    for size, bounds in self.pool.bounds.items()
                }
            )
        )


class PoolHandler(_OperatorHandler):
    """``GET``: the pool of each size. ``PATCH {"small": {"paused": true}}``: a change, and the same answer."""

    def get(self) -> None:
        self.finish_pools()

    def patch(self) -> None:
        wishes = self.get_json_body()
        if not isinstance(wishes, dict) or not wishes:
            raise web.HTTPError(400, 'Write {"<size>": {"paused": true}} or {"<size>": {"fixed": 5}}')
        if unknown := sorted(wishes.keys() - self.pool.bounds.keys()):
            raise web.HTTPError(404, f"No pool of size {unknown[0]!r}; there is one of {', '.join(self.pool.bounds)}")
        try:
            # All or nothing.
            new = {size: changed(size, self.pool.bounds[size], wish) for size, wish in wishes.items()}
        except BadPool as error:
            raise web.HTTPError(400, str(error)) from error
        for size, bounds in new.items():
            self.pool.change(size, bounds)
            self.log.info("%s changed the pool of size %s: %s", self.current_user.name, size, wishes[size])
        self.finish_pools()


class LeaveHandler(_OperatorHandler):
    """``POST {"node": "worker-3"}``: delete the unclaimed pods there; answers ``{"deleted": 2}``."""

    async def post(self) -> None:
        body = self.get_json_body()
        node = body.get("node") if isinstance(body, dict) else None
        if not isinstance(node, str) or not node:
            raise web.HTTPError(400, 'Write {"node": "<its name>"}')
        try:
            deleted = await self.pool.leave(node)
        except AWAY as error:
            raise web.HTTPError(502, f"The cluster did not answer ({words(error)}); ask again") from error
        self.log.info("%s took %d warm pods off node %s", self.current_user.name, deleted, node)
        self.finish(json.dumps({"deleted": deleted}))
