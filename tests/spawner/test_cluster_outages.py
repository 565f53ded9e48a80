"""Parts of a real cluster go away for a while: its API, a node. Nobody loses a workspace, and nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.cli import main
from tests.cluster import Cluster, ClusterHub, needs_cluster
from tests.one_machine import eventually

pytestmark = needs_cluster

MORE = 'c.KubeSpawner.poll_interval = 2\nc.NeuralInverseSpawner.pool = {"small": {"min": 1, "max": 1}}\n'


class Relay:
    """The way from the hub to the cluster's API, which can be blocked."""

    def __init__(self, host: str, port: int) -> None:
        self._there = host, port
        self._blocked = threading.Event()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def block(self) -> None:
        self._blocked.set()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def unblock(self) -> None:
        self._blocked.clear()

    def close(self) -> None:
        self._listening.close()
        self.block()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self._blocked.is_set():
                    near.close()
                    continue
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._there) as far:
            self._open |= {near, far}
            back = threading.Thread(target=_pass, args=(far, near), daemon=True)
            back.start()
            _pass(near, far)
            back.join()
            self._open -= {near, far}


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay(cluster: Cluster) -> Iterator[Relay]:
    server = urlsplit(cluster.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}"))
    made = Relay(server.hostname or "", server.port or 443)
    yield made
    made.close()


def through(relay: Relay, cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig for it. The API's certificate is not for that address."""
    config = json.loads(cluster.kubectl("config", "view", "--minify", "--raw", "--output=json"))
    (there,) = config["clusters"]
    there["cluster"].pop("certificate-authority-data", None)
    there["cluster"] |= {"server": f"https://127.0.0.1:{relay.port}", "insecure-skip-tls-verify": True}
    path = folder / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def test_the_api_away_for_a_minute_ends_nobodys_work_and_the_hub_sees_again(
    cluster: Cluster, relay: Relay, proxy: list[str], tmp_path: Path
) -> None:
    hub = ClusterHub(cluster, tmp_path, proxy, MORE, kubeconfig=through(relay, cluster, tmp_path))
    with hub.running():
        eventually("a warm pod", cluster.ready, 120)
        hub.add("ada", "bob")
        hub.begin("ada")
        hub.wait_ready("ada")
        pod = hub.pod_of("ada")
        hub.answers("ada")

        # KubeSpawner's watches give up after fifty seconds.
        relay.block()
        away_since = time.monotonic()
        eventually("the watch's end", lambda: "pods watcher finished" in hub.log or "giving up" in hub.log, 120)
        while time.monotonic() - away_since < 75:
            assert hub.state("ada")["ready"]
            hub.answers("ada")
            time.sleep(2)
        assert hub.log.count("The cluster does not say how ada is") == 1
        refused = hub.begin("bob")
        eventually("bob's start given up", lambda: not hub.state("bob").get("pending"), 90)
        assert refused.status_code in (202, 500)
        assert "The cluster does not answer at the moment" in hub.log

        # A hub that starts now knows from its database what there is.
        hub.kill()
        hub.start()
        hub.answers("ada")
        assert hub.state("ada")["ready"]

        relay.unblock()
        eventually("a warm pod again", cluster.ready, 120)
        assert hub.pod_of("ada") == pod
        hub.begin("bob")
        hub.wait_ready("bob")
        hub.answers("bob")
        # What happens from now on is seen.
        cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
        eventually("the hub noticing", lambda: not hub.state("ada").get("ready"), 60)
        hub.begin("ada")
        hub.wait_ready("ada")
        for person in ("ada", "bob"):
            hub.end(person)


@pytest.fixture
def kubelet(cluster: Cluster) -> Iterator[psutil.Process]:
    """The only node's; it goes on at the end."""
    nodes = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"]
    found = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "kubelet"]
    if len(found) != 1 or len(nodes) != 1:
        pytest.skip("needs a cluster of one node, which is this machine")
    yield found[0]
    found[0].send_signal(signal.SIGCONT)


def test_a_node_that_is_gone_keeps_nobody_from_starting_elsewhere(
    cluster: Cluster, kubelet: psutil.Process, proxy: list[str], tmp_path: Path
) -> None:
    with ClusterHub(cluster, tmp_path, proxy, MORE).running() as hub:
        hub.add("ada", "bob")
        for person in ("ada", "bob"):
            hub.begin(person)
            hub.wait_ready(person)
        pods = {person: hub.pod_of(person) for person in ("ada", "bob")}
        cluster.inside(pods["ada"], "sh", "-c", "echo 'saved' > ~/work/notes.txt")
        eventually("the words on the Git host", lambda: hub.on_host("ada", "notes.txt", b"saved"), 60)

        kubelet.send_signal(signal.SIGSTOP)
        try:
            # As the cluster does with the pods of a node that it has not heard of for five minutes.
            cluster.kubectl("delete", "pod", pods["ada"], "--wait=false")
            stopping = threading.Thread(target=hub.ask, args=("DELETE", "users/bob/server"))
            stopping.start()
            eventually("the hub noticing", lambda: not hub.state("ada").get("ready"), 120)
            eventually("bob's stop", lambda: hub.state("bob").get("stopped"), 120)
            stopping.join()
            assert "The node of ada does not end it" in hub.log
            assert "The node of bob does not end it" in hub.log
            left = {pod["metadata"]["name"] for pod in cluster.pods()}
            assert not left & set(pods.values())
        finally:
            kubelet.send_signal(signal.SIGCONT)

        hub.begin("ada")
        hub.wait_ready("ada")
        hub.await_back("ada", "notes.txt", "saved")
        hub.end("ada")


