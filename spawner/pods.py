"""What a warm pod looks like, and what a claim changes of it: from manifests to manifests and patches. Pure.

Everything that belongs to a person is taken out of the pod that a spawner would start for them; what remains is the
*template*, and two people whose templates are equal can get the same warm pod. What was taken out arrives at the claim:
labels and annotations by the patch, the environment by the agent's one POST.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from neuralinverse_hub import wire
from spawner.pool import Seen

__all__ = [
    "CLAIMED",
    "SIZE",
    "STATE",
    "TEMPLATE",
    "WARM",
    "Template",
    "broken",
    "claim_patch",
    "nonce",
    "seen",
    "template_of",
    "warm_pod",
]

Pod = dict[str, Any]
"""A pod as the API's JSON has it."""

STATE: Final = "neuralinverse.io/pool"
"""Label: `WARM` or `CLAIMED`. Pods that were started cold have none."""
WARM: Final = "warm"
CLAIMED: Final = "claimed"
TEMPLATE: Final = "neuralinverse.io/template"
"""Label: the key of the template that the pod was made from."""
SIZE: Final = "neuralinverse.io/size"
CLAIMED_AT: Final = "neuralinverse.io/claimed-at"
"""Annotation: RFC 3339."""

CONTAINER: Final = "notebook"
"""KubeSpawner's name for the container that the person's server runs in."""
_PERSONAL: Final = ("hub.jupyter.org/username", "hub.jupyter.org/servername")
_NEVER: Final = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
)
"""Reasons for which a container waits that waiting does not cure."""


@dataclass(frozen=True, slots=True)
class Template:
    """What pods of several people have in common."""

    key: str
    """Sixteen hexadecimal digits; equal exactly when the bodies are, and the secret that nonces come from."""
    body: Pod
    environment: dict[str, str] = field(repr=False)
    """What the person's pod would have had in its environment. Secret: their token is in it."""
    labels: dict[str, str]
    annotations: dict[str, str]


def nonce(secret: bytes, name: str) -> str:
    """What proves to the warm pod ``name`` that the hub is asking; 64 hexadecimal digits.

    HMAC-SHA256 of the name, which is random and used once, so nobody has to remember it. The pod holds its SHA-256 only.
    """
    return hmac.digest(secret, b"neuralinverse-pool:" + name.encode(), "sha256").hex()


def template_of(manifest: Pod, secret: bytes) -> Template:
    """Take the person out of ``manifest``, the pod that a spawner would create for them."""
    body = copy.deepcopy(manifest)
    metadata = body["metadata"]
    metadata.pop("name", None)
    metadata.pop("namespace", None)
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    metadata["labels"] = {key: value for key, value in labels.items() if key not in _PERSONAL}
    metadata["annotations"] = {key: value for key, value in annotations.items() if key not in _PERSONAL}
    container = _container(body)
    variables = container.get("env") or []
    environment = {each["name"]: each.get("value") or "" for each in variables if "valueFrom" not in each}
    # What the cluster fills in, e.g. from a Secret, the hub cannot send; it is the same for all or no template is.
    container["env"] = [each for each in variables if "valueFrom" in each]
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    key = hmac.digest(secret, b"neuralinverse-template:" + canonical, "sha256").hex()[:16]
    return Template(
        key,
        body,
        environment,
        {key: value for key, value in labels.items() if key in _PERSONAL},
        {key: value for key, value in annotations.items() if key in _PERSONAL},
    )


def warm_pod(template: Template, size: str, name: str, secret: bytes) -> Pod:
    """The pod to create: one that loads everything and waits for its person."""
    pod = copy.deepcopy(template.body)
    pod["metadata"]["name"] = name
    pod["metadata"]["labels"] |= {STATE: WARM, TEMPLATE: template.key, SIZE: size}
    # A patch adds to what is there: a pod without any annotation has no place for one.
    pod["metadata"]["annotations"] |= {CLAIMED_AT: ""}
    container = _container(pod)
    port = next(each["containerPort"] for each in container["ports"] if each.get("name") == "notebook-port")
    container["env"] = [
        *container["env"],
        {"name": wire.ENV_CLAIM, "value": hashlib.sha256(nonce(secret, name).encode()).hexdigest()},
        {"name": wire.ENV_STANDBY_PORT, "value": str(port)},
    ]
    # Until all is loaded the pod is not ready and not claimed; from then on nobody asks this path again, because the
    # port becomes the person's.
    container["startupProbe"] = {
        "httpGet": {"path": wire.STANDBY_PATH, "port": port},
        "periodSeconds": 1,
        "failureThreshold": 180,
        "timeoutSeconds": 2,
    }
    return pod


def claim_patch(template: Template, now: datetime) -> list[dict[str, Any]]:
    """A JSON Patch (RFC 6902) that takes a warm pod, and fails as a whole when somebody else has."""
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": _label(STATE), "value": WARM},
        {"op": "test", "path": _label(TEMPLATE), "value": template.key},
        {"op": "replace", "path": _label(STATE), "value": CLAIMED},
    ]
    operations += [{"op": "add", "path": _label(key), "value": value} for key, value in template.labels.items()]
    annotations = {**template.annotations, CLAIMED_AT: now.astimezone(UTC).isoformat(timespec="seconds")}
    operations += [{"op": "add", "path": _annotation(key), "value": value} for key, value in annotations.items()]
    return operations


def seen(pod: Pod, known: frozenset[str], now: datetime) -> Seen:
    """What the pool's rule needs to know of ``pod``. ``known`` are the names of pods that workspaces are in."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    claimed = labels.get(STATE) != WARM
    since = annotations.get(CLAIMED_AT) if claimed else None
    return Seen(
        name=metadata["name"],
        template=labels.get(TEMPLATE, ""),
        claimed=claimed,
        since=_time(since or metadata.get("creationTimestamp"), now),
        ready=_ready(status),
        broken="" if claimed else broken(pod),
        leaving=bool(metadata.get("deletionTimestamp")),
        known=metadata["name"] in known,
    )


def broken(pod: Pod) -> str:
    """Why ``pod`` will not become ready, in the cluster's words; empty while it may."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Failed", "Succeeded"):
        return " ".join(filter(None, (status.get("reason") or "ended", status.get("message"))))
    for each in status.get("containerStatuses") or ():
        state = each.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason") in _NEVER:
            return " ".join(filter(None, (waiting["reason"], waiting.get("message"))))
        if ended:
            return f"{ended.get('reason') or 'ended'} (exit code {ended.get('exitCode')})"
    return ""


def _ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return bool(status.get("podIP")) and any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    )


def _container(pod: Pod) -> dict[str, Any]:
    return next(each for each in pod["spec"]["containers"] if each["name"] == CONTAINER)


def _time(text: str | None, otherwise: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else otherwise


def _label(name: str) -> str:
    return f"/metadata/labels/{name.replace('~', '~0').replace('/', '~1')}"


def _annotation(name: str) -> str:
    return f"/metadata/annotations/{name.replace('~', '~0').replace('/', '~1')}"
