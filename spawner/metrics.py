"""What the hub's ``/metrics`` says about workspaces on Kubernetes. Names and labels; nothing decides here."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

__all__ = [
    "CLAIMS",
    "CLAIM_SECONDS",
    "COLD_STARTS",
    "POOL_FAILURES",
    "POOL_PODS",
    "POOL_WANTED",
    "RESTORES",
    "RESTORE_SECONDS",
    "START_SECONDS",
]

_SECONDS: Final = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 40, 80, 160)

POOL_PODS = Gauge("neuralinverse_pool_pods", "Pods of the warm pool, by size and state.", ["size", "state"])
POOL_WANTED = Gauge("neuralinverse_pool_wanted", "Unclaimed pods that there should be.", ["size"])
POOL_FAILURES = Counter(
    "neuralinverse_pool_failures_total", "Warm pods that never became ready; the hub's log says why.", ["size"]
)
CLAIMS = Counter("neuralinverse_pool_claims_total", "Starts that took a warm pod.", ["size"])
COLD_STARTS = Counter("neuralinverse_cold_starts_total", "Starts that made a new pod, and why.", ["size", "reason"])
CLAIM_SECONDS = Histogram(
    "neuralinverse_claim_seconds",
    "From asking for a warm pod to its having its environment.",
    ["size"],
    buckets=_SECONDS,
)
START_SECONDS = Histogram(
    "neuralinverse_pod_start_seconds",
    "From asking for a pod to having its address.",
    ["size", "kind"],
    buckets=_SECONDS,
)
RESTORES = Counter(
    "neuralinverse_restores_total",
    "Starts by what became of their restore: restored, nothing to restore, or still at it when the person went in.",
    ["size", "outcome"],
)
RESTORE_SECONDS = Histogram(
    "neuralinverse_restore_seconds", "How long restores took that brought files back.", ["size"], buckets=_SECONDS
)
