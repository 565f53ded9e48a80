"""The warm pool at work: keeps the pods that `spawner.pool` wants, and gives one to a start.

One `WarmPool` per hub, in the hub's own process and loop. It holds no state that matters: what is claimed is written on
the pods, and whose they are in the hub's database, so a hub that was killed at any moment finds everything again.

Guarantees, each with a test on a real cluster:

- a pod is given to one start only, whoever asks at the same time: the cluster decides, by one patch;
- a pod whose claim went wrong in any way is deleted and never offered again;
- an unclaimed pod is deleted only as it was seen: one that is claimed meanwhile stays.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
from kubernetes_asyncio.client import ApiException, V1DeleteOptions, V1Preconditions

from neuralinverse_hub import wire
from spawner import metrics, pods
from spawner.pool import MEMORY, Bounds, Health, Plan, plan, wanted

__all__ = ["NoWarmPod", "WarmPool", "answers", "words"]

ROUND_S: Final = 5.0
"""Between two rounds when nothing happens; a claim starts the next one at once."""
SETTLE_S: Final = 5.0
"""After a claim, before new pods are made: loading one takes seconds of a CPU, and the person who just came is starting on
what may be the same one."""
_ATTEMPTS: Final = 3
"""Pods that one start tries: after that many failures the pool itself is in trouble, and a new pod is quicker."""
_ANSWER_S: Final = 5.0
"""For a warm pod to take its environment; it has nothing else to do."""
_REQUEST_S: Final = 20.0

TemplateOf = Callable[[str], Awaitable[pods.Template]]
"""The template of a size's pods, as a start without a person's own wishes would make it."""


class NoWarmPod(Exception):
    """There is none for this start. ``reason`` is a word for metrics, the text a part of a sentence for the person."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class WarmPool:
    """The pools of all sizes in one namespace."""

    def __init__(
        self,
        api: Any,
        namespace: str,
        bounds: Mapping[str, Bounds],
        template: TemplateOf,
        known: Callable[[], Iterable[str]],
        secret: bytes,
        log: Any,
        grace: timedelta = timedelta(minutes=2),
    ) -> None:
        self._api = api
        self._namespace = namespace
        self.bounds = dict(bounds)
        """By size; may be changed while it runs."""
        self._template = template
        self._known = known
        self._secret = secret
        self._log = log
        self._grace = grace
        self._claims: dict[str, deque[datetime]] = defaultdict(deque)
        self._health: dict[str, Health] = defaultdict(Health)
        self._taken: set[str] = set()
        """Pods that a start is at, so that two starts do not ask the cluster for the same one."""
        self._wake = asyncio.Event()
        self._claimed_since: dict[str, float] = {}
        """When the first pod was claimed since new ones were made, by the monotonic clock."""
        self._session: aiohttp.ClientSession | None = None
        self.counts: dict[str, dict[str, int]] = {}
        """By size: how many are ``wanted``, and ``ready``, ``loading`` and ``claimed`` at the last look."""

    # -- a start -------------------------------------------------------------------------------------------------------

    async def claim(self, size: str, template: pods.Template) -> pods.Pod:
        """A warm pod of ``template`` that has ``template.environment`` now. Raises `NoWarmPod`."""
        if size not in self.bounds:
            raise NoWarmPod("no-pool", f"there is no pool of size {size}")
        self._remember(size)
        began = time.perf_counter()
        for _ in range(_ATTEMPTS):
            candidate = await self._candidate(template)
            name = candidate["metadata"]["name"]
            self._taken.add(name)
            try:
                if not await self._take(name, template):
                    continue
                await self._hand_over(candidate, template)
            except Exception as error:
                self._log.warning("The warm pod %s could not be used and is deleted: %s", name, words(error))
                await self._delete_quietly(name)
                continue
            except asyncio.CancelledError:
                # The start was given up; whoever has half an environment is nobody's workspace.
                await asyncio.shield(self._delete_quietly(name))
                raise
            finally:
                self._taken.discard(name)
                self._wake.set()
            self._claimed_since.setdefault(size, time.monotonic())
            metrics.CLAIMS.labels(size).inc()
            metrics.CLAIM_SECONDS.labels(size).observe(time.perf_counter() - began)
            return candidate
        raise NoWarmPod("failed", "the warm workspaces did not answer")

    async def _candidate(self, template: pods.Template) -> pods.Pod:
        """The warm pod that has waited longest."""
        selector = f"{pods.STATE}={pods.WARM},{pods.TEMPLATE}={template.key}"
        try:
            listed = await self._list(selector)
        except Exception as error:
            raise NoWarmPod("api", f"the cluster did not answer ({words(error)})") from error
        now = datetime.now(UTC)
        free = [pod for pod in listed if pod["metadata"]["name"] not in self._taken]
        ready = [each for each in (pods.seen(pod, frozenset(), now) for pod in free) if each.ready and not each.leaving]
        if not ready:
            if listed:
                raise NoWarmPod("empty", "all warm workspaces are taken or still loading")
            raise NoWarmPod("other-template", "no workspace like this one is kept warm")
        oldest = min(ready, key=lambda each: (each.since, each.name)).name
        return next(pod for pod in free if pod["metadata"]["name"] == oldest)

    async def _take(self, name: str, template: pods.Template) -> bool:
        """Whether ``name`` is ours now. Raises when that is not known."""
        patch = pods.claim_patch(template, datetime.now(UTC))
        try:
            await self._ask(
                self._api.patch_namespaced_pod,
                name,
                self._namespace,
                patch,
                _content_type="application/json-patch+json",
            )
        except ApiException as error:
            # 422: the test in the patch failed, so another start has it. 404 and 409: it is gone or just changing.
            if error.status in (404, 409, 422):
                return False
            raise
        return True

    async def _hand_over(self, pod: pods.Pod, template: pods.Template) -> None:
        """Give ``pod`` its environment. Raises unless it said that it took it."""
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        container = next(each for each in pod["spec"]["containers"] if each["name"] == pods.CONTAINER)
        port = next(each["containerPort"] for each in container["ports"] if each.get("name") == "notebook-port")
        host = f"[{address}]" if ":" in address else address
        headers = {"Authorization": f"Bearer {pods.nonce(self._secret, name)}"}
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with self._client().post(
            f"http://{host}:{port}{wire.CLAIM_PATH}",
            json={"environment": template.environment},
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
        ) as answer:
            if answer.status != 200:
                # What it said may be anything: the workspace's side is not trusted with our log.
                raise RuntimeError(f"it answered {answer.status}")

    def _remember(self, size: str) -> None:
        now = datetime.now(UTC)
        claims = self._claims[size]
        claims.append(now)
        while claims and now - claims[0] > MEMORY:
            claims.popleft()

    # -- keeping the stock ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep what is wanted, for ever; a cluster that is away is tried again, and said once."""
        away = False
        try:
            while True:
                self._wake.clear()
                try:
                    await self.round()
                    if away:
                        self._log.info("The warm pool is kept again")
                    away = False
                except Exception as error:
                    if not away:
                        self._log.warning("The warm pool cannot be kept for now: %s", words(error))
                    away = True
                try:
                    await asyncio.wait_for(self._wake.wait(), ROUND_S)
                    # Several starts at once are one reason to look, and a template that fails is no reason for a storm.
                    await asyncio.sleep(0.2)
                except TimeoutError:
                    pass
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up its connections; pods stay."""
        if self._session is not None:
            await self._session.close()

    async def round(self) -> None:
        """Look once, and do what is due."""
        now = datetime.now(UTC)
        listed = await self._list(pods.STATE)
        known = frozenset(self._known()) | frozenset(self._taken)
        by_size: dict[str, list[pods.Pod]] = defaultdict(list)
        for pod in listed:
            by_size[pod["metadata"]["labels"].get(pods.SIZE, "")].append(pod)
        for size in {*self.bounds, *by_size}:
            bounds = self.bounds.get(size, Bounds())
            template = await self._template(size) if size in self.bounds else None
            there = [pods.seen(pod, known, now) for pod in by_size[size]]
            want = wanted(bounds, now, self._claims[size])
            due = plan(
                template.key if template else "",
                want,
                there,
                now,
                self._health[size],
                paused=bounds.paused,
                grace=self._grace,
            )
            self._show(size, want, there)
            self._judge(size, due, there, template, now)
            await self._carry_out(size, due, template, {pod["metadata"]["name"]: pod for pod in by_size[size]})

    def _judge(self, size: str, due: Plan, there: Iterable[Any], template: pods.Template | None, now: datetime) -> None:
        health = self._health[size]
        if due.broken:
            self._health[size] = health.failed(now, due.broken)
            metrics.POOL_FAILURES.labels(size).inc()
            if due.broken != health.reason:
                self._log.error(
                    "Warm workspaces of size %s do not start: %s. People get new pods, which will fail in the same way; "
                    "look at the image and at the size. Trying again ever more seldom.",
                    size,
                    due.broken,
                )
        elif health.failures and template and any(each.ready and each.template == template.key for each in there):
            self._log.info("Warm workspaces of size %s start again", size)
            self._health[size] = Health()

    async def _carry_out(
        self, size: str, due: Plan, template: pods.Template | None, listed: Mapping[str, pods.Pod]
    ) -> None:
        for name in due.drain:
            await self._delete(name, version=listed[name]["metadata"]["resourceVersion"])
        for name in due.sweep:
            self._log.warning("The pod %s was claimed, and no workspace knows it; deleting it", name)
            await self._delete(name)
        if template is None or time.monotonic() - self._claimed_since.get(size, -math.inf) < SETTLE_S:
            return
        self._claimed_since.pop(size, None)
        for _ in range(due.create):
            pod = pods.warm_pod(template, size, f"workspace-{size}-{secrets.token_hex(5)}", self._secret)
            try:
                await self._ask(self._api.create_namespaced_pod, self._namespace, pod)
            except ApiException as error:
                # A quota that is used up, or a policy: not cured by the next one.
                reason = words(error)
                if self._health[size].reason != reason:
                    self._log.error("No warm workspace of size %s can be made: %s", size, reason)
                self._health[size] = self._health[size].failed(datetime.now(UTC), reason)
                return

    def _show(self, size: str, want: int, there: Iterable[Any]) -> None:
        metrics.POOL_WANTED.labels(size).set(want)
        counted = {"ready": 0, "loading": 0, "claimed": 0}
        for each in there:
            counted["claimed" if each.claimed else "ready" if each.ready else "loading"] += 1
        for state, count in counted.items():
            metrics.POOL_PODS.labels(size, state).set(count)
        self.counts[size] = {"wanted": want, **counted}

    # -- an operator's wishes ------------------------------------------------------------------------------------------

    def change(self, size: str, bounds: Bounds) -> None:
        """Keep ``bounds`` of ``size`` from now on, until the hub ends."""
        self.bounds[size] = bounds
        self._wake.set()

    def failing(self, size: str) -> str:
        """Why pods of ``size`` do not become ready at present; empty when they do."""
        return self._health[size].reason if self._health[size].failures else ""

    async def leave(self, node: str) -> int:
        """Delete the unclaimed pods on ``node``; how many. Where new ones go, the cluster decides."""
        here = [pod for pod in await self._list(f"{pods.STATE}={pods.WARM}") if pod["spec"].get("nodeName") == node]
        here = [pod for pod in here if pod["metadata"]["name"] not in self._taken]
        for pod in here:
            await self._delete(pod["metadata"]["name"], version=pod["metadata"]["resourceVersion"])
        self._wake.set()
        return len(here)

    # -- the cluster ---------------------------------------------------------------------------------------------------

    async def _ask(self, call: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> bytes:
        """The bytes that the cluster answered. Raises ApiException when it refused.

        The typed client is asked not to read them into its models: where it cannot, what was done would count as failed.
        """
        answer = await asyncio.wait_for(call(*arguments, _preload_content=False, **more), _REQUEST_S)
        body = bytes(await answer.read())
        if not 200 <= answer.status < 300:
            refused = ApiException(status=answer.status, reason=answer.reason)
            refused.body = body
            raise refused
        return body

    async def _list(self, selector: str) -> list[pods.Pod]:
        answer = await self._ask(self._api.list_namespaced_pod, self._namespace, label_selector=selector)
        return list(json.loads(answer)["items"])

    async def _delete(self, name: str, version: str | None = None) -> None:
        """Delete ``name``; with ``version`` only as it was then."""
        conditions = V1Preconditions(resource_version=version) if version else None
        try:
            await self._ask(
                self._api.delete_namespaced_pod,
                name,
                self._namespace,
                body=V1DeleteOptions(preconditions=conditions, grace_period_seconds=1),
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise

    async def _delete_quietly(self, name: str) -> None:
        try:
            await self._delete(name)
        except Exception as error:
            # It stays claimed and unknown, and is swept.
            self._log.warning("The pod %s could not be deleted yet: %s", name, words(error))

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            # Straight to the pod: a proxy of the environment has no business with what is sent here.
            self._session = aiohttp.ClientSession(trust_env=False)
        return self._session


async def answers(session: aiohttp.ClientSession, url: str, timeout_s: float) -> bool:
    """Whether a server answers at ``url`` within ``timeout_s``, whatever it says.

    The hub looks too, in steps that double from 0.2 s on; a claimed workspace takes about that long in all.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=5), allow_redirects=False):
                return True
        except (aiohttp.ClientError, TimeoutError, OSError):
            await asyncio.sleep(0.02)
    return False


def words(error: BaseException) -> str:
    """The error for a log: an API's own message where there is one, never its headers and bodies."""
    if isinstance(error, ApiException):
        try:
            return str(json.loads(error.body or "")["message"])
        except (TypeError, ValueError, KeyError):
            return f"{error.status} {error.reason}"
    return str(error) or type(error).__name__
