"""How much the host's repository grows by 1,000 one-line edits, each pushed, after the host's own clean-up.

Usage: ``python tests/bench/bench_sync_growth.py [--files 10000] [--edits 1000]``.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.figures import finish  # noqa: E402
from tests.bench.sync_content import host_and_workspace, make_files, size_after_gc  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--edits", type=int, default=1000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, host_and_workspace(Path(temporary)) as (host, workspace):
        files = make_files(workspace.folder, chosen.files)
        workspace.start()
        before = size_after_gc(host.repository())
        began = time.perf_counter()
        for number in range(chosen.edits):
            with random.choice(files).open("a") as file:
                file.write(f"edit {number} at {time.time_ns()}\n")
            workspace.flush()
        took = time.perf_counter() - began
        grown = size_after_gc(host.repository()) - before
    figures = {
        "growth_mb": grown / 1e6,
        "growth_per_edit_bytes": grown / chosen.edits,
        "edit_to_flushed_ms": 1000 * took / chosen.edits,
    }
    return 0 if finish("sync_growth", figures, {"growth_mb": ("<=", 3.0)}) else 1


if __name__ == "__main__":
    sys.exit(main())
