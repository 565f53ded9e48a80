"""Workspaces as pods of a Kubernetes cluster: KubeSpawner, with what makes a server a workspace, and a warm pool.

All of KubeSpawner's configuration keeps working. A start takes a warm pod where one waits that was made exactly as this
start would make it; else it makes a new pod, and the person reads why.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Final

import aiohttp
from kubernetes_asyncio.client import ApiException
from kubespawner import KubeSpawner
from traitlets import Dict, Integer, TraitError, default, validate

from spawner import metrics, pods, progress, restores
from spawner.image import ImageMixin
from spawner.outages import OutageMixin
from spawner.pool import BadPool, parse_bounds
from spawner.sizes import find, parse_sizes
from spawner.warm import NoWarmPod, WarmPool, answers, words

__all__ = ["CannotStart", "NeuralInverseSpawner", "keep_warm"]

_RESTORE_PATIENCE_S: Final = 20.0
"""A restore that takes longer goes on behind an editor that waits for it."""


class CannotStart(Exception):
    """The cluster refused the pod. ``jupyterhub_message`` is what the hub shows to the person."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.jupyterhub_message = message


class NeuralInverseSpawner(ImageMixin, OutageMixin, KubeSpawner):  # type: ignore[misc]  # KubeSpawner ships no types
    """Starts a workspace as a pod. Its files live in Git snapshots, so it needs no volume."""

    pool = Dict(
        help="""
        How many pods of a size wait ready: ``{"small": {"min": 2, "max": 20}}``. Between the two the number follows what
        came within the last half hour. ``schedule`` lifts the minimum at times (``{"days": "mon-fri", "from": "07:30",
        "to": "10:00", "zone": "Europe/Berlin", "min": 8}``), ``fixed`` sets the number, ``paused`` makes no new ones. A
        size that is not named has no pool. Waiting pods hold their CPUs and memory.
        """,
    ).tag(config=True)

    pool_grace_period = Integer(
        120,
        help="""
        Seconds that a claimed pod may be unknown to the hub before it is deleted: a hub that died in the middle of a claim
        leaves one behind.
        """,
    ).tag(config=True)

    warm_pool: ClassVar[WarmPool | None] = None
    """The hub's, once it is kept; `keep_warm` sets it."""

    node_name = ""
    """The node of the pod, once it has one."""

    _cold_reason = ""
    _own_events: tuple[dict[str, Any], ...] = ()
    _claimed_at: datetime | None = None

    @validate("pool")
    def _check_pool(self, proposal: Any) -> dict[str, Any]:
        try:
            for size, written in proposal["value"].items():
                parse_bounds(size, written)
        except BadPool as error:
            raise TraitError(str(error)) from error
        return dict(proposal["value"])

    # What a pod needs to meet Kubernetes' restricted Pod Security standard. The chart's values say the same, for those
    # who read there.

    @default("container_security_context")
    def _default_container_security_context(self) -> dict[str, Any]:
        return {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }

    @default("delete_grace_period")
    def _default_delete_grace_period(self) -> int:
        # The agent ends the server and then brings the last changes to the Git host: 18 s at most.
        return 30

    async def get_pod_manifest(self) -> Any:
        manifest = await super().get_pod_manifest()
        spec = manifest.spec
        if spec.termination_grace_period_seconds is None:
            # For a node that is drained, where the hub is not asked.
            spec.termination_grace_period_seconds = max(30, self.delete_grace_period)
        container = next(each for each in spec.containers if each.name == pods.CONTAINER)
        # Behind a Service the hub reaches none but ready pods, and would wait for the probe's next turn.
        if container.readiness_probe is None and not (self.internal_ssl or self.services_enabled):
            container.readiness_probe = {
                "tcpSocket": {"port": "notebook-port"},
                "periodSeconds": 10,
                "timeoutSeconds": 3,
                "failureThreshold": 3,
            }
        return manifest

    def is_pod_running(self, pod: Any) -> bool:
        """KubeSpawner's, but for the container of the server: the hub asks that one itself, and sooner than a probe."""
        if pod is None or pod["status"].get("phase") != "Running" or not pod["status"].get("podIP"):
            return False
        if "deletionTimestamp" in pod["metadata"]:
            return False
        return all(
            "running" in (each.get("state") or {}) if each["name"] == pods.CONTAINER else each["ready"]
            for each in pod["status"].get("containerStatuses") or ()
        )

    # -- a start -------------------------------------------------------------------------------------------------------

    def start(self) -> Any:
        """As KubeSpawner's, under way at once and held: with it ends `progress`, also where it fails before the pod."""
        self._start_future = asyncio.ensure_future(super().start())
        return self._start_future

    async def _start(self) -> Any:
        began = time.perf_counter()
        size = self.size_name or "none"
        self._cold_reason = ""
        self._own_events, self._claimed_at = (), None
        try:
            url = await self._start_warm(size)
            kind = "warm"
        except NoWarmPod as error:
            metrics.COLD_STARTS.labels(size, error.reason).inc()
            self.log.info("Starting a new pod for %s: %s", self._log_name, error)
            self._cold_reason = str(error)
            url, kind = await self._start_cold(), "cold"
            self.node_name = self._node_of(self.pod_reflector.pods.get(f"{self.namespace}/{self.pod_name}"))
        metrics.START_SECONDS.labels(size, kind).observe(time.perf_counter() - began)
        await self._follow_restore(url, size)
        return url

    async def _follow_restore(self, url: str, size: str) -> None:
        """Let the person read how their work comes back; the editor opens no sooner anyway."""
        if self.internal_ssl or self.server is None or not (self.git_url or self.git_accounts):
            return

        def tell(restore: restores.Restore) -> None:
            if said := restores.words(restore):
                self._tell(said)

        # Straight to the pod: a proxy of the environment has no business with what is sent here.
        async with aiohttp.ClientSession(trust_env=False) as session:
            base = f"{url}{self.server.base_url}"
            if not await answers(session, f"{base}api", self.http_timeout):
                return
            patience_s = min(_RESTORE_PATIENCE_S, self.start_timeout / 3)
            restore = await restores.follow(session, base, self.api_token, tell, patience_s)
        if restore is None:
            return
        outcome = "restored" if restore.files else "nothing"
        metrics.RESTORES.labels(size, outcome if restore.over else "going on").inc()
        if restore.over and restore.files:
            metrics.RESTORE_SECONDS.labels(size).observe(restore.seconds)

    def _tell(self, said: str) -> None:
        """Add a step to the progress page, in the shape of the cluster's own events, which KubeSpawner makes it of."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        event = {"reason": progress.OURS, "message": said, "type": "Normal", "lastTimestamp": at}
        self._own_events += ({**event, "metadata": {"uid": said}, "involvedObject": {"name": self.pod_name}},)

    @property
    def events(self) -> list[dict[str, Any]]:
        """KubeSpawner's, those of the cluster about this pod, and behind them ours.

        Not those from before a warm pod was claimed: that it found a machine then is no step of this start.
        """
        return [*(event for event in super().events if progress.since(event, self._claimed_at)), *self._own_events]

    async def _start_cold(self) -> Any:
        """KubeSpawner's start; what the cluster refuses becomes a sentence for the person. Raises `CannotStart`."""
        try:
            return await super()._start()
        except ApiException as error:
            said = words(error)
            event = {"reason": "FailedCreate", "message": said}
            raise CannotStart(progress.words(event) or said) from error
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise CannotStart(
                "The cluster does not answer at the moment, so nothing can be started. Workspaces that run go on, and "
                f"nothing is lost; try again in a minute ({words(error)})."
            ) from error

    async def _start_warm(self, size: str) -> str:
        """The address of a warm pod that is this person's now. Raises `NoWarmPod`."""
        if self.warm_pool is None:
            raise NoWarmPod("no-pool", "no workspaces are kept warm here")
        if own := self._own_wishes():
            raise NoWarmPod("own-pod", own)
        await self.load_user_options()
        template = pods.template_of(await self._manifest(), _secret(self))
        pod = await self.warm_pool.claim(size, template)
        self.pod_name = pod["metadata"]["name"]
        self._claimed_at = datetime.now(UTC)
        self._tell("Took a workspace that was ready")
        self.dns_name = self.dns_name_template.format(namespace=self.namespace, name=self.pod_name)
        self.pod_id = pod["metadata"]["uid"]
        self.node_name = self._node_of(pod)
        # Polls look there; it has seen this pod long ago.
        await self._start_watching_pods()
        url = str(self._get_pod_url(pod))
        return url

    @staticmethod
    def _node_of(pod: pods.Pod | None) -> str:
        return str((pod or {}).get("spec", {}).get("nodeName") or "")

    # The node is for operators, who may read servers' state; a pod never changes its node.

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        if self.node_name:
            state["node"] = self.node_name
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.node_name = str(state.get("node", ""))

    def clear_state(self) -> None:
        super().clear_state()
        self.node_name = ""

    def _own_wishes(self) -> str:
        """Why no pod that was made ahead can do for this start; empty when one can."""
        if self.storage_pvc_ensure:
            return "the workspace has a volume of its own"
        if self.profile_list:
            return "the workspace has a profile of its own"
        if self.internal_ssl or self.services_enabled:
            return "the workspace has certificates or an address of its own"
        if self.enable_user_namespaces:
            return "the workspace has a namespace of its own"
        if self.modify_pod_hook or self.after_pod_created_hook:
            return "the operator's own hook has to see the pod before it starts"
        return ""

    async def _manifest(self) -> pods.Pod:
        """The pod of this start, as the API's JSON."""
        return dict(self.api.api_client.sanitize_for_serialization(await self.get_pod_manifest()))

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """The steps of a start in a person's words; KubeSpawner's events go along as ``raw_event``."""
        told: set[str] = set()
        if self.warm_pool is not None:
            yield {"progress": 5, "message": "Looking for a workspace that is ready"}
        async for step in super().progress():
            if self._cold_reason and "cold" not in told:
                told.add("cold")
                yield {"progress": 10, "message": f"Starting a new one: {self._cold_reason}"}
            event = step.get("raw_event")
            if event is None:
                yield step
                continue
            said = progress.words(event)
            if said and said not in told:
                told.add(said)
                yield {**step, "message": said}


