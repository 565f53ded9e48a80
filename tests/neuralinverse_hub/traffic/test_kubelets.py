"""Kubelets that are well, silent, mute or somebody else's: what is seen, and what the log says, once."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from neuralinverse_hub.traffic.cluster import Cluster
from neuralinverse_hub.traffic.counting import Pod

NODE = "127.0.83.1"
"""An address of this machine on which nobody else has the kubelet's port."""


class StandInNode:
    """A cluster's API over HTTP that lists one pod on `NODE`, and that node's kubelet over TLS, on its one port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer: web.Response | dict[str, Any] = {}
        self.tokens: set[str | None] = set()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubelet")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(NODE))]), False)
            .add_extension(x509.BasicConstraints(True, 0), True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = made.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "kubelet.pem").write_bytes(self.certificate + secret)
        (folder / "ca.crt").write_bytes(self.certificate)
        (folder / "token").write_text("of the meter\n")
        (folder / "namespace").write_text("ni")

    async def start(self) -> None:
        api = web.Application()
        api.router.add_get("/api/v1/namespaces/ni/pods", self._pods)
        self._api = web.AppRunner(api)
        await self._api.setup()
        site = web.TCPSite(self._api, "127.0.0.1", 0)
        await site.start()
        self.api = f"http://127.0.0.1:{self._api.addresses[0][1]}"
        await self.wake()

    async def wake(self) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.folder / "kubelet.pem")
        kubelet = web.Application()
        kubelet.router.add_get("/stats/summary", self._summary)
        self._kubelet = web.AppRunner(kubelet)
        await self._kubelet.setup()
        await web.TCPSite(self._kubelet, NODE, 10250, ssl_context=context, reuse_address=True).start()

    async def sleep(self) -> None:
        await self._kubelet.cleanup()

    async def stop(self) -> None:
        await self.sleep()
        await self._api.cleanup()

    async def _pods(self, request: web.Request) -> web.Response:
        self.tokens.add(request.headers.get("Authorization"))
        pod = {"metadata": {"uid": "a", "annotations": {"hub.jupyter.org/username": "ada"}}, "status": {"hostIP": NODE}}
        return web.json_response({"items": [pod, {"metadata": {"uid": "unscheduled"}}]})

    async def _summary(self, request: web.Request) -> web.Response:
        self.tokens.add(request.headers.get("Authorization"))
        return web.json_response(self.answer)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[StandInNode]:
    made = StandInNode(tmp_path)
    await made.start()
    yield made
    await made.stop()


SENT = {"pods": [{"podRef": {"uid": "a"}, "network": {"interfaces": [{"name": "eth0", "txBytes": 7}]}}]}
SEEN = [Pod("a", "ada", "default", 7), Pod("unscheduled", "", "default", None)]
UNSEEN = [Pod("a", "ada", "default", None), Pod("unscheduled", "", "default", None)]


async def test_a_kubelet_is_asked_with_the_accounts_token(node: StandInNode) -> None:
    node.answer = SENT
    assert await Cluster(node.api, node.folder).look() == SEEN
    # The cluster renews it, and the next look has the new one.
    (node.folder / "token").write_text("renewed")
    await Cluster(node.api, node.folder).look()
    assert node.tokens == {"Bearer of the meter", "Bearer renewed"}


async def test_a_kubelet_that_does_not_answer_is_named_once_and_so_is_its_return(
    node: StandInNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    node.answer = SENT
    cluster = Cluster(node.api, node.folder)
    await node.sleep()
    assert await cluster.look() == await cluster.look() == UNSEEN
    assert caplog.text.count(f"{NODE}:10250/stats/summary does not answer") == 1
    await node.wake()
    assert await cluster.look() == await cluster.look() == SEEN
    assert caplog.text.count(f"the kubelet at {NODE} answers again") == 1


async def test_a_kubelet_without_figures_of_the_network_is_named_once(
    node: StandInNode, caplog: pytest.LogCaptureFixture
) -> None:
    node.answer = {"pods": [{"podRef": {"uid": "a"}, "cpu": {}}]}
    cluster = Cluster(node.api, node.folder)
    for _ in range(2):
        assert await cluster.look() == UNSEEN
    # One that has just begun.
    assert "no network figures" not in caplog.text
    for _ in range(3):
        await cluster.look()
    assert caplog.text.count("no network figures") == 1


async def test_a_kubelet_with_a_certificate_of_its_own_is_asked_only_where_the_operator_says_so(
    node: StandInNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node.answer = SENT
    (tmp_path / "other").mkdir()
    other = StandInNode(tmp_path / "other")
    (node.folder / "ca.crt").write_bytes(other.certificate)
    assert await Cluster(node.api, node.folder).look() == UNSEEN
    assert "certificate verify failed" in caplog.text and "trustKubelets" in caplog.text
    assert await Cluster(node.api, node.folder, trusting=True).look() == SEEN
