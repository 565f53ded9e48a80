"""A stopwatch for ``neuralinverse-hub up``: seconds from the command to serving, when all is installed already.

Starts it on a data folder of its own, once to create that folder, then ``--rounds`` times again. Serving means that the
hub and the AI gateway answer through the proxy. Usage: ``python tests/bench/bench_up.py [--rounds 5]``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from neuralinverse_hub.local import install  # noqa: E402
from tests.bench.figures import finish, median, table  # noqa: E402
from tests.one_machine import OneMachine  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often it is measured (default: %(default)s)")
    rounds = parser.parse_args().rounds
    install.ensure()
    checked_from = time.perf_counter()
    install.ensure()
    checking = time.perf_counter() - checked_from
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        first, _ = seconds(data)
        timed = [seconds(data) for _ in range(rounds)]
    serving, stopping = [up for up, _ in timed], [down for _, down in timed]
    print(
        table(
            ["what", "runs", "median", "max"],
            [
                ("up on a new data folder, all installed → serving (s)", 1, first, first),
                ("second up → serving (s)", rounds, median(serving), max(serving)),
                ("of that, looking at what is installed (s)", 1, checking, checking),
                ("Ctrl-C → every process gone, no workspace running (s)", rounds, median(stopping), max(stopping)),
            ],
        )
    )
    figures = {"second_up_to_serving_s": median(serving), "check_installed_s": checking, "stop_s": median(stopping)}
    return 0 if finish("up", figures, {}) else 1


def seconds(data: Path) -> tuple[float, float]:
    """From the start of ``up`` to serving, and from Ctrl-C to its end."""
    began = time.perf_counter()
    with OneMachine.started(data) as machine:
        serving = time.perf_counter() - began
        asked = time.perf_counter()
        machine.stop()
        return serving, time.perf_counter() - asked


if __name__ == "__main__":
    sys.exit(main())
