"""``python -m neuralinverse_hub.traffic``: the meter, in a pod of its own beside the hub."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

from neuralinverse_hub import wire
from neuralinverse_hub.delivery import LedgerClient
from neuralinverse_hub.environment import needed
from neuralinverse_hub.traffic.cluster import ACCOUNT, Cluster
from neuralinverse_hub.traffic.errors import TrafficError
from neuralinverse_hub.traffic.meter import Meter

ENV_FOLDER: Final = "NEURALINVERSE_TRAFFIC_DIR"
"""Folder that keeps the count and the records on their way; the meter's own."""


def _need(name: str, what: str) -> str:
    return needed(os.environ, name, what, TrafficError)


def _api() -> str:
    host = _need("KUBERNETES_SERVICE_HOST", "the address of the cluster's API, as the cluster tells every pod")
    port = os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def _measure(account: Path, trusting: bool) -> None:
    folder = Path(_need(ENV_FOLDER, "a folder of the meter's own"))
    client = LedgerClient(
        _need(wire.ENV_VOLUMES_URL, "where the ledger takes records of storage and network"),
        _need(wire.ENV_TOKEN, f"the token of the hub's service {wire.TRAFFIC_SERVICE}"),
    )
    cluster = Cluster(_api(), account, trusting)
    meter = Meter(folder, cluster.look, client.deliver, os.environ.get(wire.ENV_REGION, ""))
    try:
        meter.open()
    except OSError as error:
        raise TrafficError(f"The count cannot be kept in {folder}: {error.strerror}.") from error
    logging.info("measuring what workspaces send; the ledger is at %s", client.url)
    running = meter.run()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    await meter.close()


def main() -> int:
    """Measure until SIGTERM or SIGINT; 1 and one sentence when that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m neuralinverse_hub.traffic", description=__doc__)
    parser.add_argument(
        "--account", type=Path, default=ACCOUNT, help="folder with the account's token (default: %(default)s)"
    )
    parser.add_argument(
        "--trust-kubelets",
        action="store_true",
        help="also those whose certificate the cluster's authority did not sign",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s traffic] %(message)s")
    try:
        asyncio.run(_measure(options.account, options.trust_kubelets))
    except TrafficError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
