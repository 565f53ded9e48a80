"""Inline completion in VS Code: keystroke → ghost text, requests that were never sent, answers from the cache.

Real code-server in headless Chromium against an upstream that answers every completion after exactly 100 ms, and
against the embedded demo model. Then the client alone, without an editor: what it adds to the bare call of the same upstream. Needs the extension's development
parts (``npm ci --ignore-scripts`` in ``ai_provider/vscode``).
Usage: ``python tests/bench/bench_vscode.py [--rounds 30]``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from playwright.async_api import TimeoutError as PlaywrightTimeout  # noqa: E402
from playwright.async_api import async_playwright  # noqa: E402

from neuralinverse_hub import wire  # noqa: E402
from tests.ai_provider.vscode.build import SOURCE, packaged  # noqa: E402
from tests.ai_provider.vscode.ide import CHROMIUM_FLAGS, Editor, Workspace, built_in, code_server, editor  # noqa: E402
from tests.ai_provider.vscode.standin import TOKEN, Gateway, serve  # noqa: E402
from tests.bench.figures import finish, median, percentile  # noqa: E402
from tests.chromium import chromium  # noqa: E402

UPSTREAM_S = 0.1

WATCH = """
() => {
  window.bench = {key: 0, ghosts: []};
  window.addEventListener("keydown", () => { window.bench.key = performance.now(); window.bench.ghost = 0; }, true);
  new MutationObserver(() => {
    const now = performance.now();
    if (!window.bench.ghost && window.bench.key && document.querySelector(".editor-instance .ghost-text-decoration")) {
      window.bench.ghost = now;
    }
  }).observe(document.querySelector(".part.editor"), {subtree: true, childList: true, attributes: true});
}
"""
"""Remembers, for the last key, when ghost text was first there; within the page, so that no driver's time is in it."""


async def measure(rounds: int) -> dict[str, float]:
    node, entry = parts()
    with tempfile.TemporaryDirectory() as folder:
        extensions = built_in(packaged(node), entry, Path(folder) / "extensions")
        async with serve() as gateway, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
            async with (
                code_server(node, entry, extensions, Path(folder), gateway.url, TOKEN) as workspace,
                editor(browser, workspace.url, None) as ide,
            ):
                latency = await keystroke_to_ghost(ide, workspace, gateway, rounds)
                typed = await while_typing(ide, workspace, gateway)
                cached = await typing_what_is_suggested(ide, workspace, gateway)
                activation = await activation_ms(ide)
            with embedded_model(Path(folder)) as model:
                async with (
                    code_server(node, entry, extensions, Path(folder) / "embedded", *model) as workspace,
                    editor(browser, workspace.url, None) as ide,
                ):
                    embedded = await keystroke_to_embedded_ghost(ide, workspace, rounds)
            await browser.close()
    return {
        "activation_ms": activation,
        "keystroke_to_ghost_median_ms": median(latency),
        "keystroke_to_ghost_p95_ms": percentile(latency, 95),
        "answered_share": len(latency) / rounds,
        **embedded,
        **typed,
        **cached,
        **client_alone(node, rounds),
        "bundle_bytes": float((SOURCE / "dist/extension.js").stat().st_size),
    }


def parts() -> tuple[Path, Path]:
    """Node and code-server's entry: those the environment names, else the installed ones."""
    node, entry = os.environ.get(wire.ENV_IDE_NODE), os.environ.get(wire.ENV_IDE_ENTRY)
    if node and entry:
        return Path(node), Path(entry)
    from neuralinverse_hub.local import install

    installed = install.ensure(("code-server",))
    assert installed.code_server_entry is not None
    return installed.node, installed.code_server_entry


async def activation_ms(ide: Editor) -> float:
    """What VS Code itself measured for the activation of our extension."""
    await ide.run("Developer: Show Running Extensions")
    row = ide.page.locator(".runtime-extensions-editor .monaco-list-row", has_text="Neural Inverse")
    await row.first.wait_for()
    text = await row.first.locator(".activation-time").inner_text()
    return float("".join(each for each in text if each.isdigit() or each == "."))


async def keystroke_to_ghost(ide: Editor, workspace: Workspace, gateway: Gateway, rounds: int) -> list[float]:
    """Milliseconds from a key to ghost text, for keys after which the person waits."""
    gateway.completion_s = UPSTREAM_S
    workspace.write("latency.py", "# latency\n")
    await ide.open("latency.py")
    await ide.page.keyboard.press("Control+End")
    await ide.page.evaluate(WATCH)
    measured = []
    for number in range(rounds):
        gateway.completion = f"{number} + something_{number}"
        await ide.page.keyboard.type(f"value_{number} = ")
        try:
            await ide.page.wait_for_function("window.bench.ghost > 0", timeout=10_000)
        except PlaywrightTimeout:
            await ide.page.keyboard.press("Escape")  # counted by its absence
        else:
            measured.append(await ide.page.evaluate("window.bench.ghost - window.bench.key"))
            await ide.page.keyboard.press("Tab")
        await ide.page.keyboard.press("Enter")
    return measured


