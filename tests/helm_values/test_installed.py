"""The zero-to-jupyterhub chart and ours, installed with our values and our images: log in, work, ask the AI, upgrade.

On the cluster of `tests.cluster`, with the first chart of ``NEURALINVERSE_Z2JH_CHARTS``. The nodes have the images hub,
gateway and workspace as ``neuralinverse/<name>:dev``; ``NEURALINVERSE_CLUSTER_PROXY_IMAGE`` names one with the chart's proxy
in it, where the chart's own cannot be had. Helm renders and kubectl applies: Helm itself refuses a cluster that is older than
the chart wants, and this says something about an old one too.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect

from neuralinverse_hub.local.ports import free_port
from tests.cluster import Cluster, kubectl_binary, needs_cluster
from tests.e2e import pages
from tests.helm_values import layers
from tests.helm_values.helm import helm
from tests.one_machine import eventually

CHART = os.environ.get("NEURALINVERSE_Z2JH_CHARTS", "").split(os.pathsep)[0]
PROXY = os.environ.get("NEURALINVERSE_CLUSTER_PROXY_IMAGE", "")
PASSWORD = "at least eight letters"
SAYS = "I run on this very cluster."
MODEL = f"""
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Model(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer("application/json", {{"object": "list", "data": [{{"id": "cluster-model", "object": "model"}}]}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        usage = {{"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}
        said = {{"role": "assistant", "content": {SAYS!r}}}
        choice = {{"index": 0, "finish_reason": "stop"}}
        whole = {{"id": "c", "created": 1790000000, "model": "cluster-model", "usage": usage}}
        if asked.get("stream"):
            chunk = {{**whole, "object": "chat.completion.chunk", "choices": [{{**choice, "delta": said}}]}}
            self.answer("text/event-stream", None, f"data: {{json.dumps(chunk)}}\\n\\ndata: [DONE]\\n\\n".encode())
        else:
            self.answer("application/json", {{**whole, "object": "chat.completion", "choices": [{{**choice, "message": said}}]}})

    def answer(self, kind, value, data=None):
        data = data or json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


ThreadingHTTPServer(("0.0.0.0", 8000), Model).serve_forever()
"""
"""An OpenAI-compatible server of the operator's own, beside the gateway: Azure cannot be had here."""

pytestmark = [*needs_cluster, pytest.mark.skipif(not CHART, reason="NEURALINVERSE_Z2JH_CHARTS names no chart")]


def mine(**sizes: Any) -> dict[str, Any]:
    """An admin's own values: a size that fits twice on a small node, and a password."""
    name, _, tag = PROXY.rpartition(":")
    model = {"to": [{"podSelector": {"matchLabels": {"app": "model"}}}], "ports": [{"port": 8000}]}
    return {
        "custom": {"neuralinverse": {"gateway": {"egress": {"model": model}}}},
        "hub": {
            "config": {
                "SharedPasswordAuthenticator": {"user_password": PASSWORD},
                "NeuralInverseSpawner": {"sizes": {"small": {"cpu": 0.5, "memory": "1G"}, **sizes}},
            }
        },
        "proxy": {"chp": {"image": {"name": name, "tag": tag}}} if PROXY else {},
    }


def install(cluster: Cluster, values: Path, secrets: tuple[str, ...]) -> None:
    """Both charts, with the same files, as helm-values/README.md says."""
    files = [part for name in ("base", "kind") for part in ("-f", str(layers.FOLDER / f"{name}.yaml"))]
    for release, chart in (("neuralinverse", str(layers.FOLDER / "companion")), ("hub", CHART)):
        given = [*files, "-f", str(values), *(secrets if release == "hub" else ())]
        done = subprocess.run(
            [str(helm()), "template", release, chart, "--namespace", cluster.namespace, "--kube-version", "1.28",
             "--no-hooks", *given],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        objects = [each for each in yaml.safe_load_all(done.stdout) if each]
        for each in objects:
            # Clusters before 1.21 know it by its older name.
            if each["apiVersion"] == "policy/v1" and "policy/v1/" not in api_versions(cluster):
                each["apiVersion"] = "policy/v1beta1"
        # The companion makes its secret once, which Helm knows by looking; kubectl applies what it is told.
        if release == "neuralinverse" and cluster.there("secret", "neuralinverse"):
            objects = [each for each in objects if each["kind"] != "Secret"]
        cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))


def api_versions(cluster: Cluster) -> str:
    return "".join(f"{line}/" for line in cluster.kubectl("api-versions").split())


@contextlib.contextmanager
def forwarded(cluster: Cluster) -> Iterator[str]:
    """The chart's proxy at an address of this machine, for as long as it is needed."""
    port = free_port()
    command = [
        kubectl_binary(),
        "--namespace",
        cluster.namespace,
        "port-forward",
        "service/proxy-public",
        f"{port}:http",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert b"Forwarding" in process.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def ready(cluster: Cluster, name: str) -> bool:
    deployment = json.loads(cluster.kubectl("get", "deployment", name, "--output=json"))
    status = deployment["status"]
    return bool(
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("updatedReplicas") == status.get("readyReplicas") == status.get("replicas") == 1
    )


def connect_model(cluster: Cluster) -> None:
    """A model on the cluster, and the Secret that tells the gateway of it."""
    container = {
        "name": "model",
        "image": "neuralinverse/gateway:dev",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", MODEL],
        "ports": [{"containerPort": 8000}],
    }
    meta = {"name": "model", "labels": {"app": "model"}}
    reached = {"OPENAI_UPSTREAM_URL": "http://model:8000/v1", "OPENAI_UPSTREAM_API_KEY": "key"}
    objects = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "model"},
            "spec": {"selector": {"app": "model"}, "ports": [{"port": 8000}]},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "neuralinverse-upstreams"}, "stringData": reached},
    ]
    cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(objects))


