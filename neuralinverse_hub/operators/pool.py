"""``neuralinverse-hub pool show | pause | resume | fix | follow``: the warm pool while the hub runs."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from neuralinverse_hub.operators import hub_api

__all__ = ["arguments", "run"]

_PATH: Final = "neuralinverse/pool"
_EPILOG: Final = "Changes last until the hub restarts; c.NeuralInverseSpawner.pool says what holds from then on."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``neuralinverse-hub pool``."""
    which = hub_api.arguments(parser)
    parser.epilog = _EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = actions.add_parser(
        "show", parents=which, help="how many wait, load and were claimed, and how many there should be"
    )
    shown.add_argument("--json", action="store_true", help="print the hub's JSON")
    for action, words in (
        ("pause", "make no new ones; those that wait are still given out"),
        ("resume", "make new ones again"),
        ("fix", "keep exactly this many, whatever the clock and the demand say"),
        ("follow", "follow the clock and the demand again"),
    ):
        one = actions.add_parser(action, parents=which, help=words, epilog=_EPILOG)
        one.add_argument("size", metavar="SIZE", help="as 'pool show' has it")
        if action == "fix":
            one.add_argument("count", type=int, metavar="N")


def run(options: argparse.Namespace) -> int:
    """0 when done. Raises `LocalError`."""
    hub = hub_api.connect(options)
    if options.action == "show":
        pools = hub.ask("GET", _PATH)
    else:
        pools = hub.ask("PATCH", _PATH, {options.size: _wish(options)})
    if getattr(options, "json", False):
        print(json.dumps(pools, indent=2))
    else:
        _show(pools)
        if options.action != "show":
            print(_EPILOG)
    return 0


def _wish(options: argparse.Namespace) -> dict[str, Any]:
    wishes: dict[str, dict[str, Any]] = {
        "pause": {"paused": True},
        "resume": {"paused": False},
        "fix": {"fixed": getattr(options, "count", None)},
        "follow": {"fixed": None},
    }
    return wishes[str(options.action)]


def _show(pools: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("Size", "Waiting", "Loading", "Claimed", "Wanted", "Rule", box=None, pad_edge=False)
    for size, pool in pools.items():
        rule = f"{pool['min']} to {pool['max']}" if pool["fixed"] is None else f"fixed at {pool['fixed']}"
        rule += ", paused" if pool["paused"] else ""
        counts = (str(pool.get(key, "-")) for key in ("ready", "loading", "claimed", "wanted"))
        table.add_row(escape(size), *counts, rule)
    console = Console()
    console.print(table)
    for size, pool in pools.items():
        if pool["failing"]:
            console.print(f"{escape(size)} does not start: {escape(pool['failing'])}", style="red", highlight=False)
