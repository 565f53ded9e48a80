"""Fair turns under a flood: what others wait while one person floods, how busy the upstream is kept, who sees a 429.

The upstream works on a few requests at once and answers 429 beyond that. First four people ask one after the other, alone;
then the same with one person who keeps many requests waiting all the time.
Usage: ``python tests/bench/bench_gateway_fair.py [--seconds 20]``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench_gateway import Bench  # noqa: E402
from tests.bench.figures import finish, percentile  # noqa: E402

CAPACITY = 8
SERVICE_S = 0.25
FLOOD = 60
OTHERS = ("bob", "cyd", "dan", "eve")


class Watch:
    """What people saw."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.statuses: dict[int, int] = {}


async def ask(session: aiohttp.ClientSession, url: str, person: str, watch: Watch) -> float:
    body = {"model": "general", "messages": [{"role": "user", "content": "Hello"}]}
    started = time.perf_counter()
    headers = {"Authorization": f"Bearer {person}-token"}
    async with session.post(f"{url}/chat/completions", json=body, headers=headers) as response:
        await response.read()
    watch.statuses[response.status] = watch.statuses.get(response.status, 0) + 1
    return time.perf_counter() - started


async def keep_asking(
    session: aiohttp.ClientSession, url: str, person: str, watch: Watch, end: float, *, counted: bool
) -> None:
    while time.perf_counter() < end:
        took = await ask(session, url, person, watch)
        if counted:
            watch.waits.append(took)


async def run(url: str, seconds: float, *, flood: int) -> Watch:
    watch = Watch()
    end = time.perf_counter() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        flooding = [
            asyncio.create_task(keep_asking(session, url, "ada", watch, end, counted=False)) for _ in range(flood)
        ]
        if flood:
            # Until the flood has found the upstream's limit.
            await asyncio.sleep(min(5.0, seconds / 4))
        await asyncio.gather(*(keep_asking(session, url, person, watch, end, counted=True) for person in OTHERS))
        await asyncio.gather(*flooding)
    return watch


def usage(upstream: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{upstream}/busy", timeout=10) as response:
        return dict(json.load(response))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each part (default: %(default)s)")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), "--capacity", str(CAPACITY), "--service-s", str(SERVICE_S))
        with bench.stack:
            bench.ours()
            url = bench.targets[-1].url
            alone = asyncio.run(run(url, seconds / 2, flood=0))
            before = usage(bench.upstream)
            flooded = asyncio.run(run(url, seconds, flood=FLOOD))
            after = usage(bench.upstream)
    elapsed = after["now"] - before["now"]
    figures = {
        "alone_p95_s": percentile(alone.waits, 95),
        "flooded_p95_s": percentile(flooded.waits, 95),
        "wait_ratio_p95": percentile(flooded.waits, 95) / percentile(alone.waits, 95),
        "upstream_busy": (after["busy_s"] - before["busy_s"]) / (elapsed * CAPACITY),
        "refused_by_upstream": after["refused"] - before["refused"],
        "answers": float(flooded.statuses.get(200, 0)),
        "errors_seen": float(sum(count for status, count in flooded.statuses.items() if status != 200)),
    }
    targets = {"wait_ratio_p95": ("<=", 2.0), "upstream_busy": (">=", 0.9), "errors_seen": ("<=", 0.0)}
    return 0 if finish("gateway fair turns", figures, targets) else 1


if __name__ == "__main__":
    raise SystemExit(main())
