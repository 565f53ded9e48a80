"""What a warm pod holds, and what a claim changes. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from neuralinverse_hub import wire
from spawner import pods, progress

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
SECRET = b"the hub's"


def manifest(person: str = "ada", token: str = "t0ken", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"jupyter-{person}",
            "labels": {"component": "singleuser-server", "hub.jupyter.org/username": person},
            "annotations": {"hub.jupyter.org/username": person, "owner": "team"},
        },
        "spec": {
            "containers": [
                {
                    "name": "notebook",
                    "image": "workspace:1",
                    "env": [
                        {"name": "JUPYTERHUB_API_TOKEN", "value": token},
                        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    ],
                    "ports": [{"name": "notebook-port", "containerPort": 8888}],
                    **more,
                }
            ]
        },
    }


def test_two_peoples_pods_have_one_template_and_nothing_of_either_is_in_it() -> None:
    grace, bob = (pods.template_of(manifest(who, f"secret-{who}"), SECRET) for who in ("grace", "bob"))
    assert grace.key == bob.key
    warm = pods.warm_pod(grace, "small", "workspace-small-1", SECRET)
    assert "grace" not in json.dumps(warm)
    assert grace.environment == {"JUPYTERHUB_API_TOKEN": "secret-grace"}
    assert "secret-grace" not in repr(grace)
    (container,) = warm["spec"]["containers"]
    assert [each["name"] for each in container["env"]] == ["NODE", wire.ENV_CLAIM, wire.ENV_STANDBY_PORT]


def test_another_image_command_or_secret_is_another_template() -> None:
    keys = {
        pods.template_of(manifest(), SECRET).key,
        pods.template_of(manifest(image="workspace:2"), SECRET).key,
        pods.template_of(manifest(args=["sh"]), SECRET).key,
        pods.template_of(manifest(), b"another hub's").key,
    }
    assert len(keys) == 4


def test_the_pod_holds_the_digest_of_its_nonce_and_not_the_nonce() -> None:
    warm = pods.warm_pod(pods.template_of(manifest(), SECRET), "small", "workspace-small-1", SECRET)
    nonce = pods.nonce(SECRET, "workspace-small-1")
    assert nonce != pods.nonce(SECRET, "workspace-small-2")
    assert nonce not in json.dumps(warm)
    assert hashlib.sha256(nonce.encode()).hexdigest() in json.dumps(warm)


def test_a_claim_tests_before_it_changes_and_brings_the_person() -> None:
    patch = pods.claim_patch(pods.template_of(manifest("ada/x~y"), SECRET), NOW)
    assert [each["op"] for each in patch[:3]] == ["test", "test", "replace"]
    assert {"op": "add", "path": "/metadata/labels/hub.jupyter.org~1username", "value": "ada/x~y"} in patch
    assert all(each["path"].startswith(("/metadata/labels/", "/metadata/annotations/")) for each in patch)


def seen(status: dict[str, Any], state: str = pods.WARM, **metadata: Any) -> Any:
    labels = {pods.STATE: state, pods.TEMPLATE: "k"}
    made = {"name": "p", "labels": labels, "creationTimestamp": "2026-11-27T08:59:00Z", **metadata}
    return pods.seen({"metadata": made, "status": status}, frozenset({"p"}), NOW)


def test_what_the_cluster_says_becomes_what_the_rule_needs() -> None:
    ready = {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    assert seen(ready).ready and not seen(ready).claimed and not seen(ready).broken
    assert not seen({"conditions": []}).ready
    assert seen({}, deletionTimestamp="2026-11-27T09:00:00Z").leaving
    claimed = seen(ready, pods.CLAIMED, annotations={pods.CLAIMED_AT: "2026-11-27T08:59:30+00:00"})
    assert claimed.claimed and claimed.known and (NOW - claimed.since).total_seconds() == 30


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ErrImageNeverPull"}}}]}, "ErrImageNeverPull"),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]},
            "tag",
        ),
        ({"containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}, "OOMKilled"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ],
)
def test_a_pod_that_will_never_be_ready_is_known_by_why(status: dict[str, Any], word: str) -> None:
    assert word in seen(status).broken
    assert not seen({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}).broken
    assert not seen(status, pods.CLAIMED).broken


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"reason": "FailedScheduling", "message": "0/3 nodes are available: 3 Insufficient cpu."}, "too little CPU"),
        ({"reason": "Failed", "message": 'Failed to pull image "x:1": not found'}, "image cannot be fetched"),
        ({"reason": "FailedCreate", "message": "exceeded quota: team"}, "quota"),
        ({"reason": "OOMKilling", "message": "Memory cgroup out of memory"}, "larger size"),
        ({"reason": "Pulling", "message": "Pulling image"}, "Downloading"),
        ({"reason": "NotTriggerScaleUp", "message": "pod didn't trigger scale-up"}, "smaller one"),
    ],
)
def test_events_are_said_in_a_persons_words_with_what_to_do(event: dict[str, str], words: str) -> None:
    assert words in (progress.words(event) or "")


def test_events_that_say_nothing_to_a_person_are_left_out() -> None:
    assert progress.words({"reason": "Created", "type": "Normal", "message": "Created container notebook"}) is None
    assert progress.words({"reason": "Odd", "type": "Warning", "message": "something odd"}) == "something odd"


@pytest.mark.parametrize(
    ("event", "counts"),
    [
        ({"lastTimestamp": "2026-05-04T11:59:59Z"}, False),
        ({"lastTimestamp": "2026-05-04T12:00:00Z"}, True),
        ({"lastTimestamp": None, "eventTime": "2026-05-04T11:59:59.900000Z"}, False),
        ({"lastTimestamp": None, "eventTime": None}, True),
    ],
)
def test_what_happened_to_a_pod_before_it_was_claimed_is_no_step_of_the_start(
    event: dict[str, Any], counts: bool
) -> None:
    claimed_at = datetime(2026, 5, 4, 12, 0, 0, 700_000, tzinfo=UTC)
    assert progress.since(event, claimed_at) is counts
    assert progress.since(event, None)
