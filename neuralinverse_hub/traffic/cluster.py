"""Which pods there are, and what each has sent: the cluster's API and its kubelets, asked as the pod's own account.

Kubelets are asked directly and not through the API server: there the way to them is ``nodes/proxy``, which lets its holder
run commands in every pod. Asked directly, their ``/stats`` needs ``nodes/stats`` alone.
See https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from neuralinverse_hub import wire
from neuralinverse_hub.traffic.counting import Pod
from neuralinverse_hub.traffic.errors import ClusterAway, TrafficError

__all__ = ["ACCOUNT", "Cluster", "pods_of", "sent_by"]

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its account: ``token``, ``ca.crt``, ``namespace``."""

_KUBELET_PORT: Final = 10250
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, connect=5)
_AT_ONCE: Final = 20
_LOOKS_OF_PATIENCE: Final = 3
# KubeSpawner's: a label of every pod that it makes, and whose pod it is, as the hub writes their names.
_SELECTOR: Final = "component=singleuser-server"
_PERSON: Final = "hub.jupyter.org/username"
_SERVER: Final = "hub.jupyter.org/servername"

_log = logging.getLogger(__name__)


class Cluster:
    """One namespace of a cluster. ``api`` is the address of its API, ``account`` a folder as `ACCOUNT`.

    ``trusting``: ask kubelets whose certificate the cluster's authority did not sign. Whoever takes a node's address then
    gets this account's token, which opens no more than these same figures.
    """

    def __init__(self, api: str, account: Path = ACCOUNT, trusting: bool = False) -> None:
        self._api = api.rstrip("/")
        self._account = account
        try:
            self._namespace = (account / "namespace").read_text().strip()
            self._trust = ssl.create_default_context(cafile=str(account / "ca.crt"))
        except (OSError, ssl.SSLError) as error:
            raise TrafficError(
                f"There is no account of a cluster in {account} ({error}); the meter runs in a pod whose account is mounted."
            ) from error
        self._kubelets: ssl.SSLContext | bool = False if trusting else self._trust
        self._silent: frozenset[str] = frozenset()
        self._mute: dict[str, int] = {}

    async def look(self) -> list[Pod]:
        """All workspaces' pods. Raises `ClusterAway`; a kubelet that does not answer only leaves its pods unsaid."""
        try:
            # Renewed by the cluster every hour or so.
            token = (self._account / "token").read_text().strip()
        except OSError as error:
            raise ClusterAway(f"the account's token cannot be read: {error}") from error
        headers = {"Authorization": f"Bearer {token}"}
        # Within the cluster a proxy of the environment has no business.
        async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT, trust_env=False) as session:
            listed = await _get(
                session,
                f"{self._api}/api/v1/namespaces/{self._namespace}/pods?labelSelector={_SELECTOR}",
                self._trust,
            )
            nodes = sorted({address for pod in listed["items"] if (address := _address(pod))})
            turns = asyncio.Semaphore(_AT_ONCE)
            answers = await asyncio.gather(*(self._ask(session, node, turns) for node in nodes))
        sent = {uid: amount for answer in answers for uid, amount in (answer or {}).items()}
        silent = frozenset(node for node, answer in zip(nodes, answers, strict=True) if answer is None)
        for node in sorted(self._silent - silent):
            _log.info("the kubelet at %s answers again", node)
        self._silent = silent
        self._warn_of_mute(node for node, answer in zip(nodes, answers, strict=True) if answer == {})
        return pods_of(listed, sent)

    def _warn_of_mute(self, nodes: Iterable[str]) -> None:
        """Say once which nodes have workspaces and no word of their network; a pod that begins has none for a moment."""
        self._mute = {node: self._mute.get(node, 0) + 1 for node in nodes}
        for node, looks in self._mute.items():
            if looks == _LOOKS_OF_PATIENCE:
                _log.warning(
                    "the kubelet at %s has no network figures of any pod, so nothing is counted there: its cAdvisor does not "
                    "know the container runtime",
                    node,
                )

    async def _ask(self, session: aiohttp.ClientSession, node: str, turns: asyncio.Semaphore) -> dict[str, int] | None:
        host = f"[{node}]" if ":" in node else node
        try:
            async with turns:
                return sent_by(await _get(session, f"https://{host}:{_KUBELET_PORT}/stats/summary", self._kubelets))
        except ClusterAway as error:
            if node not in self._silent:
                _log.warning("what pods of a node send is not seen until its kubelet answers: %s", error)
            return None


async def _get(session: aiohttp.ClientSession, url: str, trust: ssl.SSLContext | bool) -> dict[str, Any]:
    try:
        async with session.get(url, ssl=trust, allow_redirects=False) as answer:
            if answer.status != 200:
                said = (await answer.text())[:300]
                raise ClusterAway(f"{url} answered {answer.status}: {said}")
            found = await answer.json(content_type=None)
    except aiohttp.ClientConnectorCertificateError as error:
        raise ClusterAway(
            f"{url} has a certificate that the cluster's authority did not sign ({error}); where kubelets sign their own, "
            f"set custom.neuralinverse.traffic.trustKubelets"
        ) from error
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ClusterAway(f"{url} does not answer ({type(error).__name__}: {error})") from error
    if not isinstance(found, dict):
        raise ClusterAway(f"{url} answered something that is not Kubernetes'")
    return found


def pods_of(listed: Mapping[str, Any], sent: Mapping[str, int]) -> list[Pod]:
    """The pods of the API's list, with what each has ``sent`` by its uid. Pure."""
    found = []
    for each in listed["items"]:
        metadata = each["metadata"]
        whose = metadata.get("annotations") or {}
        workspace = whose.get(_SERVER) or wire.DEFAULT_WORKSPACE
        found.append(Pod(metadata["uid"], whose.get(_PERSON) or "", workspace, sent.get(metadata["uid"])))
    return found


def sent_by(summary: Mapping[str, Any]) -> dict[str, int]:
    """Bytes that each pod of a kubelet's summary has sent, by uid; those it has no network figures of are left out. Pure.

    Over all interfaces but the loopback, whose bytes leave nothing.
    """
    found = {}
    for each in summary.get("pods") or ():
        faces = (each.get("network") or {}).get("interfaces") or ()
        amounts = [face["txBytes"] for face in faces if face.get("name") != "lo" and "txBytes" in face]
        if amounts:
            found[each["podRef"]["uid"]] = sum(map(int, amounts))
    return found


def _address(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("hostIP") or "")
