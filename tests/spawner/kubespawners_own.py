"""A pytest plugin under which KubeSpawner's own tests see our class where they import KubeSpawner.

``python -m pytest -p tests.spawner.kubespawners_own --outcomes FILE`` writes how each test ended as JSON. What the suite
does is its own; replaced is only what a test cluster may not have: images out of a registry, and with ``--without-sizes`` room for our sizes.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import kubespawner
import kubespawner.spawner
import pytest
from jupyterhub.app import JupyterHub
from kubernetes_asyncio.client import CoreV1Api

from spawner.kube import NeuralInverseSpawner
from spawner.sizes import DEFAULT_SIZES

IMAGES = "NEURALINVERSE_KUBESPAWNER_IMAGES"
"""Names images that the nodes have in place of the suite's own: ``theirs=ours,theirs=ours``."""

# The class refers to the one below it by ``super()`` and never by this name.
kubespawner.KubeSpawner = kubespawner.spawner.KubeSpawner = NeuralInverseSpawner

_init_internal_ssl = JupyterHub.init_internal_ssl
_create_namespaced_pod = CoreV1Api.create_namespaced_pod


def init_internal_ssl(app: JupyterHub) -> None:
    """JupyterHub's, in an event loop: 6 asks for one that runs, and the suite's fixture, of the days of 5, has none."""

    async def initialise() -> None:
        _init_internal_ssl(app)

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(initialise())
    finally:
        loop.close()


def create_namespaced_pod(api: CoreV1Api, namespace: str, body: Any, **more: Any) -> Any:
    """The client's, with images that the nodes have."""
    pod = api.api_client.sanitize_for_serialization(body)
    replaced = dict(pair.split("=", 1) for pair in os.environ.get(IMAGES, "").split(",") if pair)
    for container in pod["spec"]["containers"]:
        if ours := replaced.get(container["image"]):
            container.update(image=ours, imagePullPolicy="Never")
    return _create_namespaced_pod(api, namespace, pod, **more)


JupyterHub.init_internal_ssl = init_internal_ssl
CoreV1Api.create_namespaced_pod = create_namespaced_pod


class Outcomes:
    """How each test ended, and why."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seen: dict[str, dict[str, str]] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.seen[report.nodeid] = {"outcome": "failed", "why": str(report.longrepr)}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        modules = {item.getparent(pytest.Module) for item in session.items}
        names = [vars(module.obj).get("KubeSpawner") for module in modules if module]
        if not any(names) or any(name not in (None, NeuralInverseSpawner) for name in names):
            raise pytest.UsageError("the suite's tests do not import our class in KubeSpawner's place")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped:
            self.seen[report.nodeid] = {"outcome": report.outcome, "why": str(report.longrepr)}
        elif report.when == "call":
            self.seen[report.nodeid] = {"outcome": "passed", "why": ""}

    def pytest_sessionfinish(self) -> None:
        self.file.write_text(json.dumps(self.seen))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, required=True, help="file to write how each test ended")
    parser.addoption("--without-sizes", action="store_true", help="for nodes that are smaller than our sizes")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--without-sizes"):
        DEFAULT_SIZES.clear()
    config.pluginmanager.register(Outcomes(config.getoption("--outcomes")))
