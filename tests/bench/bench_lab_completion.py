"""How long after a key the ghost text stands in JupyterLab: ``python -m tests.bench.bench_lab_completion [runs]``.

A real Lab in headless Chromium, a gateway on loopback whose answers take 100 ms. ``pause`` is a person who stops after a key: the
Lab's debounce is part of what they wait. ``handler`` is the Lab server's own share: its answer minus the gateway's 100 ms.
``burst`` is a person who types ten keys at 60 ms each: how many questions that costs, and how many of them were cancelled.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Page, sync_playwright

from ai_provider.lab import build
from neuralinverse_hub.local import install
from tests.ai_provider.lab import PASSWORD, Lab
from tests.ai_provider.standin import StandIn
from tests.chromium import launch

UPSTREAM_S = 0.1

WATCH = """
() => {
  globalThis.seen = 0;
  new MutationObserver(() => {
    if (document.querySelector('.jp-GhostText')?.textContent && !globalThis.seen) globalThis.seen = performance.now();
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
  document.addEventListener('keydown', () => {
    globalThis.pressed = performance.now();
    globalThis.seen = 0;
  }, true);
}
"""


def pause(page: Page, key: str) -> float:
    """Milliseconds from the key to the ghost text, which is then taken, so that the next one is a new one."""
    page.keyboard.press(key)
    page.wait_for_function("() => globalThis.seen > 0", timeout=10_000)
    took: float = page.evaluate("() => globalThis.seen - globalThis.pressed")
    page.keyboard.press("Tab")
    page.wait_for_function("() => !document.querySelector('.jp-GhostText')?.textContent", timeout=10_000)
    return took


def handler(lab: Lab, before: str) -> float:
    """Milliseconds of the Lab server's answer."""
    body = json.dumps({"before": before}).encode()
    headers = {"Authorization": f"token {PASSWORD}", "Content-Type": "application/json"}
    began = time.perf_counter()
    asked = urllib.request.Request(f"{lab.url}/neuralinverse/complete", body, headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        answer.read()
    return (time.perf_counter() - began) * 1000


def row(name: str, values: list[float]) -> str:
    ordered = sorted(values)
    return f"| {name} | {statistics.median(ordered):.0f} | {ordered[int(len(ordered) * 0.95)]:.0f} |"


def main(runs: int) -> None:
    gateway = StandIn()
    gateway.pause_s = UPSTREAM_S
    gateway.replies["coding"] = "suggestion()"
    build(Path(install.ensure().node))
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright, launch(playwright) as browser:
        lab = Lab(Path(home), gateway.environment())
        try:
            kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
            notebook = new_notebook(cells=[new_code_cell("x = 1\n")], metadata={"kernelspec": kernel})
            nbformat.write(notebook, lab.folder / "n.ipynb")
            page = browser.new_page()
            page.goto(lab.page("n.ipynb"))
            page.locator(".jp-Notebook .cm-content").last.click(timeout=90_000)
            page.keyboard.press("Control+End")
            page.evaluate(WATCH)
            pauses = [pause(page, "abcdefghij"[number % 10]) for number in range(runs + 2)][2:]
            asked, left = len(gateway.asked), 0
            page.keyboard.press("Enter")
            page.keyboard.type("value_one = ", delay=60)
            page.wait_for_function("() => globalThis.seen > 0", timeout=10_000)
            burst = len(gateway.asked) - asked
            left = len(gateway.left)
            fresh = [handler(lab, f"unique_{number} = ") - UPSTREAM_S * 1000 for number in range(runs)]
            known = [handler(lab, "unique_0 = ") for _ in range(runs)]
        finally:
            lab.stop()
            gateway.stop()
    print(f"{runs} runs\n\n| JupyterLab ghost text | median ms | 95 % ms |\n|:--|--:|--:|")
    print(row("key to ghost text, upstream of 100 ms", pauses))
    print(row("the Lab server's share of that", fresh))
    print(row("the Lab server's answer from its cache", known))
    print(f"\nTyping 12 keys at 60 ms each asked {burst} question(s), of which {left} were cancelled.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
