"""``neuralinverse-hub workspaces list | stop | drain``: what runs, and how to end it without losing work."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from neuralinverse_hub.operators import hub_api
from neuralinverse_hub.operators.hub_api import HubApi, HubError
from neuralinverse_hub.operators.running import Running, ago, chosen, running

__all__ = ["arguments", "run"]

_AT_ONCE: Final = 8
"""Workspaces that end at the same time: each of them brings its last changes to the git host."""
_STEP_S: Final = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``neuralinverse-hub workspaces``."""
    which = hub_api.arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser("list", parents=which, help="the workspaces that run, start or stop")
    shown.add_argument("--node", help="only those on this node of the cluster")
    shown.add_argument("--json", action="store_true", help="print one JSON list")
    stop = actions.add_parser(
        "stop", parents=which, help="stop workspaces; what was saved is on the git host when each has ended"
    )
    stop.add_argument("names", nargs="*", metavar="NAME", help="as 'list' shows them: ada, ada/train")
    stop.add_argument("--all", action="store_true", help="every workspace of this hub")
    drain = actions.add_parser(
        "drain", parents=which, help="stop the workspaces of a node, and keep nothing warm there"
    )
    drain.add_argument("node", metavar="NODE", help="first run: kubectl cordon NODE")
    for ends in (stop, drain):
        ends.add_argument("--yes", action="store_true", help="do not ask")
        ends.add_argument("--timeout", type=float, default=120.0, metavar="S", help="wait this long (default: 120 s)")


def run(options: argparse.Namespace) -> int:
    """0 when done, 1 when a workspace did not stop in time. Raises `LocalError`."""
    hub = hub_api.connect(options)
    there = sorted((running(person, server) for person, server in hub.servers()), key=lambda each: each.name)
    if options.action == "list":
        return _list(there, options)
    if options.action == "drain":
        return _drain(hub, there, options)
    if bool(options.names) == options.all:
        raise HubError("which workspaces? Name them as 'workspaces list' does, or give --all")
    wanted = there if options.all else chosen(there, options.names)
    return _stop(hub, wanted, options, ask=options.all)


def _list(there: Sequence[Running], options: argparse.Namespace) -> int:
    if options.node:
        there = [each for each in there if _node(each) == options.node]
    if options.json:
        print(json.dumps([{"name": each.name, **asdict(each)} for each in there], default=str, indent=2))
        return 0
    if not there:
        print(f"No workspace runs{f' on {options.node}' if options.node else ''}.")
        return 0
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("Workspace", "Size", "State", "Started", "Last used", "Node", box=None, pad_edge=False)
    now = datetime.now(UTC)
    for each in there:
        words = each.name, each.size or "-", each.state, ago(each.started, now), ago(each.used, now), each.node or "-"
        table.add_row(*map(escape, words))
    Console().print(table)
    return 0


def _node(each: Running) -> str:
    if each.node is None:
        raise HubError("the token may not see where workspaces run; it needs the scope admin:server_state", 403)
    return each.node


def _drain(hub: HubApi, there: Sequence[Running], options: argparse.Namespace) -> int:
    here = [each for each in there if _node(each) == options.node]
    if here and not _sure(f"Stop {_counted(here)} on {options.node}?", options):
        return 1
    try:
        # Before people are sent away: the first of them who starts again must not get a pod that waits here.
        deleted = hub.ask("POST", "neuralinverse/pool/leave", {"node": options.node})["deleted"]
        print(f"{deleted} waiting {'pod' if deleted == 1 else 'pods'} taken off {options.node}.")
    except HubError as error:
        if error.status != 404:
            raise
        # There is no pool.
    if not here:
        print(f"No workspace runs on {options.node}.")
    failed = _stop(hub, here, options, ask=False)
    again = [each for each in (running(*both) for both in hub.servers()) if each.node == options.node and each.started]
    if not failed and again:
        names = ", ".join(each.name for each in again)
        print(f"Started there meanwhile: {names}. Run 'kubectl cordon {options.node}', then this again.")
        return 1
    return failed


def _stop(hub: HubApi, wanted: Sequence[Running], options: argparse.Namespace, *, ask: bool) -> int:
    if ask and wanted and not _sure(f"Stop {_counted(wanted)}?", options):
        return 1
    if not wanted and ask:
        print("No workspace runs.")
    failed = 0
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        ending = {threads.submit(_end, hub, each, options.timeout): each for each in wanted}
        try:
            for count, future in enumerate(as_completed(ending), 1):
                each = ending[future]
                try:
                    print(f"[{count}/{len(wanted)}] {each.name} stopped in {future.result():.0f} s", flush=True)
                except HubError as error:
                    failed = 1
                    print(f"[{count}/{len(wanted)}] {each.name} did not stop: {error}", file=sys.stderr, flush=True)
        except BaseException:
            threads.shutdown(cancel_futures=True, wait=False)
            raise
    return failed


def _end(hub: HubApi, each: Running, timeout_s: float) -> float:
    """Seconds until the hub said that it has ended. Raises `HubError`."""
    began = time.monotonic()
    hub.stop(each.person, each.server)
    while each.server in (servers := hub.servers_of(each.person)):
        server = servers[each.server]
        if not server.get("ready") and not server.get("pending"):
            break
        if time.monotonic() - began > timeout_s:
            raise HubError(f"not within {timeout_s:.0f} s; the hub goes on trying")
        time.sleep(_STEP_S)
    return time.monotonic() - began


def _sure(question: str, options: argparse.Namespace) -> bool:
    if options.yes:
        return True
    if not sys.stdin.isatty():
        raise HubError(f"{question} Nobody is here to answer; give --yes")
    return input(f"{question} What was saved is kept. [y/N] ").strip().lower() in ("y", "yes")


def _counted(there: Sequence[Running]) -> str:
    return "1 workspace" if len(there) == 1 else f"{len(there)} workspaces"