@contextlib.contextmanager
def embedded_model(folder: Path) -> Iterator[tuple[str, str]]:
    """URL and key of the embedded demo model, serving."""
    from neuralinverse_hub.local import install
    from neuralinverse_hub.local.serving import DemoModel

    command = install.ensure(("model",)).model_server_command
    assert command is not None, "there is no demo model for this machine"
    model = DemoModel(command, dict(os.environ), folder / "model.log")
    model.start()
    assert model.process is not None
    try:
        yield f"http://127.0.0.1:{model.port}/v1", model.key
    finally:
        model.process.terminate()
        model.process.wait(20)


async def keystroke_to_embedded_ghost(ide: Editor, workspace: Workspace, rounds: int) -> dict[str, float]:
    """The same with the embedded model, which sometimes has nothing to say: latency of those it answered, and their share."""
    workspace.write("embedded.py", "import math\n\n\ndef circle_area(radius):\n    return math.pi * radius ** 2\n\n\n")
    await ide.open("embedded.py")
    await ide.page.keyboard.press("Control+End")
    await ide.page.evaluate(WATCH)
    measured = []
    shapes = [
        f"{size}{shape}" for size in ("", "small_", "large_") for shape in ("square", "cube", "room", "field", "table")
    ]
    shapes = shapes[:rounds]
    for shape in shapes:
        await ide.page.keyboard.type(f"def {shape}_area(side):")
        await ide.page.keyboard.press("Enter")
        try:
            await ide.page.wait_for_function("window.bench.ghost > 0", timeout=10_000)
            measured.append(await ide.page.evaluate("window.bench.ghost - window.bench.key"))
        except PlaywrightTimeout:
            pass  # it suggested nothing: counted by its absence
        await ide.page.keyboard.press("Escape")
        await ide.page.keyboard.type("pass")
        for key in ("Enter", "Enter", "Shift+Tab"):
            await ide.page.keyboard.press(key)
    return {
        "embedded_keystroke_to_ghost_median_ms": median(measured) if measured else float("nan"),
        "embedded_answered_share": len(measured) / len(shapes),
    }


async def while_typing(ide: Editor, workspace: Workspace, gateway: Gateway) -> dict[str, float]:
    """A person's typing: about 70 words a minute with pauses; which keys cost a request, and which requests were stopped."""
    dice = random.Random(7)
    workspace.write("typing.py", "# typing\n")
    await ide.open("typing.py")
    await ide.page.keyboard.press("Control+End")
    gateway.reset()
    gateway.completion_s = UPSTREAM_S
    gateway.completion = "zzz"
    text = "total = 0 ; names = sorted(people, key=len) ; print(len(names), total) ; result = [name.title() for name in names]"
    for key in text:
        await ide.page.keyboard.type(key)
        await asyncio.sleep(0.6 if dice.random() < 0.05 else dice.uniform(0.06, 0.25))
    await asyncio.sleep(0.5)
    sent = len(gateway.completions)
    return {
        "keys_typed": float(len(text)),
        "requests_sent": float(sent),
        "share_cancelled_before_sent": 1 - sent / len(text),
        "share_of_sent_stopped_on_the_way": gateway.dropped / sent if sent else 0.0,
    }


async def typing_what_is_suggested(ide: Editor, workspace: Workspace, gateway: Gateway) -> dict[str, float]:
    """Share of keys that were answered from the cache by one who types what is suggested, then deletes some of it."""
    suggestion = "sum(item.price * item.count for item in basket)"
    workspace.write("cached.py", "# cached\n")
    await ide.open("cached.py")
    await ide.page.keyboard.press("Control+End")
    gateway.reset()
    gateway.completion = suggestion
    await ide.page.keyboard.type("total = ")
    ghost = ide.ghost.first
    await ghost.wait_for()
    before = len(gateway.completions)
    keys = [*suggestion[:30], *["Backspace"] * 15]
    for key in keys:
        await ide.page.keyboard.press("Space" if key == " " else key)
        await asyncio.sleep(0.15)
        await ghost.wait_for()
    return {"cache_hits_share": 1 - (len(gateway.completions) - before) / len(keys)}


def client_alone(node: Path, rounds: int) -> dict[str, float]:
    """What the extension's own code adds to a completion, from the call to the text, over the bare HTTP call."""
    esbuild = SOURCE / "node_modules/esbuild/bin/esbuild"
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "overhead.cjs"
        options = ["--bundle", "--platform=node", "--format=cjs", f"--outfile={bundle}", "--log-level=error"]
        subprocess.run([str(node), str(esbuild), str(SOURCE / "test/overhead.ts"), *options], check=True)
        done = subprocess.run([str(node), str(bundle), str(rounds)], check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return {name: float(value) for name, value in figures.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="how often each is measured (default: %(default)s)")
    figures = asyncio.run(measure(parser.parse_args().rounds))
    targets = {
        "activation_ms": ("<=", 150.0),
        "client_overhead_median_ms": ("<=", 15.0),
        "bundle_bytes": ("<=", 300_000.0),
    }
    return 0 if finish("vscode", figures, targets) else 1


if __name__ == "__main__":
    sys.exit(main())
