"""A real Kubernetes cluster for tests, and a real hub beside it.

The cluster is the one of ``KUBECONFIG``, and is taken only when ``NEURALINVERSE_E2E_CLUSTER`` says so (``make
e2e-cluster``): tests make and delete namespaces there. ``NEURALINVERSE_CLUSTER_HOST`` is the address of this machine as pods
reach it, ``NEURALINVERSE_CLUSTER_IMAGE`` the workspace image as the nodes know it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from neuralinverse_hub.local.ports import free_port
from tests.helm_values.helm import unpacked
from tests.one_machine import eventually

__all__ = ["HOST", "IMAGE", "Cluster", "ClusterHub", "kubectl_binary", "needs_cluster", "nowhere"]

HOST = os.environ.get("NEURALINVERSE_CLUSTER_HOST", "10.250.0.1")
IMAGE = os.environ.get("NEURALINVERSE_CLUSTER_IMAGE", "neuralinverse/workspace:dev")

needs_cluster = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("NEURALINVERSE_E2E_CLUSTER"), reason="needs a cluster: make e2e-cluster"),
]


NOWHERE = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
"""


def nowhere(folder: Path) -> Path:
    """A kubeconfig, in ``folder``, of a cluster that does not answer."""
    path = folder / "kubeconfig"
    path.write_text(NOWHERE)
    return path


def kubectl_binary() -> str:
    """Path of kubectl: the one on the path, else the one of a test package."""
    return shutil.which("kubectl") or str(unpacked("kubectl"))


@dataclass
class Cluster:
    """One namespace of it."""

    namespace: str

    @classmethod
    @contextlib.contextmanager
    def fresh(cls) -> Iterator[Cluster]:
        """A namespace of its own, deleted at the end."""
        made = cls(f"test-{secrets.token_hex(4)}")
        made.kubectl("create", "namespace", made.namespace)
        try:
            # A pod that comes before its namespace's account is refused.
            eventually("the namespace's account", lambda: made.there("serviceaccount", "default"))
            yield made
        finally:
            made.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
            made.kubectl("delete", "namespace", made.namespace, "--wait=false")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [kubectl_binary(), "--namespace", self.namespace, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def there(self, kind: str, name: str) -> bool:
        return name in self.kubectl("get", kind, "--ignore-not-found", "--output=name", name)

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """Those that are not being deleted, by their labels (``__`` for ``/``, ``_`` for ``.`` in names)."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        listed = json.loads(
            self.kubectl("get", "pods", "--output=json", *(["--selector", selector] if selector else []))
        )
        return [pod for pod in listed["items"] if not pod["metadata"].get("deletionTimestamp")]

    def ready(self, state: str = "warm") -> list[dict[str, Any]]:
        """Pods of the pool in ``state`` that are ready."""
        return [
            pod
            for pod in self.pods(**{"neuralinverse.io/pool": state})
            if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
        ]

    def inside(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "--container=notebook", "--", *command)


CONFIG = """\
import os
from neuralinverse_hub.hub_config import configure

c = get_config()
c.JupyterHub.bind_url = "http://{host}:{port}"
c.JupyterHub.hub_bind_url = "http://{host}:{hub_port}"
c.JupyterHub.hub_connect_url = "http://{host}:{hub_port}"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = True
c.JupyterHub.spawner_class = "neuralinverse"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{{"name": "tests", "api_token": os.environ["TESTS_TOKEN"]}}]
c.JupyterHub.load_roles = [{{"name": "tests", "services": ["tests"], "scopes": [
    "admin:users", "admin:servers", "access:servers", "read:metrics", "tokens"]}}]
