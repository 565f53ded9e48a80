"""The command: asks every probe that has something to look at here, prints what follows. Exit code 1 with an error."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace

from neuralinverse_hub import wire

from . import probes
from .findings import Facts, Finding, findings

__all__ = ["arguments", "run"]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="where people reach the hub, e.g. https://hub.example.org")
    parser.add_argument("--namespace", help="look at this namespace of the cluster of KUBECONFIG, or of this pod")
    parser.add_argument("--image", help="with --namespace: start a pod of this workspace image for a moment")
    parser.add_argument("--json", action="store_true", help="print facts and findings as JSON")


def run(options: argparse.Namespace) -> int:
    facts, notes = _look(options, os.environ)
    found = findings(facts)
    if options.json:
        print(
            json.dumps({"facts": asdict(facts), "findings": [asdict(each) for each in found], "notes": notes}, indent=2)
        )
    else:
        _print(facts, found, notes)
    return int(any(each.severity == "error" for each in found))


def _look(options: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Facts, list[str]]:
    """(what was seen, what could not be looked at and why)."""
    notes: list[str] = []
    api, token = environ.get("JUPYTERHUB_API_URL", ""), environ.get(wire.ENV_TOKEN, "")
    url = options.url or environ.get("JUPYTERHUB_PUBLIC_HUB_URL") or None
    scopes = probes.scopes(api, token) if api and token else None
    if scopes is None:
        notes.append(
            "scopes: no hub answers to a token here; run this in a workspace, or set JUPYTERHUB_API_URL and -_TOKEN"
        )
    refused = probes.git_refusal(environ)
    if refused is None:
        notes.append("git host: this is no workspace with a git host; run this in one")
    clock = api or url
    facts = Facts(
        public_url=url,
        scopes=scopes,
        inotify_watches=probes.inotify("max_user_watches"),
        inotify_instances=probes.inotify("max_user_instances"),
        clock_skew_s=probes.clock_skew_s(clock) if clock else None,
        git_refused=refused,
    )
    if not options.namespace:
        notes.append("cluster: not asked for; --namespace NAME --image IMAGE looks at it")
        return facts, notes
    from . import cluster

    try:
        seen = asyncio.run(cluster.look(options.namespace, options.image))
    except Exception as error:
        notes.append(f"cluster: {' '.join(str(error).split())[:300] or type(error).__name__}")
        return facts, notes
    return replace(facts, **asdict(seen)), notes


def _print(facts: Facts, found: list[Finding], notes: list[str]) -> None:
    colours = (
        {"error": "31", "warning": "33", "fine": "32"} if sys.stdout.isatty() and "NO_COLOR" not in os.environ else {}
    )

    def word(kind: str) -> str:
        return f"\033[{colours[kind]}m{kind}\033[0m" if kind in colours else kind

    for finding in found:
        print(f"{word(finding.severity)}: {finding.what} [{finding.name}]\n  Mend it: {finding.mend}")
    for note in notes:
        print(f"not looked at: {note}")
    looked = sum(value is not None for value in asdict(facts).values())
    verdict = f"{len(found)} wrong" if found else "nothing wrong"
    print(f"{word(found[0].severity if found else 'fine')}: {verdict} in {looked} things looked at")
