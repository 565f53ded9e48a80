"""From asking for a workspace on Kubernetes to VS Code answering: a warm pod, a new one, and plain KubeSpawner's.

Needs the cluster of ``KUBECONFIG`` with the workspace image, and two idle CPUs (``make e2e-cluster`` says more); without
``NEURALINVERSE_E2E_CLUSTER`` it says so and measures nothing. Three hubs run, on one namespace each, and are measured in turn:
ours with one warm pod, ours without a pool, and one whose spawner is KubeSpawner with the same image, command and environment.
What is timed: the request that starts the workspace, until ``/user/…/vscode/`` answers 200 through the hub's proxy.

Usage: ``python tests/bench/bench_kubernetes.py [--rounds 7]``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from neuralinverse_hub.local import install  # noqa: E402
from tests.bench.figures import finish, median, percentile, table  # noqa: E402
from tests.cluster import Cluster, ClusterHub  # noqa: E402
from tests.one_machine import eventually  # noqa: E402

SIZE = """
from spawner.kube import NeuralInverseSpawner

class Small(NeuralInverseSpawner):
    # Reserves little, so that all fit on a node of two CPUs; may use both, like the size that it stands for.
    def apply_size(self, size):
        super().apply_size(size)
        self.cpu_guarantee = 0.1

c.JupyterHub.spawner_class = Small
c.NeuralInverseSpawner.sizes = {"small": {"cpu": 2, "memory": "1536M"}}
"""
WARM = SIZE + 'c.NeuralInverseSpawner.pool = {"small": {"fixed": 1}}\n'
PLAIN = """
from kubespawner import KubeSpawner
from spawner.image import ImageMixin

class Plain(ImageMixin, KubeSpawner):
    pass

c.JupyterHub.spawner_class = Plain
c.Plain.sizes = {}
c.Plain.cpu_guarantee, c.Plain.cpu_limit = 0.1, 2
c.Plain.mem_guarantee = c.Plain.mem_limit = "1536M"
c.Plain.git_url = f"{c.NeuralInverseHub.hub_url}/services/git"
c.Plain.sync_secret_file = "sync_secret"
c.Plain.gateway_url = f"{c.NeuralInverseHub.hub_url}/services/ai-gateway/v1"
c.Plain.default_url = "/vscode/"
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured (default: %(default)s)")
    rounds = parser.parse_args().rounds
    if not os.environ.get("NEURALINVERSE_E2E_CLUSTER"):
        print("Not measured: NEURALINVERSE_E2E_CLUSTER is not set; see the text of --help.")
        return 0
    proxy = list(install.ensure().proxy_command or ())
    seconds: dict[str, list[float]] = {"warm": [], "new": [], "plain KubeSpawner": []}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hubs = {}
        for name, more in zip(seconds, (WARM, SIZE, PLAIN), strict=True):
            hub = ClusterHub(stack.enter_context(Cluster.fresh()), folder / name.split()[0], proxy, more)
            hubs[name] = stack.enter_context(hub.running())
            hub.add("ada")
        for n in range(rounds + 1):
            for name, hub in hubs.items():
                # Nobody is measured while the next warm pod loads.
                eventually("a warm pod", hubs["warm"].cluster.ready, 120)
                time.sleep(1)
                took = one(hub)
                # The first one of each fills the disk's cache.
                if n:
                    seconds[name].append(took)
    warm, new, plain = (median(each) for each in seconds.values())
    print(
        table(
            ["start", "runs", "median (s)", "p99 (s)", "max (s)"],
            [(name, len(each), median(each), percentile(each, 99), max(each)) for name, each in seconds.items()],
        )
    )
    figures = {
        "warm_s": warm,
        "warm_p99_s": percentile(seconds["warm"], 99),
        "new_s": new,
        "plain_s": plain,
        "plain_over_warm": plain / warm,
        "new_over_plain": new / plain,
    }
    targets = {
        "warm_s": ("<=", 1.0),
        "warm_p99_s": ("<=", 2.0),
        "plain_over_warm": (">=", 5.0),
        "new_over_plain": ("<=", 1.05),
    }
    return 0 if finish("kubernetes", figures, targets) else 1


def one(hub: ClusterHub) -> float:
    """Seconds of one start; the workspace is stopped again afterwards."""
    began = time.perf_counter()
    answer = hub.begin("ada")
    assert answer.status_code in (201, 202), answer.text
    hub.wait_ready("ada")
    hub.answers("ada")
    took = time.perf_counter() - began
    hub.end("ada")
    return took


if __name__ == "__main__":
    sys.exit(main())
