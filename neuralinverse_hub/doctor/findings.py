"""What is wrong, and how to mend it, out of what was seen. Pure: knows no network, no cluster and no disk.

A fact that is None was not looked at, because it does not exist here or could not be reached; nothing follows from it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from neuralinverse_hub import wire

__all__ = ["Facts", "Finding", "findings"]

_LEAST_WATCHES = 65536
_LEAST_INSTANCES = 512
_MOST_SKEW_S = 30.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What the probes saw."""

    public_url: str | None = None
    scopes: tuple[str, ...] | None = None
    """Of the token that a workspace has, or somebody made on the hub's Token page."""
    inotify_watches: int | None = None
    inotify_instances: int | None = None
    clock_skew_s: float | None = None
    """How far this machine's clock is ahead of the hub's."""
    git_refused: str | None = None
    """What the git host said to a push below ``refs/ni``; empty: it took it, and showed it afterwards."""
    may_patch_pods: bool | None = None
    image_problem: str | None = None
    """Why the cluster could not start a pod of the workspace image; empty: it did."""
    policy_enforced: bool | None = None
    """Whether a network policy kept a connection out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``name`` stays the same over versions, for scripts."""

    name: str
    severity: Literal["error", "warning"]
    what: str
    mend: str


def findings(facts: Facts) -> list[Finding]:
    """All that is wrong, errors first."""
    found = [*_hub(facts), *_machine(facts), *_git(facts), *_cluster(facts)]
    return sorted(found, key=lambda finding: finding.severity)


def _hub(facts: Facts) -> Iterator[Finding]:
    if facts.public_url is not None:
        parts = urlsplit(facts.public_url)
        if parts.scheme != "https" and not _is_local(parts.hostname or ""):
            yield Finding(
                "no-https",
                "error",
                f"People reach the hub at {facts.public_url}, without HTTPS: browsers then run no service workers, and "
                "VS Code's webviews (Markdown preview, notebooks, chat) stay blank.",
                "Serve it by HTTPS: ingress.tls or proxy.https in the chart's values; NEURALINVERSE_DOMAIN with compose.",
            )
    if facts.scopes is not None:
        wanted = wire.service_scope(wire.GATEWAY_SERVICE)
        if not {wanted, "access:services"} & set(facts.scopes):
            yield Finding(
                "gateway-scope-missing",
                "error",
                f"The token lacks the scope {wanted}, so the AI gateway refuses its workspace.",
                f"Add {wanted} to the scopes of the role 'user' (hub.loadRoles.user.scopes in the chart's values; without "
                "the chart configure(c) does it), restart the hub, and start the workspace again.",
            )


def _machine(facts: Facts) -> Iterator[Finding]:
    for name, seen, least in (
        ("max_user_watches", facts.inotify_watches, _LEAST_WATCHES),
        ("max_user_instances", facts.inotify_instances, _LEAST_INSTANCES),
    ):
        if seen is not None and seen < least:
            yield Finding(
                f"inotify-{name.replace('_', '-')}",
                "warning",
                f"fs.inotify.{name} is {seen}, and all workspaces of a machine share it: changes are then found by looking "
                "at all files again and again, so that saving takes longer.",
                f"On the machine itself, in Kubernetes on each node: sysctl -w fs.inotify.{name}={least}, and the same line "
                "in a file below /etc/sysctl.d so that it stays.",
            )
    if facts.clock_skew_s is not None and abs(facts.clock_skew_s) > _MOST_SKEW_S:
        direction = "ahead of" if facts.clock_skew_s > 0 else "behind"
        yield Finding(
            "clock-skew",
            "error",
            f"This machine's clock is {abs(facts.clock_skew_s):.0f} s {direction} the hub's: logins expire at once, "
            "certificates look invalid, and snapshots are listed at wrong times.",
            "Let both ask a time server: timedatectl set-ntp true, or chrony.",
        )


def _git(facts: Facts) -> Iterator[Finding]:
    if facts.git_refused:
        yield Finding(
            "git-refs-refused",
            "error",
            f"The git host does not keep what is pushed below {wire.REF_ROOT}: {facts.git_refused}",
            f"Remove {wire.REF_ROOT} from receive.hideRefs, transfer.hideRefs and uploadpack.hideRefs on the git host, and "
            "from its rules for pushes. Gitea and Forgejo take these refs as they come.",
        )


def _cluster(facts: Facts) -> Iterator[Finding]:
    if facts.may_patch_pods is False:
        yield Finding(
            "no-patch-on-pods",
            "error",
            "The hub's service account may not patch pods, so nobody can be given a warm workspace: every start is cold.",
            "Install the companion chart (helm-values/companion) in the hub's namespace; it brings the Role. If it is there, "
            "its value hub.serviceAccount has to be the hub's.",
        )
    if facts.image_problem:
        yield Finding(
            "image-not-startable",
            "error",
            f"The cluster cannot start the workspace image: {facts.image_problem}",
            "Check singleuser.image.name and tag; for a private registry set imagePullSecret. On the node, crictl pull says "
            "the same at once.",
        )
    if facts.policy_enforced is False:
        yield Finding(
            "network-policies-not-enforced",
            "error",
            "The cluster accepts network policies and does not enforce them: every workspace reaches every pod.",
            "Use a network plugin that enforces them (Calico, Cilium, Azure CNI with a network policy). On AKS that is chosen "
            "when the cluster is made: az aks create --network-policy.",
        )


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
