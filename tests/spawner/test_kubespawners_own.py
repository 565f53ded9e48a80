"""KubeSpawner's own tests pass with our class in its place, but for those that are listed here with a reason.

The suite is fetched, at the commit of the installed version, from KubeSpawner's repository: no package has it.
``NEURALINVERSE_KUBESPAWNER_REPOSITORY`` names another copy of that, a folder for example; where none can be
reached the suite is skipped, or fails with ``NEURALINVERSE_REQUIRE_KUBESPAWNER_TESTS``.

With a cluster (`tests.cluster`) the tests that start pods run as well. Its nodes can pull the suite's images, or
``NEURALINVERSE_KUBESPAWNER_IMAGES`` names others in their place (`tests.spawner.kubespawners_own`).
"""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from tests.cluster import Cluster, needs_cluster, nowhere

pytest.importorskip("kubespawner", reason="needs jupyterhub-kubespawner: pip install 'neuralinverse-hub[kubernetes]'")

REPOSITORY = os.environ.get("NEURALINVERSE_KUBESPAWNER_REPOSITORY", "https://github.com/jupyterhub/kubespawner")
ROOT = Path(__file__).parents[2]

COMMITS: Final = {
    "7.0.0": "a8f28439078e42e8012de8f141b51bd6fa96d9c7",
    "7.1.0": "178e6acf57a7579b044f37d0e6092883e5bf04c8",
}
"""Of the versions whose suite is known to be passed."""

PROGRESS: Final = "tests/test_spawner.py::test_spawn_progress"
IN_WORDS: Final = (
    "waits for the message 'Started container', Kubernetes' own; ours tells people 'The workspace is loading'"
)

EXCEPTED: Final[dict[str, dict[str, str]]] = {
    "7.0.0": {
        PROGRESS: IN_WORDS,
        "tests/test_utils.py::test_get_k8s_model": "wants all fields of a lifecycle to be two; the Kubernetes client has a "
        "third since, stop_signal. No spawner is made in it, and it fails with KubeSpawner as well",
    },
    "7.1.0": {PROGRESS: IN_WORDS},
}
"""By version and test: why it does not pass. One that passes, or is no longer there, has to leave the list."""

NO_CLUSTER = "Kubernetes not found"
"""With this the suite skips what needs a cluster."""

Outcomes = Mapping[str, Mapping[str, str]]


def complaints(outcomes: Outcomes, excepted: Mapping[str, str], *, cluster: bool) -> list[str]:
    """What is wrong with how the suite's tests ended, one sentence each; empty when all is as it is said to be."""
    found = [f"{test} is excepted, and not in the suite" for test in excepted if test not in outcomes]
    for test, ended in outcomes.items():
        outcome, why = ended["outcome"], ended["why"]
        if outcome == "passed" and test in excepted:
            found.append(f"{test} is excepted, and passes")
        elif outcome == "failed" and test not in excepted:
            found.append(f"{test} fails:\n{why}")
        elif outcome == "skipped" and (cluster or NO_CLUSTER not in why):
            found.append(f"{test} is skipped: {why}")
    return found


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", *arguments], cwd=folder, env=quiet, capture_output=True, check=False, timeout=120)