def ai_records(cluster: Cluster) -> list[dict[str, str]]:
    """What the ledger on the cluster has of the AI: its export, as an operator would take it."""
    export = "neuralinverse-hub economics export usage /tmp/usage.csv >&2 && cat /tmp/usage.csv"
    table = cluster.kubectl("exec", "deployment/economics", "--", "sh", "-c", export)
    return list(csv.DictReader(table.splitlines()))


def test_a_person_gets_a_warm_workspace_and_keeps_it_through_an_upgrade(page: Any, tmp_path: Path) -> None:
    values = tmp_path / "mine.yaml"
    # The chart makes them at the first install, and finds them again at an upgrade; a rendering finds nothing.
    tokens = ("--set", f"proxy.secretToken={'5e' * 32}")
    tokens += ("--set", f"hub.cookieSecret={'6f' * 32}")
    for service in ("ai-gateway", "git", "economics"):
        tokens += ("--set", f"hub.services.{service}.apiToken={service.encode().hex().ljust(64, '0')}")
    with Cluster.fresh() as cluster:
        values.write_text(yaml.safe_dump(mine()))
        connect_model(cluster)
        install(cluster, values, tokens)
        for name in ("hub", "proxy", "git-host", "ai-gateway", "economics"):
            eventually(f"{name} ready", lambda name=name: ready(cluster, name), 180)
        (warm,) = eventually("a warm pod", cluster.ready, 180)
        with forwarded(cluster) as url:
            page.goto(url)
            page.fill("#username_input", "ada")
            page.fill("#password_input", PASSWORD)
            page.click("#login_submit")
            pages.explorer_shows(page, "WELCOME.md")
            item = page.locator(".statusbar-item").filter(has_text="Protected").first
            expect(item).to_be_visible(timeout=60_000)
            answer = pages.chat(page, "Where do you run?")
            expect(answer).to_contain_text(SAYS, timeout=60_000)
            page.screenshot(path=Path(__file__).parents[1] / "output" / "chart.png")
        # What it used is in the operator's ledger.
        (record, *_) = eventually("the ledger", lambda: ai_records(cluster), 60)
        assert (record["person"], record["model"], record["output_tokens"]) == ("ada", "llama-4", "7")
        (pod,) = cluster.pods(**{"hub.jupyter.org/username": "ada"})
        assert pod["metadata"]["name"] == warm["metadata"]["name"]
        assert pod["status"]["qosClass"] == "Guaranteed"
        security = pod["spec"]["containers"][0]["securityContext"]
        assert security["runAsNonRoot"] and not security["allowPrivilegeEscalation"]
        assert security["capabilities"]["drop"] == ["ALL"]
        cluster.inside(pod["metadata"]["name"], "sh", "-c", "echo before > ~/work/kept.txt")

        # An upgrade that changes a value: the hub is made anew, the workspace goes on.
        values.write_text(yaml.safe_dump(mine(large={"cpu": 1, "memory": "2G"})))
        hub_before = cluster.pods(component="hub")[0]["metadata"]["name"]
        install(cluster, values, tokens)
        eventually(
            "another hub", lambda: hub_before not in {p["metadata"]["name"] for p in cluster.pods(component="hub")}, 90
        )
        eventually("the hub ready again", lambda: ready(cluster, "hub"), 120)
        with forwarded(cluster) as url:
            page.goto(f"{url}/user/ada/vscode/")
            if page.locator("#username_input").is_visible():
                page.fill("#username_input", "ada")
                page.fill("#password_input", PASSWORD)
                page.click("#login_submit")
            pages.explorer_shows(page, "kept.txt")
        (after,) = cluster.pods(**{"hub.jupyter.org/username": "ada"})
        assert after["metadata"]["uid"] == pod["metadata"]["uid"]
