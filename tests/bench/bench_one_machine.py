"""A stopwatch for one machine: login → files visible, save → on the host, Enter → first AI token, idle memory.

Runs the whole product with the demo model on a data folder of its own, as ``neuralinverse-hub up`` does, and drives it
with headless Chromium. Usage: ``python tests/bench/bench_one_machine.py [--rounds 5]``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.figures import finish, median, percentile, table  # noqa: E402
from tests.chromium import launch  # noqa: E402
from tests.e2e.pages import explorer_shows, log_in  # noqa: E402
from tests.notebooks import run  # noqa: E402
from tests.one_machine import OneMachine, eventually  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: %(default)s)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, launch(playwright) as browser:
        with OneMachine.started(Path(folder) / "data") as machine:
            cold = seconds_to_explorer(browser, machine, "cold")
            warm = [seconds_to_explorer(browser, machine, "cold") for _ in range(rounds)]
            first_token = [seconds_to_first_token(machine, "cold") for _ in range(rounds)]
            saved = [seconds_to_host(machine, "cold", number) for number in range(rounds * 4)]
            memory = idle_memory_mb(machine, "cold")
    print(
        table(
            ["what", "runs", "median", "max"],
            [
                ("login → files visible, first start of a workspace (s)", 1, cold, cold),
                ("login → files visible, workspace running (s)", rounds, median(warm), max(warm)),
                ("Enter → first AI token in a notebook, demo model (s)", rounds, median(first_token), max(first_token)),
                ("save → on the Git host (s)", len(saved), median(saved), max(saved)),
                ("memory of an idle workspace, browser tab open before (MB)", 1, memory, memory),
            ],
        )
    )
    figures = {
        "login_to_files_first_start_s": cold,
        "login_to_files_running_s": median(warm),
        "enter_to_first_token_s": median(first_token),
        "save_to_host_median_s": median(saved),
        "save_to_host_p95_s": percentile(saved, 95),
        "idle_workspace_mb": memory,
    }
    return 0 if finish("one_machine", figures, {"save_to_host_p95_s": ("<=", 2.0)}) else 1


def seconds_to_explorer(browser: Browser, machine: OneMachine, user: str) -> float:
    """From the click on *Sign in* to a file in VS Code's explorer, in a browser that has never been here."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page: Page = context.new_page()
    page.goto(machine.url)
    started = time.perf_counter()
    log_in(page, machine, user)
    explorer_shows(page)
    took = time.perf_counter() - started
    context.close()
    return took


def seconds_to_first_token(machine: OneMachine, user: str) -> float:
    """From the execution of an ``%%ai`` cell, in a kernel that runs already, to the first text in its output."""
    _, asked = run(machine.environment(user), machine.folder(user), "1", "%%ai coding\nSay hello in Python")
    return asked.first_s


def seconds_to_host(machine: OneMachine, user: str, number: int) -> float:
    """From the end of a file's write to the moment its bytes are in the person's repository on the host."""
    content = f"saved {number} at {time.time_ns()}\n"
    repository = next((machine.data_dir / "git").rglob("workspaces.git"))
    blob = subprocess.run(
        ["git", "hash-object", "--stdin"], input=content, capture_output=True, text=True, check=True
    ).stdout.strip()
    arrived: Callable[[], bool] = lambda: (  # noqa: E731
        subprocess.run(["git", "-C", str(repository), "cat-file", "-e", blob], capture_output=True).returncode == 0
    )
    (machine.folder(user) / "saved.txt").write_text(content)
    started = time.perf_counter()
    eventually("the file on the host", arrived, timeout_s=20)
    return time.perf_counter() - started


def idle_memory_mb(machine: OneMachine, user: str) -> float:
    """Proportional set size of all processes of the workspace: shared pages are counted once."""
    return sum(process.memory_full_info().pss for process in machine.processes(user)) / 1e6


if __name__ == "__main__":
    sys.exit(main())
