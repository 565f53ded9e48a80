"""One changed file → a snapshot ready to be pushed, against Git's own ways, in turns on the same files.

Usage: ``python tests/bench/bench_sync_snapshot.py [--files 10000 100000] [--rounds 15]``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from neuralinverse_hub.sync.pack import Pack  # noqa: E402
from neuralinverse_hub.sync.worktree import Worktree  # noqa: E402
from tests.bench.figures import finish, median, table  # noqa: E402
from tests.bench.sync_content import make_files  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    figures: dict[str, float] = {}
    rows = []
    for count in chosen.files:
        for name, seconds in measure(count, chosen.rounds).items():
            rows.append((count, name, 1000 * median(seconds), 1000 * max(seconds)))
            figures[f"{name}_{count}_ms"] = 1000 * median(seconds)
        figures[f"times_faster_than_add_{count}"] = figures[f"add_all_{count}_ms"] / figures[f"ours_{count}_ms"]
    print(table(["files", "method", "median ms", "max ms"], rows))
    largest = f"times_faster_than_add_{max(chosen.files)}"
    return 0 if finish("sync_snapshot", figures, {largest: (">=", 5.0)}) else 1


def measure(count: int, rounds: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        folder = place / "work"
        folder.mkdir()
        files = make_files(folder, count)
        worktree = Worktree(os.fsencode(folder))
        with Pack(place) as pack:
            worktree.update(None, pack)
        worktree.arrived()
        shadow = place / "shadow.git"
        subprocess.run(["git", "init", "-q", "--bare", shadow], check=True)

        def environment(name: str) -> dict[str, str]:
            index = {"GIT_INDEX_FILE": str(place / f"{name}.index"), "GIT_WORK_TREE": str(folder)}
            return dict(os.environ) | index | {"GIT_DIR": str(shadow), "GIT_CONFIG_GLOBAL": "/dev/null"}

        def add_all(path: Path) -> None:
            subprocess.run(["git", "add", "-A", "."], cwd=folder, env=environment("all"), check=True)
            subprocess.run(["git", "write-tree"], env=environment("all"), check=True, stdout=subprocess.DEVNULL)

        def update_index(path: Path) -> None:
            name = os.fsencode(path.relative_to(folder)) + b"\0"
            command = ["git", "update-index", "--add", "--remove", "-z", "--stdin"]
            subprocess.run(command, cwd=folder, env=environment("paths"), input=name, check=True)
            subprocess.run(["git", "write-tree"], env=environment("paths"), check=True, stdout=subprocess.DEVNULL)

        def ours(path: Path) -> None:
            parent, name = os.path.split(os.fsencode(path.relative_to(folder)))
            with Pack(place) as pack:
                worktree.update({parent: {name}}, pack)
                worktree.root_tree([], pack)
                for _ in pack.stream()[1]:
                    pass
            worktree.arrived()

        methods: dict[str, Callable[[Path], None]] = {"ours": ours, "update_index": update_index, "add_all": add_all}
        add_all(files[0])
        (place / "paths.index").write_bytes((place / "all.index").read_bytes())
        taken: dict[str, list[float]] = {name: [] for name in methods}
        for number in range(rounds):
            for method, run in methods.items():
                path = files[(number * 7919 + len(method)) % count]
                with path.open("a") as file:
                    file.write(f"one more line {number}\n")
                began = time.perf_counter()
                run(path)
                taken[method].append(time.perf_counter() - began)
        return taken


if __name__ == "__main__":
    sys.exit(main())
