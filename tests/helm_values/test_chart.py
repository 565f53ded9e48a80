"""The zero-to-jupyterhub chart itself, rendered with our values by a real Helm.

The chart is not kept here. ``NEURALINVERSE_Z2JH_CHARTS`` names folders or archives of it, with ``:`` between them; without it
these tests are skipped. From the chart's sources: the folder ``jupyterhub/``, with ``values.schema.yaml`` written as
``values.schema.json`` (its ``tools/generate-json-schema.py``), else Helm does not look at the values.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.helm_values import layers
from tests.helm_values.helm import helm

CHARTS = [each for each in os.environ.get("NEURALINVERSE_Z2JH_CHARTS", "").split(os.pathsep) if each]
COMBINATIONS = list(layers.combinations())
KUBERNETES = "1.33"
GIVEN = {"proxy.secretToken": "5e" * 32, "hub.services.git.apiToken": "9a" * 32}

pytestmark = pytest.mark.skipif(not CHARTS, reason="NEURALINVERSE_Z2JH_CHARTS names no chart")


def helm_template(chart: str, *files: str, extra: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    values = [part for name in files for part in ("-f", str(layers.FOLDER / f"{name}.yaml"))]
    secrets = [part for name, value in GIVEN.items() for part in ("--set", f"{name}={value}")]
    command = ["template", "hub", chart, "--namespace", "ni", "--kube-version", KUBERNETES, *values, *secrets, *extra]
    return subprocess.run([str(helm()), *command], capture_output=True, text=True, check=False, timeout=120)


@cache
def rendered(chart: str, *files: str) -> list[dict[str, Any]]:
    done = helm_template(chart, *files)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("chart", CHARTS)
def test_every_combination_renders_to_valid_objects_that_run_our_hub(chart: str, files: tuple[str, ...]) -> None:
    objects = rendered(chart, *files)
    for each in objects:
        if each["apiVersion"].split("/")[0] not in ("gateway.networking.k8s.io",):
            kubernetes_validate.validate(each, KUBERNETES)
    pod = one(objects, "Deployment", "hub")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"].startswith("neuralinverse/hub:")
    assert {"NEURALINVERSE_SYNC_SECRET"} <= {each["name"] for each in container["env"]}
    assert ("Ingress" in {each["kind"] for each in objects}) == ("production" in files)


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
@pytest.mark.parametrize("chart", CHARTS)
def test_secrets_are_in_secrets_only(chart: str, files: tuple[str, ...]) -> None:
    for each in rendered(chart, *files):
        if each["kind"] != "Secret":
            assert not any(value in yaml.safe_dump(each) for value in GIVEN.values()), each["metadata"]["name"]


@pytest.mark.parametrize("chart", CHARTS)
def test_hub_and_proxy_have_room_reserved_and_a_bound(chart: str) -> None:
    for files in COMBINATIONS:
        for name in ("hub", "proxy"):
            (container,) = one(rendered(chart, *files), "Deployment", name)["spec"]["template"]["spec"]["containers"]
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys() and "memory" in resources["limits"], (files, name)


@pytest.mark.parametrize("chart", CHARTS)
def test_a_typo_stops_helm_with_the_name(chart: str) -> None:
    done = helm_template(chart, "base", extra=("--set", "singleuser.memmory.limit=4G"))
    assert done.returncode != 0 and "memmory" in done.stderr
