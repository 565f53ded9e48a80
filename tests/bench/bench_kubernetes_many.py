"""Many people on one hub: twenty who come at once to a pool of twenty, and what two hundred running workspaces cost the hub.

Needs the cluster of ``KUBECONFIG`` with the workspace image; without ``NEURALINVERSE_E2E_CLUSTER`` it says so and measures
nothing. The twenty get real workspaces, timed from their request until ``/user/…/vscode/`` answers 200; how long that must
take at least follows from the CPU seconds that the whole machine spent meanwhile. The two hundred are pods that answer and
do nothing: what is measured is the hub's own process over a minute of rest, after 10, 50, 100 and 200 of them.

Usage: ``python tests/bench/bench_kubernetes_many.py [--people 20] [--workspaces 10 50 100 200] [--rest 60]``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from neuralinverse_hub.local import install  # noqa: E402
from tests.bench.figures import finish, median, table  # noqa: E402
from tests.cluster import Cluster, ClusterHub  # noqa: E402
from tests.one_machine import eventually  # noqa: E402

SMALL = """
from spawner.kube import NeuralInverseSpawner

class Small(NeuralInverseSpawner):
    # Reserves next to nothing, so that all fit on a small node; may use what the size says.
    def apply_size(self, size):
        super().apply_size(size)
        self.cpu_guarantee = 0.001
        self.mem_guarantee = "32M"

c.JupyterHub.spawner_class = Small
c.NeuralInverseSpawner.sizes = {"small": {"cpu": 2, "memory": "1536M"}}
c.JupyterHub.active_server_limit = 0
"""
ANSWERING = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("", 8888), Answer).serve_forever()
"""
BARE = SMALL + f'c.NeuralInverseSpawner.cmd = ["python", "-Sc", {ANSWERING!r}]\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20, help="who come at once (default: %(default)s)")
    parser.add_argument("--workspaces", type=int, nargs="+", default=[10, 50, 100, 200], help="default: %(default)s")
    parser.add_argument("--rest", type=float, default=60.0, help="seconds over which the hub is watched")
    options = parser.parse_args()
    if not os.environ.get("NEURALINVERSE_E2E_CLUSTER"):
        print("Not measured: NEURALINVERSE_E2E_CLUSTER is not set; see the text of --help.")
        return 0
    proxy = list(install.ensure().proxy_command or ())
    with tempfile.TemporaryDirectory() as folder:
        figures = at_once(Path(folder) / "at-once", proxy, options.people)
        figures |= at_rest(Path(folder) / "at-rest", proxy, options.workspaces, options.rest)
    targets = {
        "cold_starts": ("<=", 0.0),
        "over_cpu_bound": ("<=", 1.5),
        "memory_growth_ratio": ("<=", 1.25),
        "cpu_growth_ratio": ("<=", 1.25),
    }
    return 0 if finish("kubernetes_many", figures, targets) else 1


def at_once(folder: Path, proxy: list[str], people: int) -> dict[str, float]:
    """Everybody asks at the same moment."""
    pool = f'c.NeuralInverseSpawner.pool = {{"small": {{"fixed": {people}}}}}\n'
    names = [f"p{n}" for n in range(people)]
    with Cluster.fresh() as cluster, ClusterHub(cluster, folder, proxy, SMALL + pool).running() as hub:
        hub.add(*names)
        print(f"Loading {people} warm pods …", flush=True)
        eventually("the pool", lambda: len(cluster.ready()) == people, 900)
        time.sleep(5)
        before, began = busy(), time.perf_counter()

        def come(person: str) -> float:
            hub.begin(person)
            hub.wait_ready(person, 300)
            hub.answers(person)
            return time.perf_counter() - began

        with ThreadPoolExecutor(people) as threads:
            seconds = list(threads.map(come, names))
        spent = busy() - before
        cold = hub.metric("neuralinverse_cold_starts_total")
    bound = spent / (os.cpu_count() or 1)
    print(
        f"{people} at once: median {median(seconds):.2f} s, the last {max(seconds):.2f} s, none sooner than {bound:.2f} s"
    )
    return {
        "people": people,
        "median_s": median(seconds),
        "last_s": max(seconds),
        "cpu_s": spent,
        "over_cpu_bound": max(seconds) / bound,
        "cold_starts": cold,
    }


def at_rest(folder: Path, proxy: list[str], steps: list[int], rest_s: float) -> dict[str, float]:
    """What a minute costs the hub with ever more workspaces running."""
    rows: list[tuple[int, float, float]] = []
    with Cluster.fresh() as cluster, ClusterHub(cluster, folder, proxy, BARE).running() as hub:
        assert hub.process is not None
        process = psutil.Process(hub.process.pid)
        running = 0
        for count in [0, *steps]:
            names = [f"p{n}" for n in range(running, count)]
            if names:
                hub.add(*names)
                with ThreadPoolExecutor(8) as threads:
                    list(threads.map(lambda name: (hub.begin(name), hub.wait_ready(name, 300)), names))
            running = count
            time.sleep(10)
            before, began = process.cpu_times(), time.perf_counter()
            time.sleep(rest_s)
            after, took = process.cpu_times(), time.perf_counter() - began
            cpu = (after.user + after.system - before.user - before.system) / took
            rows.append((count, 100 * cpu, process.memory_info().rss / 1e6))
            print(f"{count} workspaces: {rows[-1][1]:.2f} % of a core, {rows[-1][2]:.0f} MB", flush=True)
    print(table(["workspaces", "% of a core", "MB"], rows))
    # Per workspace: of the first half of them, and of the second half. The first pod brings libraries of its own with it,
    # so the count begins at the first step.
    first, middle, last = rows[1], rows[len(rows) - 2], rows[-1]

    def each(column: int, low: tuple[int, float, float], high: tuple[int, float, float]) -> float:
        return (high[column] - low[column]) / (high[0] - low[0])

    return {
        "hub_percent_of_core": last[1],
        "hub_mb": last[2],
        "memory_kb_each": 1000 * each(2, first, last),
        "memory_growth_ratio": each(2, middle, last) / each(2, first, middle),
        "cpu_percent_each": each(1, first, last),
        "cpu_growth_ratio": each(1, middle, last) / each(1, first, middle),
    }


def busy() -> float:
    """CPU seconds that all processes of this machine have spent."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


if __name__ == "__main__":
    sys.exit(main())
