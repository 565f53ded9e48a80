"""The operator's page in Chromium, served by a real hub: when something, and when the figures, are painted."""

from __future__ import annotations

import statistics
from pathlib import Path

from tests.chromium import launch
from tests.neuralinverse_hub.economics.real_hub import serving

__all__ = ["paint_s"]

SHOWN = """() => new Promise((done) => {
    const seen = () => document.querySelector('dl.cards dd')
        ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(seen);
    seen();
})"""
FIRST = """() => performance.getEntriesByName('first-contentful-paint')[0].startTime"""


def paint_s(folder: Path, ledger: str, times: int = 5) -> tuple[float, float]:
    """(first contentful paint, figures shown), medians in seconds from the click, of an administrator's visits."""
    from playwright.sync_api import sync_playwright

    home = folder / "hub"
    home.mkdir()
    paints, shown = [], []
    with (
        serving(home, {"NEURALINVERSE_LEDGER": ledger}) as hub,
        sync_playwright() as playwright,
        launch(playwright) as browser,
    ):
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        url = f"{hub.economics}/?month=2026-10"
        page.goto(url)
        page.fill("input[name=username]", "root")
        page.fill("input[name=password]", "any")
        page.click("[type=submit]")
        page.wait_for_selector("dl.cards dd", timeout=60_000)
        page.wait_for_selector('[data-plot="whatif"][data-drawn]', timeout=60_000)
        for _ in range(times):
            page.goto(url, wait_until="commit")
            shown.append(page.evaluate(SHOWN) / 1000)
            page.wait_for_selector('[data-plot="whatif"][data-drawn]', timeout=60_000)
            paints.append(page.evaluate(FIRST) / 1000)
    return statistics.median(paints), statistics.median(shown)
