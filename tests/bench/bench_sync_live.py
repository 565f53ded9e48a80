"""What a SIGKILL costs, and what the daemon costs while nothing happens.

Work lost: something writes to a random file every 50 ms; the daemon is killed at a random moment; lost is the time from
the first write that is not on the host to the kill.
Usage: ``python tests/bench/bench_sync_live.py [--files 10000 100000] [--kills 30] [--idle 60]``.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.figures import finish, median, percentile, table  # noqa: E402
from tests.bench.sync_content import host_and_workspace, make_files  # noqa: E402
from tests.neuralinverse_hub.sync.rig import Workspace  # noqa: E402

TARGETS = {10_000: 0.4, 100_000: 1.0}
FULL_SCAN_S = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--idle", type=float, default=60, help="seconds (default: %(default)s)")
    chosen = parser.parse_args()
    figures: dict[str, float] = {}
    targets: dict[str, tuple[str, float]] = {}
    rows = []
    for count in chosen.files:
        with tempfile.TemporaryDirectory() as temporary, host_and_workspace(Path(temporary)) as (_, workspace):
            files = make_files(workspace.folder, count)
            workspace.start()
            cpu, scan_s, memory = idle(workspace, chosen.idle)
            lost = [kill(workspace, files) for _ in range(chosen.kills)]
        figures |= {
            f"lost_median_{count}_s": median(lost),
            f"lost_p99_{count}_s": percentile(lost, 99),
            f"idle_cpu_{count}_percent": cpu,
            f"full_scan_{count}_s": scan_s,
            f"resident_{count}_mb": memory,
        }
        targets[f"lost_p99_{count}_s"] = ("<=", 2.0)
        if count in TARGETS:
            targets[f"lost_median_{count}_s"] = ("<=", TARGETS[count])
        if count == max(chosen.files):
            targets |= {f"idle_cpu_{count}_percent": ("<=", 1.0), f"resident_{count}_mb": ("<=", 80.0)}
        rows.append((count, len(lost), median(lost), percentile(lost, 99), cpu, memory))
    print(table(["files", "kills", "lost median s", "lost p99 s", "idle CPU %", "resident MB"], rows))
    return 0 if finish("sync_live", figures, targets) else 1


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[number]) for number in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def idle(workspace: Workspace, seconds: float) -> tuple[float, float, float]:
    """CPU in percent of a core with its share of the regular full scan; seconds of that scan; resident MB."""
    assert workspace.daemon is not None
    pid = workspace.daemon.pid
    time.sleep(2)
    before = cpu_seconds(pid)
    time.sleep(seconds)
    waiting = (cpu_seconds(pid) - before) / seconds
    before = cpu_seconds(pid)
    (workspace.folder / ".gitignore").write_text(f"*.nothing{time.time()}\n")  # makes it look at everything again
    workspace.flush()
    scan_s = cpu_seconds(pid) - before
    status = Path(f"/proc/{pid}/status").read_text()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    return 100 * (waiting + scan_s / FULL_SCAN_S), scan_s, memory


def kill(workspace: Workspace, files: list[Path]) -> float:
    """Seconds of work lost by one kill."""
    if workspace.daemon is None:
        workspace.start()
    workspace.flush()
    writes: list[tuple[float, Path, str]] = []
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            path = random.choice(files)
            number += 1
            line = f"line {number} of {time.time_ns()}\n"
            with path.open("a") as file:
                file.write(line)
            writes.append((time.monotonic(), path, line))
            over.wait(0.05)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(random.uniform(3, 6))
    workspace.kill()
    killed = time.monotonic()
    over.set()
    writer.join()
    held = {path: (workspace.on_host(str(path.relative_to(workspace.folder))) or b"").decode() for _, path, _ in writes}
    for at, path, line in writes:
        if line not in held[path]:
            return max(0.0, killed - at)
    return 0.0


if __name__ == "__main__":
    subprocess.run(["git", "--version"], check=True)
    sys.exit(main())
