"""A long run with everything going wrong: 200 streams, random faults upstream, clients that leave in the middle.

Afterwards nothing may be left behind: no memory, no sockets, no place in a queue; and every answer that a client saw begin
has exactly one usage record. Usage: ``python tests/bench/soak_gateway.py [--minutes 10] [--streams 200]``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.bench_gateway import Bench, answers, free_port, running  # noqa: E402
from tests.bench.figures import finish  # noqa: E402
from tests.bench.gateway.books import rows  # noqa: E402
from tests.bench.gateway.load import rss_mb  # noqa: E402
from tests.neuralinverse_hub.gateway.azure import KEY, standing_in  # noqa: E402

FAULTS = ("429", "500", "drop", "half-event", "filtered", "content_filter")


class Soak:
    """What clients saw."""

    def __init__(self, url: str, end: float) -> None:
        self.url = url
        self.end = end
        self.begun: set[str] = set()
        self.saw: Counter[str] = Counter()

    async def person(self, session: aiohttp.ClientSession, number: int) -> None:
        while time.monotonic() < self.end:
            await self.ask(session, f"person{number % 20}")

    async def ask(self, session: aiohttp.ClientSession, person: str) -> None:
        leaves_after = random.randint(0, 6) if random.random() < 0.3 else None
        body = {"model": random.choice(["auto", "reasoning", "coding", "general"]), "stream": random.random() < 0.8}
        body["messages"] = [{"role": "user", "content": random.choice(["Hi", "Write Python code", "Prove it"])}]
        headers = {"Authorization": f"Bearer {person}-token"}
        try:
            async with session.post(f"{self.url}/chat/completions", json=body, headers=headers) as response:
                self.saw[str(response.status)] += 1
                seen = 0
                tail = b""
                async for piece in response.content.iter_any():
                    seen += 1
                    tail = (tail + piece)[-400:]
                    if response.status == 200 and (b"data: " in piece or not body["stream"]):
                        # Comments alone are only the wait for an answer.
                        self.begun.add(response.headers["x-request-id"])
                    if leaves_after is not None and seen > leaves_after:
                        self.saw["left"] += 1
                        response.close()
                        return
                if body["stream"] and response.status == 200:
                    # An error that came when the headers were sent already has no record: there was no answer.
                    code = json.loads(tail.split(b"data: ")[-1])["error"]["code"] if b'"error"' in tail else "done"
                    self.saw[str(code)] += 1
                    if code in {"upstreams_failed", "content_filter"}:
                        self.begun.discard(response.headers["x-request-id"])
        except (aiohttp.ClientError, ConnectionError) as error:
            self.saw[type(error).__name__] += 1


async def soak(folder: Path, minutes: float, streams: int) -> bool:
    ledger = str(folder / "ledger.jsonl")
    port = free_port()
    hub = Bench(folder)
    with hub.stack:
        async with standing_in() as azure:
            azure.pieces = ["word "] * 30
            azure.pause_s = 0.05
            azure.capacity = streams // 2
            env = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "JUPYTERHUB_API_URL": f"{hub.upstream}/hub/api",
                "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
                "AZURE_AI_ENDPOINT": azure.url,
                "AZURE_AI_API_KEY": KEY,
                "AZURE_AI_DEPLOYMENTS": "deepseek-r1=my-r1,llama-4=my-llama",
                **hub.books(),
            }
            command = [
                sys.executable,
                "-m",
                "neuralinverse_hub.gateway",
                "--Gateway.heartbeat_s=0.5",
                "--log-level=ERROR",
            ]
            command += [f"--Gateway.spool_dir={folder / 'spool'}"]
            with running(command, env=env, cwd=ROOT) as process:
                base = f"http://127.0.0.1:{port}/services/ai-gateway"
                await asyncio.to_thread(answers, f"{base}/healthz", process, 30)
                run = Soak(f"{base}/v1", time.monotonic() + 10)
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                    await asyncio.gather(*(run.person(session, number) for number in range(streams)))
                    before = rss_mb(process.pid)
                    azure.chaos = lambda: random.choice(FAULTS) if random.random() < 0.2 else None
                    run.end = time.monotonic() + minutes * 60
                    await asyncio.gather(*(run.person(session, number) for number in range(streams)))
                    azure.chaos = None
                await asyncio.sleep(3)
                after = rss_mb(process.pid)
                sockets = len(os.listdir(f"/proc/{process.pid}/fd"))
                operator = aiohttp.ClientSession(headers={"Authorization": "Bearer ada-token"})
                async with operator, operator.get(f"{base}/metrics") as response:
                    metrics = await response.text()
    held = [
        float(line.rsplit(" ", 1)[1])
        for line in metrics.splitlines()
        if line.startswith(("neuralinverse_gateway_in_flight{", "neuralinverse_gateway_waiting{"))
    ]
    lines, again = rows(ledger)
    print(dict(run.saw))
    partial = sum(json.loads(line)["status"] == "partial" for line in lines.values())
    figures = {
        "answers_begun": float(len(run.begun)),
        "usage_records": float(len(lines)),
        "partial_records": float(partial),
        "records_lost": float(len(run.begun - lines.keys())),
        "records_doubled": float(again),
        "places_held": sum(held),
        "open_files": float(sockets),
        "rss_mb": after,
        "rss_growth_mb": after - before,
    }
    targets = {
        "records_lost": ("<=", 0.0),
        "records_doubled": ("<=", 0.0),
        "places_held": ("<=", 0.0),
        "open_files": ("<=", 300.0),
        "rss_mb": ("<=", 80.0),
        "rss_growth_mb": ("<=", 10.0),
    }
    return finish("gateway soak", figures, targets)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the run (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=200, help="streams at the same time (default: %(default)s)")
    asked = parser.parse_args()
    # The stand-in is cut off all the time; it need not tell.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(soak(Path(folder), asked.minutes, asked.streams)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
