"""Kubelets' figures: as their text, and from a real cluster with the account that the chart makes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import os
import shutil
import socketserver
import sqlite3
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from neuralinverse_hub import wire
from neuralinverse_hub.delivery import LedgerClient
from neuralinverse_hub.traffic.cluster import Cluster as Seen
from neuralinverse_hub.traffic.cluster import pods_of, sent_by
from neuralinverse_hub.traffic.counting import Pod
from neuralinverse_hub.traffic.errors import ClusterAway, TrafficError
from neuralinverse_hub.traffic.meter import Meter
from tests.cluster import HOST, IMAGE, Cluster, kubectl_binary, needs_cluster
from tests.helm_values.test_companion import render
from tests.neuralinverse_hub.economics.real_hub import RECORDER, serving
from tests.one_machine import eventually

MEGABYTES = 20


def test_bytes_are_those_of_all_interfaces_but_the_loopback() -> None:
    faces = [
        {"name": "lo", "txBytes": 9},
        {"name": "eth0", "rxBytes": 1, "txBytes": 20},
        {"name": "net1", "txBytes": 5},
    ]
    summary = {
        "pods": [
            {"podRef": {"name": "a", "uid": "a"}, "network": {"name": "eth0", "txBytes": 20, "interfaces": faces}},
            # One that is just beginning, and one on its node's own network.
            {"podRef": {"name": "b", "uid": "b"}},
            {"podRef": {"name": "c", "uid": "c"}, "network": {"time": "2026-01-01T00:00:00Z", "interfaces": []}},
        ]
    }
    assert sent_by(summary) == {"a": 25}
    assert sent_by({"node": {}}) == {}


def test_whose_a_pod_is_stands_in_its_annotations() -> None:
    def listed(uid: str, **annotations: str) -> dict[str, Any]:
        return {"metadata": {"uid": uid, "annotations": {f"hub.jupyter.org/{k}": v for k, v in annotations.items()}}}

    pods = pods_of(
        {
            "items": [
                listed("a", username="zoë@example.org", servername="train"),
                listed("b", username="ada", servername=""),
                {"metadata": {"uid": "warm"}},
            ]
        },
        {"a": 5, "warm": 7},
    )
    assert pods == [
        Pod("a", "zoë@example.org", "train", 5),
        Pod("b", "ada", "default", None),
        Pod("warm", "", "default", 7),
    ]


def test_a_meter_outside_of_a_pod_says_what_it_lacks(tmp_path: Path) -> None:
    def run(**environment: str) -> str:
        command = [sys.executable, "-m", "neuralinverse_hub.traffic", f"--account={tmp_path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment})
        assert done.returncode == 1
        return done.stderr

    ours = {"NEURALINVERSE_TRAFFIC_DIR": str(tmp_path / "t"), wire.ENV_VOLUMES_URL: "http://x", wire.ENV_TOKEN: "y"}
    assert "NEURALINVERSE_TRAFFIC_DIR is not set" in run(NEURALINVERSE_TRAFFIC_DIR="")
    assert "KUBERNETES_SERVICE_HOST is not set" in run(**ours, KUBERNETES_SERVICE_HOST="")
    assert "no account of a cluster" in run(**ours, KUBERNETES_SERVICE_HOST="127.0.0.1")


# -- a real cluster ----------------------------------------------------------------------------------------------------


class Sink(http.server.BaseHTTPRequestHandler):
    """Takes what pods send."""

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.fresh() as fresh:
        yield fresh
        for kind in ("clusterrole", "clusterrolebinding"):
            fresh.kubectl("delete", kind, f"{fresh.namespace}-neuralinverse-traffic", "--ignore-not-found")


@pytest.fixture(scope="module")
def account(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart's account, with its roles, as a pod finds it mounted."""
    ours = [
        each
        for each in render("base", "traffic", namespace=cluster.namespace)
        if each["kind"] == "ServiceAccount" or each["kind"].startswith(("Role", "ClusterRole"))
        if each["metadata"]["name"].endswith("traffic")
    ]
    assert len(ours) == 5
    for each in ours:
        each["metadata"]["namespace"] = cluster.namespace
    cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(ours))
    token = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "traffic-token", "annotations": {"kubernetes.io/service-account.name": "traffic"}},
    }
    cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump(token))
    folder = tmp_path_factory.mktemp("account")
    for key in ("token", "namespace", "ca.crt"):
        path = key.replace(".", "\\.")

        def there(path: str = path) -> str:
            return cluster.kubectl("get", "secret", "traffic-token", f"--output=jsonpath={{.data.{path}}}")

        (folder / key).write_bytes(base64.b64decode(eventually(f"the account's {key}", there)))
    return folder


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> str:
    return cluster.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")


@pytest.fixture
async def sink() -> AsyncIterator[int]:
    server = socketserver.ThreadingTCPServer((HOST, 0), Sink)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def workspace(name: str, person: str, command: str) -> dict[str, Any]:
    """A pod as KubeSpawner labels it, that runs some Python."""
    whose = {"hub.jupyter.org/username": person, "hub.jupyter.org/servername": "train"} if person else {}
    labels = {"component": "singleuser-server", "app.kubernetes.io/component": "singleuser-server"}
    container = {
        "name": "notebook",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", command],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": whose},
        "spec": {
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
        },
    }


SEND = """
import http.client, time
def send(count):
    line = http.client.HTTPConnection("{host}", {port}, timeout=60)
    line.request("PUT", "/", body=b"x" * 1048576 * count)
    line.getresponse().read()
    line.close()
send({count})
time.sleep(3600)
"""