c.ConfigurableHTTPProxy.command = {proxy}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.KubeSpawner.namespace = "{namespace}"
c.KubeSpawner.image = "{image}"
c.KubeSpawner.image_pull_policy = "Never"
# Of the test cluster's version, which knows no user namespaces.
c.NeuralInverseSpawner.sizes = {{"small": {{"cpu": "0.5", "memory": "1G"}}, "huge": {{"cpu": 64, "memory": "512G"}}}}
c.NeuralInverseHub.hub_url = "http://{host}:{port}"
c.NeuralInverseHub.git_root = "{folder}/git"
{more}
configure(c)
"""


@dataclass
class ClusterHub:
    """A hub on this machine whose workspaces are pods, with its Git host and gateway."""

    cluster: Cluster
    folder: Path
    proxy: list[str]
    more: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    port: int = field(default_factory=free_port)
    hub_port: int = field(default_factory=free_port)
    proxy_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    kubeconfig: Path | None = None
    """How the hub reaches the cluster, where that is another way than ours."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    @contextlib.contextmanager
    def running(self) -> Iterator[ClusterHub]:
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "jupyterhub_config.py"
        config.write_text(
            CONFIG.format(
                host=HOST,
                port=self.port,
                hub_port=self.hub_port,
                proxy_port=self.proxy_port,
                proxy=self.proxy,
                namespace=self.cluster.namespace,
                image=IMAGE,
                folder=self.folder,
                more=self.more,
            )
        )
        environment = {**os.environ, "TESTS_TOKEN": self.token, "CONFIGPROXY_AUTH_TOKEN": self.token}
        if self.kubeconfig is not None:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", str(config)],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually("the hub serving", self._serves, 60)

    def _serves(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/hub/health", timeout=5).ok
        return False

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def kill(self) -> None:
        """The hub's process and its services end at once, as with their machine; pods stay."""
        assert self.process is not None
        # The hub's services have process groups of their own.
        hub = psutil.Process(self.process.pid)
        for each in [*hub.children(recursive=True), hub]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(10)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(
            method,
            f"{self.url}/hub/api/{path}",
            headers={"Authorization": f"token {self.token}"},
            timeout=120,
            **more,
        )

    def add(self, *people: str) -> None:
        self.ask("POST", "users", json={"usernames": list(people)})

    def begin(self, person: str, size: str = "small") -> requests.Response:
        """Ask for a start; the answer comes when it is done, or after some seconds with status 202."""
        while True:
            answer = self.ask("POST", f"users/{person}/server", json={"user_options": {"size": size}, "size": size})
            if "pending stop" not in answer.text:
                return answer
            # One that ended by itself is no longer ready some moments before the hub is done with it.
            time.sleep(0.1)

    def state(self, person: str) -> dict[str, Any]:
        servers = self.ask("GET", f"users/{person}?include_stopped_servers").json()["servers"]
        return dict(servers.get("", {}))

    def wait_ready(self, person: str, timeout_s: float = 120) -> None:
        eventually(f"{person}'s workspace", lambda: self.state(person).get("ready"), timeout_s)

    def pod_of(self, person: str) -> str:
        (pod,) = self.cluster.pods(**{"hub.jupyter.org/username": person})
        return str(pod["metadata"]["name"])

    def on_host(self, person: str, file: str, words: bytes) -> bool:
        """Whether any snapshot of the person's has ``words`` in ``file``."""
        git = ["git", "-C", str(self.folder / "git" / person / "workspaces.git")]
        listed = subprocess.run([*git, "for-each-ref", "--format=%(refname)"], capture_output=True, text=True).stdout
        return any(
            words in subprocess.run([*git, "cat-file", "blob", f"{ref}:{file}"], capture_output=True).stdout
            for ref in listed.split()
        )

    def await_back(self, person: str, file: str, words: str) -> None:
        """Until ``words`` are in the file in the person's folder: a workspace opens before everything is in place."""
        command = ("sh", "-c", f"cat ~/work/{file} 2>/dev/null || true")
        eventually(f"{file} back", lambda: words in self.cluster.inside(self.pod_of(person), *command), 90)

    def end(self, person: str) -> None:
        self.ask("DELETE", f"users/{person}/server")
        eventually(f"{person}'s workspace stopped", lambda: not self.state(person).get("ready"), 90)
        eventually("its pod gone", lambda: not self.cluster.pods(**{"hub.jupyter.org/username": person}), 60)

    def progress(self, person: str) -> list[str]:
        """Messages that the progress page showed, until it is ready or has failed."""
        messages = []
        with requests.get(
            f"{self.url}/hub/api/users/{person}/server/progress",
            headers={"Authorization": f"token {self.token}"},
            stream=True,
            timeout=120,
        ) as answer:
            for line in answer.iter_lines():
                if line.startswith(b"data: "):
                    step = json.loads(line[6:])
                    messages.append(step.get("message", ""))
                    if step.get("ready") or step.get("failed"):
                        break
        return messages

    def metric(self, name: str, **labels: str) -> float:
        """Sum over the samples of ``name`` that have ``labels``."""
        answer = requests.get(
            f"{self.url}/hub/metrics", headers={"Authorization": f"token {self.token}"}, timeout=30
        ).text
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in answer.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(each in line for each in wanted))

    def answers(self, person: str, path: str = "vscode/") -> float:
        """Seconds until the person's server answered ``path`` with 200."""
        began = time.perf_counter()
        url = f"{self.url}/user/{person}/{path}"

        def served() -> bool:
            with contextlib.suppress(requests.RequestException):
                answer = requests.get(url, headers={"Authorization": f"token {self.token}"}, timeout=30)
                return answer.status_code == 200
            return False

        eventually(f"{path} of {person}", served, 60)
        return time.perf_counter() - began


if __name__ == "__main__":
    # For scripts: the images that the nodes have. Fails when the cluster does not answer within ten seconds.
    sys.exit(
        subprocess.run(
            [kubectl_binary(), "get", "nodes", "--request-timeout=10s", "--output=jsonpath={..images[*].names[*]}"]
        ).returncode
    )
