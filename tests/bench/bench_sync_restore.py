"""Restoring a workspace against a plain ``git clone`` of the same content from the same host, in turns.

Usage: ``python tests/bench/bench_sync_restore.py [--files 10000 100000] [--rounds 3]``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.figures import finish, median, table  # noqa: E402
from tests.bench.sync_content import host_and_workspace, make_files  # noqa: E402
from tests.neuralinverse_hub.sync.rig import git  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    figures: dict[str, float] = {}
    targets: dict[str, tuple[str, float]] = {}
    rows = []
    for count in chosen.files:
        restores, clones = measure(count, chosen.rounds)
        figures |= {
            f"restore_{count}_s": median(restores),
            f"clone_{count}_s": median(clones),
            f"restore_to_clone_{count}": median(restores) / median(clones),
        }
        targets[f"restore_to_clone_{count}"] = ("<=", 1.15)
        rows.append((count, median(restores), median(clones), median(restores) / median(clones)))
    print(table(["files", "restore s", "clone s", "ratio"], rows))
    return 0 if finish("sync_restore", figures, targets) else 1


def measure(count: int, rounds: int) -> tuple[list[float], list[float]]:
    restores, clones = [], []
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        with host_and_workspace(place) as (host, workspace):
            make_files(workspace.folder, count)
            url = host.base.replace("http://", "http://x:ada-token@") + "/ada/plain.git"
            git(workspace.folder, "push", "-q", url, "main")
            workspace.start()
            for repository in ("plain", "workspaces"):
                git(host.repository(name=repository), "gc", "-q")
            workspace.lose()
            for _ in range(rounds):
                began = time.perf_counter()
                git(place, "clone", "-q", url, "clone")
                clones.append(time.perf_counter() - began)
                shutil.rmtree(place / "clone")
                began = time.perf_counter()
                told = workspace.restore()
                restores.append(time.perf_counter() - began)
                assert told["restored"], told
                workspace.lose()
    return restores, clones


if __name__ == "__main__":
    sys.exit(main())
