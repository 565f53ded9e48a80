"""``python -m neuralinverse_hub.sync run | restore | flush | status``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict

from . import status
from .config import Config
from .daemon import Daemon
from .errors import SyncError
from .flushing import daemon_pid, flush
from .host import GitHost
from .restoring import restore_now


def main(arguments: list[str] | None = None) -> int:
    """0 done; 1 it did not work, with one sentence why; 3 not everything is on the git host."""
    parser = argparse.ArgumentParser(prog="python -m neuralinverse_hub.sync", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="protect the folder until SIGTERM")
    commands.add_parser("restore", help="bring the newest snapshot back into the folder")
    flushing = commands.add_parser("flush", help="ask the running daemon to save now, and wait until it has")
    flushing.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="default: %(default)s")
    commands.add_parser("status", help="what is protected and what is not")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s sync] %(message)s")
    try:
        config = Config.from_env()
        if chosen.command == "run":
            return Daemon(config).run()
        if chosen.command == "restore":
            result = restore_now(config, GitHost(config.remote, lambda: config.token))
            print(json.dumps(asdict(result)))
            return 0
        if chosen.command == "flush":
            return _flush(config, chosen.timeout)
        return _show(config)
    except SyncError as error:
        print(error, file=sys.stderr)
        return 1


def _show(config: Config) -> int:
    found = status.read(config.state)
    if found is None:
        print("Sync has not been started for this workspace.")
        return 3
    print(status.describe(found))
    if daemon_pid(config.private) is None:
        print("The sync daemon does not run at the moment.")
        return 3
    return 0 if found["state"] == "protected" else 3


def _flush(config: Config, timeout_s: float) -> int:
    if daemon_pid(config.private) is None:
        raise SyncError("The sync daemon does not run, so nothing can be saved now.")
    if flush(config, timeout_s):
        return 0
    found = status.read(config.state)
    print(status.describe(found) if found else "Nothing has been saved yet.", file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main())
