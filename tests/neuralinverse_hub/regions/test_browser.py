"""What a person sees of regions, in a real browser: their home is measured, their workspace goes along, a loss is healed."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.neuralinverse_hub.regions.rig import PASSWORD, Region, World
from tests.one_machine import eventually

pytestmark = [pytest.mark.hub, pytest.mark.browser]


def somebody() -> str:
    """A name that was never used: a second run of a test is another person's."""
    return f"eve-{uuid.uuid4().hex[:8]}"


def await_file(region: Region, person: str, content: str) -> None:
    """The workspace may be open a moment before everything is in place."""
    file = region.folder(person) / "notes.txt"
    eventually("the file being there", lambda: file.exists() and file.read_text() == content, 30)


def log_in(page: Any, region: Region, name: str) -> None:
    page.goto(f"{region.url}/hub/login?next=/hub/region")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("input[type=submit], button[type=submit]")
    page.wait_for_url(re.compile(r"/hub/region$"))


def test_home_is_where_the_browser_is_answered_first_and_stays_until_it_is_changed(three: World, page: Any) -> None:
    us, europe = three["us"], three["europe"]
    for each, delay in (("us", 0.15), ("europe", 0.0), ("japan", 0.25)):
        three.wires.delay(each, "world", delay)
    try:
        name = somebody()
        log_in(page, us, name)
        page.wait_for_selector("#choosing:has-text('It is Europe: it answers you in')")
        milliseconds = {
            each: int(page.inner_text(f"tr[data-region={each}] [data-cell=latency]")) for each in three.regions
        }
        assert milliseconds["europe"] < milliseconds["us"] < milliseconds["japan"]
        assert milliseconds["us"] >= 300
        link = page.locator("#continue")
        assert link.inner_text() == "Go to Europe"
        assert link.get_attribute("href") == f"{europe.url}/hub/region/enter"
        # The distances change; the home does not.
        three.wires.delay("us", "world", 0.0)
        three.wires.delay("europe", "world", 0.15)
        page.reload()
        page.wait_for_selector("h2:has-text('Your home region is Europe')")
        assert page.locator("#choosing").count() == 0
        page.click("tr[data-region=us] [data-home]")
        page.wait_for_selector("tr[data-region=us] [data-badge]:visible")
        page.wait_for_selector("#ask-title", state="detached")
        assert three.git.says(name, "refs/ni/_home") == "us"
    finally:
        for each in three.regions:
            three.wires.delay(each, "world", 0.0)


def test_a_move_shows_its_steps_and_ends_in_the_workspace_over_there(three: World, page: Any) -> None:
    us, europe = three["us"], three["europe"]
    name = somebody()
    eve = three.person(name, "us")
    eve.start(us)
    eve.write(us, "notes.txt", "goes along")
    log_in(page, europe, name)
    log_in(page, us, name)
    page.select_option("select[name=to]", "europe")
    page.click("button:has-text('Move')")
    page.wait_for_url(re.compile("/hub/region/move"))
    page.click("#move")
    page.wait_for_url(re.compile(re.escape(europe.url) + f"/(hub/region/arrive|user/{name}/)"), timeout=60_000)
    page.wait_for_url(re.compile(re.escape(europe.url) + f"/user/{name}/"), timeout=60_000)
    await_file(europe, name, "goes along")
    assert not us.runs(name)


def test_a_lost_region_is_said_and_what_was_saved_is_brought_here(three: World, page: Any) -> None:
    us, japan = three["us"], three["japan"]
    name = somebody()
    eve = three.person(name, "japan")
    eve.start(japan)
    eve.await_saved(japan, eve.write(japan, "notes.txt", "saved"))
    three.wires.cut("japan")
    try:
        log_in(page, us, name)
        page.wait_for_selector("#lost:has-text('Japan does not answer')", timeout=30_000)
        assert not page.locator("#bring").is_visible()
        page.click("#take")
        page.wait_for_url(re.compile(re.escape(us.url) + f"/user/{name}/"), timeout=60_000)
        await_file(us, name, "saved")
    finally:
        three.wires.heal("japan")
