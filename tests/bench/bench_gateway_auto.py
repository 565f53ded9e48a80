"""How well, and how fast, ``auto`` decides the task: accuracy on prompts it was not trained on, and microseconds.

Usage: ``python tests/bench/bench_gateway_auto.py``; ``--write`` trains anew and writes the weights the gateway ships.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from neuralinverse_hub.gateway.tasks import TASKS, WEIGHTS_FILE, Classifier  # noqa: E402
from tests.bench.figures import finish, percentile, table  # noqa: E402
from tests.bench.gateway.train import examples, held_out, train  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="train anew and write the weights")
    if parser.parse_args().write:
        weights = train(examples())
        text = ",\n".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in weights.pop("weights").items())
        head = ",\n".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in weights.items())
        path = ROOT / "neuralinverse_hub/gateway" / WEIGHTS_FILE
        path.write_text(f'{{{head},\n"weights":{{\n{text}\n}}}}\n', "utf-8")
        print(f"wrote {path} ({path.stat().st_size // 1024} KB)")
    classifier = Classifier.shipped()
    rows = held_out()
    decided = Counter((task, classifier.decide(prompt).task) for prompt, task in rows)
    right = sum(count for (wanted, got), count in decided.items() if wanted == got)
    harmless = right + sum(count for (wanted, got), count in decided.items() if got == "general" != wanted)
    print(table(["asked for", *TASKS], [[task, *(decided[task, other] for other in TASKS)] for task in TASKS]))
    long_prompts = [prompt for prompt, _ in rows] + [" ".join(prompt for prompt, _ in rows) * 3]
    took = []
    for prompt in long_prompts * 20:
        # CPU time, so that a busy machine does not look like a slow classifier.
        started = time.thread_time()
        classifier.decide(prompt)
        took.append((time.thread_time() - started) * 1e6)
    figures = {
        "accuracy": right / len(rows),
        "right_or_general": harmless / len(rows),
        "median_us": percentile(took, 50),
        "p99_us": percentile(took, 99),
        "prompts": float(len(rows)),
    }
    return (
        0
        if finish(
            "gateway auto",
            figures,
            {"accuracy": (">=", 0.8), "right_or_general": (">=", 0.9), "p99_us": ("<=", 1000.0)},
        )
        else 1
    )


if __name__ == "__main__":
    raise SystemExit(main())