def _secret(spawner: NeuralInverseSpawner) -> bytes:
    """What nonces are made from: follows from the hub's own secret, or else lives as long as the hub's process."""
    if spawner.sync_secret_file:
        return b"pool:" + Path(spawner.sync_secret_file).read_bytes()
    return _OF_THIS_PROCESS


_OF_THIS_PROCESS = secrets.token_bytes(32)


async def keep_warm(app: Any) -> None:
    """Keep the pools of ``app``, a JupyterHub whose spawner is ours, for as long as it runs. Returns when it has none."""

    def somebody() -> NeuralInverseSpawner:
        """A start of nobody's, for the part of it that is everybody's."""
        user = SimpleNamespace(
            name="nobody",
            id=0,
            url=f"{app.hub.base_url.removesuffix('hub/')}user/nobody/",
            escaped_name="nobody",
            authenticator=None,
            settings={},
            server=None,
            cookie_name="",
        )
        made: NeuralInverseSpawner = app.spawner_class(
            parent=app,
            user=user,
            hub=app.hub,
            orm_spawner=SimpleNamespace(name="", server=None),
            api_token="",
            server_token_scopes=[],
        )
        return made

    first = somebody()
    if not first.pool:
        return
    secret = _secret(first)
    sizes = parse_sizes(first.sizes)
    bounds = {size: parse_bounds(size, written) for size, written in first.pool.items()}
    for size in bounds:
        find(sizes, size)
    if own := first._own_wishes():
        first.log.error("The pool is of no use and is not kept: %s", own)
        return

    async def template(size: str) -> pods.Template:
        spawner = somebody()
        spawner.apply_size(sizes[size])
        return pods.template_of(await spawner._manifest(), secret)

    def known() -> set[str]:
        return {
            spawner.pod_name
            for user in list(app.users.values())
            for spawner in list(user.spawners.values())
            if spawner.active or spawner.pending
        }

    grace = timedelta(seconds=first.pool_grace_period)
    pool = WarmPool(first.api, first.namespace, bounds, template, known, secret, app.log, grace)
    NeuralInverseSpawner.warm_pool = pool
    await pool.run()
