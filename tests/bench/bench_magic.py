"""How long after the bare gateway call the first token stands in a notebook: ``python tests/bench/bench_magic.py [runs]``.

A real kernel asks a gateway on loopback that answers at once. ``bare`` is a plain ``http.client`` request over a kept connection
until its first token; ``notebook`` is from sending the cell to the kernel until the first display message with text has come
back, so it holds all of the kernel's own work too. ``empty cell`` is the same for a cell that displays a constant.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from ai_provider import kernel_startup
from tests.ai_provider.standin import TOKEN, StandIn
from tests.bench.figures import finish, median, percentile

WARM_UP = 3


def bare(connection: http.client.HTTPConnection, path: str) -> float:
    """Seconds until the first token of a plain request."""
    began = time.perf_counter()
    body = json.dumps({"model": "coding", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    connection.request("POST", path, body, {"Authorization": f"Bearer {TOKEN}"})
    response = connection.getresponse()
    seen = b""
    while b'"content"' not in seen:
        seen += response.read1()
    took = time.perf_counter() - began
    response.read()
    return took


def cell(kernel: BlockingKernelClient, source: str) -> float:
    """Seconds until the kernel has shown something for the cell; waits for the cell's end."""
    began = time.perf_counter()
    asked = kernel.execute(source)
    took: float | None = None
    while True:
        message: dict[str, Any] = kernel.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") != asked:
            continue
        if message["msg_type"] == "error":
            raise RuntimeError(message["content"]["evalue"])
        if message["msg_type"] == "display_data" and took is None:
            took = time.perf_counter() - began
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            if took is None:
                raise RuntimeError(f"nothing was shown for {source!r}")
            return took


def main(runs: int) -> int:
    gateway = StandIn()
    gateway.pause_s = 0
    with tempfile.TemporaryDirectory() as home:
        kernel_startup.install(Path(home))
        environment = {**os.environ, **gateway.environment(), "HOME": home}
        manager, kernel = start_new_kernel(kernel_name="python3", env=environment, cwd=home)
        connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc)
        try:
            first = cell(kernel, "%%ai coding\nHi")
            samples: dict[str, list[float]] = {"bare call": [], "notebook": [], "empty cell": []}
            for number in range(runs + WARM_UP):
                taken = {
                    "bare call": bare(connection, urlsplit(gateway.url).path + "/chat/completions"),
                    "notebook": cell(kernel, "%%ai coding\nHi"),
                    "empty cell": cell(kernel, "display(1)"),
                }
                if number >= WARM_UP:
                    for name, took in taken.items():
                        samples[name].append(took)
        finally:
            connection.close()
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)
            gateway.stop()
    pairs = [asked - plain for asked, plain in zip(samples["notebook"], samples["bare call"], strict=True)]
    print(f"{runs} runs, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}\n")
    figures = {"first_of_a_kernel_ms": first * 1000}
    for name, seconds in {**samples, "notebook over bare call": pairs}.items():
        figures[f"{name.replace(' ', '_')}_median_ms"] = median(seconds) * 1000
        figures[f"{name.replace(' ', '_')}_p95_ms"] = percentile(seconds, 95) * 1000
    return 0 if finish("magic", figures, {"notebook_over_bare_call_median_ms": ("<=", 15.0)}) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
