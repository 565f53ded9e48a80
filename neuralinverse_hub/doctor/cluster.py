"""Looking at a Kubernetes cluster: one permission, and one pod that shows whether images start and policies hold.

The pod runs the workspace image and listens; a policy lets nothing in. The kubelet's own probe still reaches it, so a pod that
is ready and cannot be connected to is one that the policy protects. Pod and policy are removed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

__all__ = ["Seen", "look"]

_PORT = 8888
_LABELS = {"app.kubernetes.io/component": "neuralinverse-doctor"}
_FAILED = {
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerError",
    "RunContainerError",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """See `neuralinverse_hub.doctor.findings.Facts`."""

    may_patch_pods: bool | None = None
    image_problem: str | None = None
    policy_enforced: bool | None = None


async def look(namespace: str, image: str | None, timeout_s: float = 120) -> Seen:
    """What the cluster of this pod, or of ``KUBECONFIG``, shows. Without ``image`` no pod is started.

    Raises what kubernetes_asyncio raises when there is no cluster, or it refuses to be looked at.
    """
    from kubernetes_asyncio import client, config

    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config()
    async with client.ApiClient() as api:
        review = client.V1SelfSubjectAccessReview(
            spec=client.V1SelfSubjectAccessReviewSpec(
                resource_attributes=client.V1ResourceAttributes(namespace=namespace, verb="patch", resource="pods")
            )
        )
        answer = await client.AuthorizationV1Api(api).create_self_subject_access_review(review)
        allowed = bool(answer.status.allowed)
        if not image:
            return Seen(allowed)
        problem, enforced = await _pod(client, api, namespace, image, timeout_s)
        return Seen(allowed, problem, enforced)


async def _pod(client: Any, api: Any, namespace: str, image: str, timeout_s: float) -> tuple[str | None, bool | None]:
    core, network = client.CoreV1Api(api), client.NetworkingV1Api(api)
    name = f"neuralinverse-doctor-{time.time_ns() // 1_000_000}"
    labels = {**_LABELS, "neuralinverse-doctor": name}
    meta = {"name": name, "labels": labels}
    policy = {"metadata": meta, "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}}
    await network.create_namespaced_network_policy(namespace, policy)
    try:
        await core.create_namespaced_pod(namespace, {"metadata": meta, "spec": _spec(image)})
        ip, problem = await _started(core, namespace, name, timeout_s)
        return (problem, None) if not ip else ("", not await _connects(ip))
    finally:
        for delete in (core.delete_namespaced_pod, network.delete_namespaced_network_policy):
            with contextlib.suppress(client.ApiException):
                await delete(name, namespace, grace_period_seconds=0)


def _spec(image: str) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "probe",
                "image": image,
                "command": ["python3", "-m", "http.server", str(_PORT), "--directory", "/var/empty"],
                "ports": [{"containerPort": _PORT}],
                "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


async def _started(core: Any, namespace: str, name: str, timeout_s: float) -> tuple[str | None, str]:
    """(address, "") of the ready pod, or (None, why there is none)."""
    deadline = time.monotonic() + timeout_s
    why = "the pod was not looked at"
    while time.monotonic() < deadline:
        pod = await core.read_namespaced_pod(name, namespace)
        states = pod.status.container_statuses or []
        for state in states:
            if state.ready:
                return pod.status.pod_ip, ""
            waiting = state.state.waiting
            if waiting and waiting.reason in _FAILED:
                return None, f"{waiting.reason}: {waiting.message or 'no more is known'}"
        why = f"its pod was still {pod.status.phase} after {timeout_s:.0f} s"
        await asyncio.sleep(0.5)
    return None, why


async def _connects(ip: str) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(ip, _PORT), 5)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