@pytest.mark.usefixtures("cluster")
class TestOnACluster:
    pytestmark = needs_cluster

    async def test_what_a_pod_sends_is_in_the_ledger_an_hour_later(
        self, cluster: Cluster, account: Path, api: str, sink: int, tmp_path: Path
    ) -> None:
        seen = Seen(api, account)
        (tmp_path / "hub").mkdir()
        with serving(tmp_path / "hub") as hub:
            client = LedgerClient(f"{hub.economics}/{wire.VOLUME_RECORDS}", RECORDER)
            noon = 1_790_000_000 // 3600 * 3600
            at = [float(noon)]
            meter = Meter(tmp_path / "meter", seen.look, client.deliver, "eastus", clock=lambda: at[0])
            meter.open()
            await meter.measure()

            many = SEND.format(host=HOST, port=sink, count=MEGABYTES)
            for pod in (workspace("ada", "ada", many), workspace("warm", "", many)):
                cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump(pod))
            await until_sent(seen, 2, MEGABYTES * 2**20)
            await meter.measure()
            # An hour later it has sent nothing more that counts.
            at[0] += 3600
            await meter.measure()
            await meter.close()
            token = hub.token("root", [f"{wire.service_scope(wire.ECONOMICS_SERVICE)}", "admin-ui"])
            report = hub.report("2026-09", token, by="person")
        ((person, where, amount),) = rows_of(tmp_path / "hub" / "economics.sqlite")
        assert (person, where) == ("ada", "train")
        # Headers and acknowledgements come on top.
        assert MEGABYTES * 2**20 <= amount <= MEGABYTES * 2**20 * 1.1, amount
        assert report

    def test_the_account_may_do_this_and_nothing_near_it(self, cluster: Cluster, account: Path, api: str) -> None:
        who = f"--as=system:serviceaccount:{cluster.namespace}:traffic"

        def may(*what: str) -> bool:
            command = [kubectl_binary(), "--namespace", cluster.namespace, "auth", "can-i", who, "--quiet", *what]
            return subprocess.run(command, timeout=60).returncode == 0

        assert may("get", "nodes", "--subresource=stats") and may("list", "pods")
        for refused in (
            ("get", "nodes", "--subresource=proxy"),
            ("create", "nodes", "--subresource=proxy"),
            ("list", "nodes"),
            ("get", "secrets"),
            ("create", "pods", "--subresource=exec"),
            ("list", "pods", "--all-namespaces"),
        ):
            assert not may(*refused), refused
        # The kubelet itself says no to everything but its statistics.
        node = cluster.kubectl("get", "nodes", "--output=jsonpath={.items[0].status.addresses[0].address}")
        trust = ssl.create_default_context(cafile=str(account / "ca.crt"))
        headers = {"Authorization": f"Bearer {(account / 'token').read_text()}"}
        for path, status in (("stats/summary", 200), ("pods", 403), ("runningpods/", 403), ("metrics", 403)):
            request = urllib.request.Request(f"https://{node}:10250/{path}", headers=headers)
            try:
                with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as error:
                assert error.code == status, path

    async def test_what_is_refused_is_said_and_what_is_away_too(self, account: Path, api: str, tmp_path: Path) -> None:
        stranger = tmp_path / "stranger"
        shutil.copytree(account, stranger)
        (stranger / "token").write_text("not a token")
        with pytest.raises(ClusterAway, match="answered 401"):
            await Seen(api, stranger).look()
        with pytest.raises(ClusterAway, match="does not answer"):
            await Seen("https://127.0.0.1:9", account).look()
        with pytest.raises(TrafficError, match="no account of a cluster"):
            Seen(api, tmp_path)
        # Authorities of the internet, none of which made the cluster's certificate.
        shutil.copy(requests.certs.where(), stranger / "ca.crt")
        with pytest.raises(ClusterAway, match="certificate"):
            await Seen(api, stranger).look()

    def test_as_a_process_it_keeps_its_count_and_ends_when_it_is_told(
        self, cluster: Cluster, account: Path, api: str, tmp_path: Path
    ) -> None:
        host, _, port = api.removeprefix("https://").rpartition(":")
        environment = {
            **os.environ,
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "NEURALINVERSE_TRAFFIC_DIR": str(tmp_path / "traffic"),
            wire.ENV_VOLUMES_URL: "http://127.0.0.1:9/records/volume",
            wire.ENV_TOKEN: "nobody asks",
        }
        command = [sys.executable, "-m", "neuralinverse_hub.traffic", f"--account={account}"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            eventually("the first count", lambda: (tmp_path / "traffic" / "count.json").exists(), 30)
        finally:
            process.terminate()
        assert process.wait(30) == 0, (tmp_path / "log").read_text()


def rows_of(ledger: Path) -> list[tuple[str, str, int]]:
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        return connection.execute("SELECT person, workspace, amount FROM volume WHERE kind = 'network'").fetchall()


async def until_sent(seen: Seen, pods: int, amount: int) -> None:
    """Until the kubelet says so, which looks every ten seconds or so."""
    found: list[Pod] = []
    mute = 0
    async with asyncio.timeout(240):
        while len(found) < pods or any((pod.sent or 0) < amount for pod in found):
            await asyncio.sleep(1)
            found = await seen.look()
            mute = mute + 1 if len(found) == pods and all(pod.sent is None for pod in found) else 0
            if mute > 90:
                pytest.skip(
                    "this cluster's kubelet has no network figures of pods: its cAdvisor does not know containerd"
                )
