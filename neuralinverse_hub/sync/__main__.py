"""``python -m neuralinverse_hub.sync run | restore | flush | status``.

``run`` restores first. When the folder may be used it writes one line of JSON to standard output, the same that
``restore`` writes (`restoring.Restored`), so whoever starts a workspace needs this one process only: start it, read a
line, open the editor, and send SIGTERM at the end.

``run --standby`` is for a workspace that does not know yet whose it will be. It loads all there is to load, then waits
for one line on standard input: a JSON object with the environment variables it should have. From that line on it is
``run``; an end of input without a line ends it with 0. The secrets among the variables are on no command line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from dataclasses import asdict

from . import sealed, status
from .config import Config
from .daemon import Daemon
from .errors import BadConfiguration, SyncError
from .flushing import daemon_pid, flush
from .host import GitHost
from .restoring import Restored, restore_now


def main(arguments: list[str] | None = None) -> int:
    """0 done; 1 it did not work, with one sentence why; 3 not everything is on the git host."""
    parser = argparse.ArgumentParser(
        prog="python -m neuralinverse_hub.sync", description="Keep a workspace's folder on the git host."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="restore, say so in one line of JSON, and protect until SIGTERM")
    running.add_argument("--standby", action="store_true", help="first wait for the environment, as JSON, on stdin")
    commands.add_parser("restore", help="bring the newest snapshot back into the folder; prints one line of JSON")
    flushing = commands.add_parser("flush", help="ask the running daemon to save now, and wait until it has")
    flushing.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="default: %(default)s")
    commands.add_parser("status", help="what is protected and what is not")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s sync] %(message)s")
    try:
        if chosen.command == "run":
            if chosen.standby and not _wait_for_environment():
                return 0
            return Daemon(Config.from_env(), tell=_tell).run()
        config = Config.from_env()
        if chosen.command == "restore":
            _tell(restore_now(config, GitHost(config.remote, config.credentials)))
            return 0
        if chosen.command == "flush":
            return _flush(config, chosen.timeout)
        return _show(config)
    except SyncError as error:
        print(error, file=sys.stderr)
        return 1


def _wait_for_environment() -> bool:
    """Whether an environment came; it is in force then."""
    sealed.load()
    line = sys.stdin.readline()
    if not line:
        return False
    try:
        given = json.loads(line)
        os.environ.update({str(name): str(value) for name, value in given.items()})
    except (ValueError, AttributeError) as error:
        raise BadConfiguration("Standard input should hold one JSON object of environment variables.") from error
    return True


def _tell(result: Restored) -> None:
    # Who started us may be gone by now, and that is no reason to stop protecting.
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(asdict(result)).encode() + b"\n")


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
