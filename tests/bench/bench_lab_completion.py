"""How long after a key the ghost text stands in JupyterLab: ``python tests/bench/bench_lab_completion.py [runs]``.

A real Lab in headless Chromium. ``keystroke_to_ghost`` is a person who stops after a key, before an upstream whose answers take
100 ms: the Lab's debounce of 250 ms is part of what they wait; ``embedded_…`` is the same before the embedded demo model, which
sometimes has nothing to say. ``server_over_bare_call`` is what the Lab's server adds to the plain call of the same upstream.
The shares are of a person who types at 60 ms a key, and of one who types what is suggested.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from ai_provider.lab import build
from neuralinverse_hub.local import install
from tests.ai_provider.lab import PASSWORD, Lab
from tests.ai_provider.standin import TOKEN, StandIn
from tests.bench.bench_vscode import embedded_model
from tests.bench.figures import finish, median, percentile
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


GONE = "() => !document.querySelector('.jp-GhostText')?.textContent"


@contextlib.contextmanager
def lab(home: Path, environment: dict[str, str]) -> Iterator[Lab]:
    """A Lab with a notebook ``n.ipynb`` in it."""
    home.mkdir()
    running = Lab(home, environment)
    try:
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = new_notebook(cells=[new_code_cell("x = 1\n")], metadata={"kernelspec": kernel})
        nbformat.write(notebook, running.folder / "n.ipynb")
        yield running
    finally:
        running.stop()


def opened(browser: Browser, running: Lab) -> Page:
    """The notebook, with the cursor at the end of its cell."""
    page = browser.new_page()
    page.goto(running.page("n.ipynb"))
    page.locator(".jp-Notebook .cm-content").last.click(timeout=90_000)
    page.keyboard.press("Control+End")
    page.evaluate(WATCH)
    return page


def shown(page: Page) -> float:
    """Milliseconds from the last key to the ghost text, which is waited for."""
    page.wait_for_function("() => globalThis.seen > 0", timeout=10_000)
    took: float = page.evaluate("() => globalThis.seen - globalThis.pressed")
    return took


def pause(page: Page, key: str) -> float:
    """The same for ``key``; the text is then taken, so that the next one is a new one."""
    page.keyboard.press(key)
    took = shown(page)
    page.keyboard.press("Tab")
    page.wait_for_function(GONE, timeout=10_000)
    return took


def while_typing(page: Page, gateway: StandIn) -> dict[str, float]:
    """One who types fast: which keys cost a question, and which questions were stopped on the way."""
    page.keyboard.press("Enter")
    text = "value_one = other_value + "
    asked, left = len(gateway.asked), len(gateway.left)
    page.keyboard.type(text, delay=60)
    shown(page)
    sent = len(gateway.asked) - asked
    return {
        "share_cancelled_before_sent": 1 - sent / len(text),
        "share_of_sent_stopped_on_the_way": (len(gateway.left) - left) / sent,
    }


def typing_what_is_suggested(page: Page, gateway: StandIn) -> dict[str, float]:
    """The ghost text is there; its keys are typed one by one."""
    asked, text = len(gateway.asked), gateway.replies["coding"][:-1]
    for key in text:
        page.keyboard.press(key)
        page.wait_for_function("() => document.querySelector('.jp-GhostText')?.textContent", timeout=10_000)
    return {"cache_hits_share": 1 - (len(gateway.asked) - asked) / len(text)}


def call(url: str, headers: dict[str, str], body: dict[str, object]) -> float:
    """Milliseconds of one POST over a new connection, to the end of its answer."""
    parts = urlsplit(url)
    began = time.perf_counter()
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}")
    finally:
        connection.close()
    return (time.perf_counter() - began) * 1000


def server_alone(running: Lab, gateway: StandIn, runs: int) -> dict[str, float]:
    """The Lab server's answer against the plain call that it makes, in turns; then its answer from the cache."""
    ours = (f"{running.url}/neuralinverse/complete", {"Authorization": f"token {PASSWORD}"})
    plain = (f"{gateway.url}/chat/completions", {"Authorization": f"Bearer {TOKEN}"})
    question = {"model": "coding", "stream": True, "messages": [{"role": "user", "content": "x = "}]}
    over = [
        call(*ours, {"before": f"unique_{number} = "}) - call(*plain, question)  # type: ignore[arg-type]
        for number in range(runs)
    ]
    known = [call(*ours, {"before": "unique_0 = "}) for _ in range(runs)]
    return {
        "server_over_bare_call_median_ms": median(over),
        "server_over_bare_call_p95_ms": percentile(over, 95),
        "server_from_cache_median_ms": median(known),
    }


def embedded(page: Page) -> dict[str, float]:
    """Latency where the embedded model said something, and how often it did."""
    page.keyboard.type("import math")
    page.keyboard.press("Enter")
    page.keyboard.type("# area of a circle: math.pi * radius ** 2")
    measured = []
    shapes = ("square", "cube", "room", "field", "table", "wall", "door", "garden", "plate", "page")
    for shape in shapes:
        page.keyboard.press("Enter")
        page.keyboard.type(f"{shape}_area = {shape}_side")
        page.wait_for_function(GONE, timeout=10_000)  # what was suggested to the line before is no answer to this one
        page.keyboard.press("Space")
        with contextlib.suppress(PlaywrightTimeout):  # it suggested nothing: counted by its absence
            measured.append(shown(page))
        page.keyboard.press("Escape")
        page.keyboard.type("* 2")
    return {
        "embedded_keystroke_to_ghost_median_ms": median(measured) if measured else float("nan"),
        "embedded_answered_share": len(measured) / len(shapes),
    }


def main(runs: int) -> int:
    gateway = StandIn()
    gateway.pause_s = UPSTREAM_S
    gateway.replies["coding"] = "suggestion()"
    build(Path(install.ensure().node))
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, launch(playwright) as browser:
        try:
            with lab(Path(folder) / "fixed", gateway.environment()) as running:
                page = opened(browser, running)
                pauses = [pause(page, "abcdefghij"[number % 10]) for number in range(runs + 2)][2:]
                figures["keystroke_to_ghost_median_ms"] = median(pauses)
                figures["keystroke_to_ghost_p95_ms"] = percentile(pauses, 95)
                figures |= while_typing(page, gateway)
                figures |= typing_what_is_suggested(page, gateway)
                figures |= server_alone(running, gateway, runs)
                page.close()
            with embedded_model(Path(folder)) as (url, key):
                environment = {"NEURALINVERSE_GATEWAY_URL": url, "JUPYTERHUB_API_TOKEN": key}
                with lab(Path(folder) / "embedded", environment) as running:
                    figures |= embedded(opened(browser, running))
        finally:
            gateway.stop()
    return 0 if finish("lab_completion", figures, {"server_over_bare_call_median_ms": ("<=", 15.0)}) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