@pytest.fixture(scope="session")
def suite(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the suite of the installed version; what was fetched once is kept with pytest's cache."""
    installed = version("jupyterhub-kubespawner")
    assert installed in COMMITS, f"KubeSpawner {installed} is new: name its commit here, and run its tests on a cluster"
    commit = COMMITS[installed]
    cache = getattr(pytestconfig, "cache", None)
    copy = cache.mkdir("kubespawner") if cache else tmp_path_factory.mktemp("kubespawner")
    if git(copy, "-C", str(copy), "cat-file", "-e", f"{commit}^{{tree}}").returncode:
        git(copy, "init", "--quiet", "--bare", ".")
        fetched = git(copy, "fetch", "--quiet", "--depth=1", REPOSITORY, commit)
        if fetched.returncode:
            said = f"KubeSpawner's tests could not be fetched from {REPOSITORY}: {fetched.stderr.decode().strip()}"
            if os.environ.get("NEURALINVERSE_REQUIRE_KUBESPAWNER_TESTS"):
                pytest.fail(said)
            pytest.skip(said)
    archive = git(copy, "archive", "--format=tar", commit, "kubespawner", "tests", "pyproject.toml")
    assert archive.returncode == 0, archive.stderr
    folder = tmp_path_factory.mktemp("suite")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    for file in distribution("jupyterhub-kubespawner").files or ():
        if file.parts[0] == "kubespawner" and file.suffix == ".py":
            assert file.read_binary() == (folder / file).read_bytes(), f"{file} is not the one of {commit}"
    # What is tested is what is installed.
    (folder / "kubespawner").rename(folder / "kubespawner-of-the-commit")
    return folder


def run(suite: Path, environment: Mapping[str, str], *options: str) -> Outcomes:
    """How the suite's tests ended with our class in KubeSpawner's place."""
    written = suite / f"outcomes-{secrets.token_hex(4)}.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--quiet", "--override-ini=addopts=", "-p", "no:cacheprovider"),
            *("-p", "tests.spawner.kubespawners_own", "--outcomes", str(written)),
            # The suite says so with an `event_loop` fixture, which pytest-asyncio no longer asks for.
            "--override-ini=asyncio_default_fixture_loop_scope=session",
            "--override-ini=asyncio_default_test_loop_scope=session",
            *(*options, "tests"),
        ],
        cwd=suite,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=570,
    )
    # 1: some failed, which is for `complaints` to judge.
    assert done.returncode in (0, 1) and written.exists(), done.stdout + done.stderr
    outcomes: dict[str, Any] = json.loads(written.read_text())
    return outcomes


def assert_as_listed(outcomes: Outcomes, *, cluster: bool) -> None:
    found = complaints(outcomes, EXCEPTED[version("jupyterhub-kubespawner")], cluster=cluster)
    assert not found, "\n\n".join(found)
    assert sum(ended["outcome"] == "passed" for ended in outcomes.values()) > 150


@pytest.mark.hub
def test_kubespawners_own_tests_pass_with_our_class_in_its_place(suite: Path, tmp_path: Path) -> None:
    assert_as_listed(run(suite, {"KUBECONFIG": str(nowhere(tmp_path))}), cluster=False)


class TestOnACluster:
    pytestmark: ClassVar = needs_cluster

    def test_those_that_start_pods_pass_as_well(self, suite: Path) -> None:
        with Cluster.fresh() as one, Cluster.fresh() as another:
            environment = {
                "KUBESPAWNER_TEST_NAMESPACE": one.namespace,
                "KUBESPAWNER_ANOTHER_NAMESPACE": another.namespace,
                # The suite's way of leaving them alone: it waits for their end, and 7.0 no more than 20 seconds.
                "KUBESPAWNER_DEBUG_NAMESPACE": "1",
            }
            assert_as_listed(run(suite, environment, "--without-sizes"), cluster=True)


PASSED = {"outcome": "passed", "why": ""}
FAILED = {"outcome": "failed", "why": "assert 1 == 2"}
SKIPPED = {"outcome": "skipped", "why": f"Skipped: {NO_CLUSTER}: cannot connect"}


@pytest.mark.parametrize(
    ("outcomes", "cluster", "said"),
    [
        ({"a": PASSED, "excepted": FAILED}, True, []),
        ({"a": SKIPPED, "excepted": SKIPPED}, False, []),
        ({"a": FAILED, "excepted": FAILED}, True, ["a fails:\nassert 1 == 2"]),
        ({"a": PASSED, "excepted": PASSED}, True, ["excepted is excepted, and passes"]),
        ({"a": PASSED}, True, ["excepted is excepted, and not in the suite"]),
        ({"a": SKIPPED, "excepted": FAILED}, True, [f"a is skipped: {SKIPPED['why']}"]),
        ({"a": {"outcome": "skipped", "why": "no reason"}, "excepted": FAILED}, False, ["a is skipped: no reason"]),
    ],
)
def test_the_list_of_exceptions_has_to_be_true(outcomes: Outcomes, cluster: bool, said: list[str]) -> None:
    assert complaints(outcomes, {"excepted": "its reason"}, cluster=cluster) == said
