"""The ``neuralinverse-hub`` command: one row per subcommand; only the one that runs is imported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand. Its module has ``arguments(parser)`` and ``run(options) -> exit code``."""

    name: str
    module: str
    help: str


COMMANDS: Final = (
    Command("up", "neuralinverse_hub.local.up", "serve the whole product on this machine"),
    Command("install", "neuralinverse_hub.local.install", "fetch all that 'up' needs, without starting anything"),
    Command("doctor", "neuralinverse_hub.doctor.command", "look for what silently breaks an installation"),
    Command("economics", "neuralinverse_hub.economics.command", "what workspace-hours earn and cost"),
    Command("prices", "neuralinverse_hub.economics.prices_command", "check what the operator earns and pays per unit"),
    Command("workspaces", "neuralinverse_hub.operators.workspaces", "list and stop people's workspaces, empty a node"),
    Command("pool", "neuralinverse_hub.operators.pool", "look at the warm pool, pause it, fix its size"),
    Command("snapshots", "neuralinverse_hub.sync.commands", "go back to earlier states of this workspace"),
)


def parser_for(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with options only for the subcommand that ``argv`` names: the other modules stay unimported."""
    parser = argparse.ArgumentParser(
        prog="neuralinverse-hub",
        description="A developer cloud on JupyterHub: VS Code in a browser tab, work kept in Git, AI without keys.",
        epilog="'neuralinverse-hub COMMAND --help' explains one command.",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        subparser.set_defaults(module=command.module)
        if command.name in argv:
            import_module(command.module).arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; its exit code. What a person can mend is printed as one sentence, with exit code 1."""
    argv = sys.argv[1:] if argv is None else argv
    options = parser_for(argv).parse_args(argv)
    from neuralinverse_hub.local.errors import LocalError

    try:
        return int(import_module(options.module).run(options))
    except LocalError as error:
        print(f"neuralinverse-hub: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("neuralinverse-hub: interrupted. Run the same command again to continue.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
