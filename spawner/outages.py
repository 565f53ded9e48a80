"""A cluster that does not answer is not a cluster without pods: what KubeSpawner does then, put right.

KubeSpawner watches pods in one task for all people. Without a namespace per person that task ends in silence once the API
has been away for about fifty seconds, and what it last saw counts as the truth for ever; and where the first look fails,
there seem to be no pods, so every workspace counts as ended. A pod of a node that is gone stays "running" until somebody
takes it off the cluster. See https://github.com/jupyterhub/kubespawner, ``reflector.py`` and ``poll`` in ``spawner.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
from kubernetes_asyncio.client import ApiException, V1DeleteOptions
from traitlets import HasTraits

from spawner.warm import words

__all__ = ["AWAY", "OutageMixin", "overdue"]

AWAY: Final = (ApiException, aiohttp.ClientError, OSError)
"""What asking a cluster raises that does not answer, or not now. A timeout is an OSError."""
PATIENCE_S: Final = 15.0
"""A node that is there deletes a pod within its grace period and some seconds."""


def overdue(pod: Mapping[str, Any], now: datetime, patience_s: float = PATIENCE_S) -> bool:
    """Whether ``pod`` should have been gone for ``patience_s``: its node does not do what it is told.

    A pod's deletionTimestamp is when it is to be gone, the grace period included (Kubernetes API, ObjectMeta).
    """
    due = pod["metadata"].get("deletionTimestamp")
    return bool(due) and now - datetime.fromisoformat(str(due)) > timedelta(seconds=patience_s)


class OutageMixin(HasTraits):
    """Put it before KubeSpawner."""

    # What KubeSpawner brings.
    namespace: str
    pod_name: str
    delete_grace_period: int
    k8s_api_request_timeout: int
    reflectors: dict[Any, Any]
    pod_reflector: Any
    log: Any
    _log_name: str

    _unanswered = False

    async def _start_reflector(self, kind: str, reflector_class: Any, replace: bool = False, **more: Any) -> Any:
        """KubeSpawner's; a watch that has given up is begun anew."""
        there = self.reflectors.get(self._get_reflector_key(kind))  # type: ignore[attr-defined]  # KubeSpawner's
        # Nothing is awaited between this look and KubeSpawner's own, so many who ask at once begin one watch.
        return await super()._start_reflector(  # type: ignore[misc]  # KubeSpawner's
            kind, reflector_class, replace=replace or (there is not None and _gave_up(there)), **more
        )

    async def poll(self) -> int | None:
        """KubeSpawner's; what cannot be asked about counts as running, and what its node does not end as ended."""
        try:
            code: int | None = await super().poll()  # type: ignore[misc]  # KubeSpawner's
        except AWAY as error:
            if not self._unanswered:
                self.log.warning("The cluster does not say how %s is: %s", self._log_name, words(error))
            self._unanswered = True
            return None
        self._unanswered = False
        pod = self.pod_reflector.pods.get(f"{self.namespace}/{self.pod_name}")
        if code is None and pod is not None and overdue(pod, datetime.now(UTC)):
            await self._take_off()
            return 1
        return code

    async def stop(self, now: bool = False) -> None:
        """KubeSpawner's; a pod that its node does not end is taken off the cluster."""
        async with self._insisting(now):
            await super().stop(now=now)  # type: ignore[misc]  # KubeSpawner's

    @contextlib.asynccontextmanager
    async def _insisting(self, now: bool) -> AsyncIterator[None]:
        async def insist() -> None:
            await asyncio.sleep(self.delete_grace_period + PATIENCE_S)
            await self._take_off()

        # Without a grace period the cluster itself forgets the pod at once.
        task = None if now else asyncio.ensure_future(insist())
        try:
            yield
        finally:
            if task is not None:
                task.cancel()

    async def _take_off(self) -> None:
        """Delete the pod without waiting for its node. What goes on there is refused by the git host as outdated."""
        self.log.warning("The node of %s does not end it; the pod is taken off the cluster", self._log_name)
        options = V1DeleteOptions(grace_period_seconds=0)
        try:
            await self._make_delete_pod_request(  # type: ignore[attr-defined]  # KubeSpawner's
                self.pod_name, options, 0, self.k8s_api_request_timeout
            )
        except AWAY as error:
            self.log.warning("The pod of %s could not be taken off yet: %s", self._log_name, words(error))


def _gave_up(reflector: Any) -> bool:
    """Whether nothing will ever change what ``reflector`` shows."""
    loaded, task = reflector.first_load_future, reflector.watch_task
    if loaded.done() and (loaded.cancelled() or loaded.exception()):
        return True
    return task is not None and bool(task.done())