def test_an_operator_empties_a_node(
    cluster: Cluster,
    proxy: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (node,) = (each["metadata"]["name"] for each in json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"])
    with ClusterHub(cluster, tmp_path, proxy, MORE).running() as hub:
        monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub.url}/hub/api")
        monkeypatch.setenv(wire.ENV_TOKEN, hub.token)
        monkeypatch.setenv("COLUMNS", "200")
        eventually("a warm pod", cluster.ready, 120)
        hub.add("ada", "bob")
        for person in ("ada", "bob"):
            hub.begin(person)
            hub.wait_ready(person)
        cluster.inside(hub.pod_of("ada"), "sh", "-c", "echo 'saved' > ~/work/notes.txt")
        eventually("a warm pod again", cluster.ready, 120)
        assert main(["workspaces", "list", "--node", node]) == 0
        listed = capsys.readouterr().out
        assert re.search(rf"ada +small +ready +.* {node}", listed) and "bob" in listed
        assert main(["workspaces", "list", "--node", "another"]) == 0
        assert "No workspace runs on another" in capsys.readouterr().out

        def shown() -> bool:
            assert main(["pool", "show"]) == 0
            return bool(re.search(r"small +1 +0 +\d +1 +1 to 1", capsys.readouterr().out))

        eventually("the pool as it is", shown, 20)

        cluster.kubectl("cordon", node)
        try:
            assert main(["workspaces", "drain", node, "--yes"]) == 0
            said = capsys.readouterr().out
            assert f"1 waiting pod taken off {node}" in said
            assert "ada stopped in" in said and "bob stopped in" in said
            assert not hub.state("ada").get("ready") and not hub.state("bob").get("ready")
            eventually("nothing on the node", lambda: not on_node(cluster), 60)
        finally:
            cluster.kubectl("uncordon", node)
        hub.begin("ada")
        hub.wait_ready("ada")
        hub.await_back("ada", "notes.txt", "saved")
        hub.end("ada")


def on_node(cluster: Cluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods() if pod["spec"].get("nodeName")]


@pytest.mark.timeout(900)
def test_a_hub_killed_at_any_moment_of_a_start_or_a_stop_loses_nobody(
    cluster: Cluster, proxy: list[str], tmp_path: Path
) -> None:
    hub = ClusterHub(cluster, tmp_path, proxy, MORE + "c.NeuralInverseSpawner.pool_grace_period = 3\n")
    hub.start()
    hub.add("ada")
    written = 0
    try:
        # From before the claim to after the server's first answer.
        for method, after_s in [("POST", s) for s in (0.03, 0.1, 0.2, 0.4, 0.8, 1.6)] + [
            ("DELETE", 0.1),
            ("DELETE", 2),
        ]:
            if method == "POST":
                eventually("a warm pod", cluster.ready, 120)
            asked = threading.Thread(target=ask_and_be_cut_off, args=(hub, method))
            asked.start()
            time.sleep(after_s)
            hub.kill()
            asked.join()
            hub.start()
            eventually("the hub at rest", lambda: not hub.state("ada").get("pending"), 120)
            if not hub.state("ada").get("ready"):
                hub.begin("ada")
                hub.wait_ready("ada")
            hub.answers("ada")
            eventually("one pod of ada's", lambda: len(cluster.pods(**{"hub.jupyter.org/username": "ada"})) == 1, 90)
            pod = hub.pod_of("ada")
            eventually("all files", lambda pod=pod, want=written: lines(cluster, pod) == want, 60)
            written += 1
            cluster.inside(pod, "sh", "-c", f"echo line-{written} >> ~/work/notes.txt")
            last = f"line-{written}\n".encode()
            eventually("the line on the Git host", lambda last=last: hub.on_host("ada", "notes.txt", last), 60)
            if method == "POST":
                hub.end("ada")
        hub.end("ada")
        # Nothing but the pool is left.
        eventually("the rest swept", lambda: [each["metadata"]["name"] for each in cluster.pods()] == warm(cluster), 60)
    finally:
        hub.stop()


def ask_and_be_cut_off(hub: ClusterHub, method: str) -> None:
    with contextlib.suppress(requests.RequestException):
        hub.ask(method, "users/ada/server", json={"size": "small"})


def lines(cluster: Cluster, pod: str) -> int:
    return int(cluster.inside(pod, "sh", "-c", "cat ~/work/notes.txt 2>/dev/null | wc -l"))


def warm(cluster: Cluster) -> list[str]:
    return [each["metadata"]["name"] for each in cluster.ready()]
