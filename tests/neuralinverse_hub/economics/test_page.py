"""The operator's page in a browser: what it shows, what a click and a slider do, light and dark, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from neuralinverse_hub import wire
from tests.neuralinverse_hub.economics.month import a_month
from tests.neuralinverse_hub.economics.real_hub import RealHub, serving

pytestmark = [pytest.mark.hub, pytest.mark.browser]

OUTPUT = Path(__file__).parents[2] / "output"
PLOTS = ("components", "trend", "spread", "heat", "whatif")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    with serving(tmp_path_factory.mktemp("economics-page")) as hub:
        used, ran, held = a_month(datetime(2026, 10, 1, tzinfo=UTC), 31)
        for path, records in ((wire.USAGE_RECORDS, used), (wire.COMPUTE_RECORDS, ran), (wire.VOLUME_RECORDS, held)):
            answer = hub.hand_in(path, records).json()
            assert answer["new"] == len(records), answer
        yield hub


@pytest.fixture
def shown(hub: RealHub, page: Any) -> Iterator[Any]:
    """The page of October, of an administrator, with every plot drawn; nothing complained."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(hub.url) else None)
    page.goto(f"{hub.economics}/?month=2026-10")
    page.fill("input[name=username]", "root")
    page.fill("input[name=password]", "any")
    page.click("[type=submit]")
    drawn(page)
    yield page
    assert complaints == []
    # Nothing comes from anywhere else.
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []


def drawn(page: Any) -> None:
    for name in PLOTS:
        page.wait_for_selector(f'[data-plot="{name}"][data-drawn] .main-svg', timeout=30_000)


def test_figures_plots_and_tables_of_a_month(shown: Any, hub: RealHub) -> None:
    from playwright.sync_api import expect

    expect(shown.locator("dl.cards")).to_contain_text("The month's revenue")
    # Every plot has its numbers in a table beside it.
    for name in ("days", "trend", "spread", "heat", "whatif", "sizes", "regions", "models", "people"):
        assert shown.locator(f'[data-table="{name}"] tbody tr').count() > 0, name
    first = shown.locator('[data-table="people"] tbody tr').first
    expect(first).to_contain_text("leslie")
    alert = shown.locator('[data-table="alerts"] tbody tr').first
    expect(alert).to_contain_text("leslie")
    expect(alert).to_contain_text(re.compile(r"deepseek-r1 for reasoning.*looks like a loop: one every 8\.\d s"))


def test_a_click_lowers_a_share_and_another_raises_it(shown: Any, hub: RealHub) -> None:
    from playwright.sync_api import expect

    row = shown.locator('[data-table="alerts"] tbody tr').first
    row.get_by_role("button", name="Half a share").click()
    expect(row).to_contain_text("Full share again (now 0.5)")
    # The gateway is told with its next records.
    assert hub.hand_in(wire.USAGE_RECORDS, []).json()["weights"] == {"leslie": 0.5}
    shown.reload()
    row.get_by_role("button", name="Full share again").click()
    expect(row).to_contain_text("Half a share")
    assert hub.hand_in(wire.USAGE_RECORDS, []).json()["weights"] == {}


def test_a_slider_redraws_at_once(shown: Any) -> None:
    from playwright.sync_api import expect

    place = shown.locator('[data-plot="whatif"]')
    sentence = shown.locator("#sentence")
    expect(sentence).to_contain_text("Unlimited AI")
    before = int(place.get_attribute("data-drawn"))
    share = shown.locator('[data-table="whatif"] tr', has_text="Margin's share").locator("td").last
    measured = share.inner_text()
    price = shown.get_by_label("Model prices, change in a year")
    price.focus()
    price.press("End")
    expect(place).not_to_have_attribute("data-drawn", str(before))
    expect(share).not_to_have_text(measured)
    took = shown.evaluate(
        """async () => {
            const place = document.querySelector('[data-plot="whatif"]');
            const slider = document.getElementById('knob-heavy');
            const began = performance.now();
            const drawn = place.dataset.drawn;
            slider.value = 80;
            slider.dispatchEvent(new Event('input', {bubbles: true}));
            while (place.dataset.drawn === drawn) await new Promise(requestAnimationFrame);
            return performance.now() - began;
        }"""
    )
    # Milliseconds; on a machine with nothing else to do it is a twentieth of it.
    assert took < 2000
    shown.get_by_role("button", name="As it was").click()
    expect(share).to_have_text(measured)


def test_a_day_opens_hour_by_hour(shown: Any) -> None:
    from playwright.sync_api import expect

    shown.get_by_text("The days, in numbers").click()
    shown.get_by_role("button", name="2026-10-09").click()
    expect(shown.locator("#day-title")).to_have_text("2026-10-09, hour by hour")
    expect(shown.locator('[data-table="day-cells"]')).to_contain_text("leslie")
    shown.wait_for_selector('[data-plot="day"][data-drawn]')
    assert shown.locator('[data-table="day-hours"] tbody tr').count() == 24
    # A click on a bar does the same.
    box = shown.locator('[data-plot="components"] .nsewdrag').bounding_box()
    shown.mouse.click(box["x"] + box["width"] * 0.05, box["y"] + box["height"] - 20)
    expect(shown.locator("#day-title")).to_contain_text("2026-10-0")


def test_it_is_readable_in_the_dark_and_on_a_phone(shown: Any) -> None:
    from playwright.sync_api import expect

    OUTPUT.mkdir(exist_ok=True)
    for width, name in ((1280, "wide"), (360, "phone")):
        shown.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            shown.emulate_media(color_scheme=scheme)
            expect(shown.locator("html")).to_have_attribute("data-bs-theme", scheme)
            ink = shown.evaluate("getComputedStyle(document.body).color")
            expect(shown.locator('[data-plot="trend"] .legendtext').first).to_have_css("fill", ink)
            shown.screenshot(path=OUTPUT / f"economics_{name}_{scheme}.png", full_page=True)
        assert not shown.evaluate("document.documentElement.scrollWidth > window.innerWidth"), (
            f"{name} scrolls sideways"
        )


def test_a_month_without_records_says_so(hub: RealHub, page: Any) -> None:
    from playwright.sync_api import expect

    page.goto(f"{hub.economics}/?month=2026-01")
    page.fill("input[name=username]", "root")
    page.fill("input[name=password]", "any")
    page.click("[type=submit]")
    expect(page.locator("#empty")).to_be_visible()
    assert page.goto(f"{hub.economics}/?month=soon").status == 400
