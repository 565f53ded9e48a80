"""A person's own workspaces: several of them, started, stopped, restarted, given a title and deleted, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.neuralinverse_hub.operators.small_hub import SmallHub
from tests.one_machine import eventually

pages = pytest.importorskip("spawner.pages", reason="needs jupyterhub: pip install 'neuralinverse-hub[hub]'")

OUTPUT = Path(__file__).parents[1] / "output"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHub]:
    with SmallHub.local(tmp_path_factory.mktemp("hub")) as made:
        yield made


def row(page: Any, name: str) -> Any:
    return page.locator(f'li[data-name="{name}"]')


def rename(page: Any, name: str, title: str) -> None:
    row(page, name).locator("[data-rename]").click()
    page.fill("#ask-input", title)
    page.keyboard.press("Enter")
    page.wait_for_selector(f'li[data-name="{name}"] [data-title]:text-is("{title or name}")')


@pytest.mark.hub
@pytest.mark.browser
def test_a_person_looks_after_several_workspaces(hub: SmallHub, page: Any) -> None:
    page.goto(f"{hub.url}/hub/login?next=/hub/home")
    page.fill("#username_input", "ada")
    page.fill("#password_input", "any")
    page.click("#login_submit")
    page.wait_for_selector("h1:has-text('Your workspaces')")
    assert row(page, "").locator("[data-title]").inner_text() == "My workspace"
    assert row(page, "").locator("[data-badge]").inner_text() == "Stopped"
    assert row(page, "").locator("[data-delete]").count() == 0

    # A second one, with a name that an address cannot have.
    page.click("#new")
    page.fill("#ask-input", "My Thésis!")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/hub/spawn/ada/my-thesis"))
    page.click("form button[type=submit]:has-text('Start'), form input[type=submit]")
    page.wait_for_url(re.compile(r"/user/ada/my-thesis"), timeout=60_000)
    eventually("the workspace", lambda: hub.servers("ada").get("my-thesis", {}).get("ready"), 60)

    page.goto(f"{hub.url}/hub/home")
    thesis = row(page, "my-thesis")
    assert thesis.locator("[data-badge]").inner_text() == "Running"
    assert "Small" in thesis.inner_text()
    rename(page, "my-thesis", "Dissertation <b>2026</b>")
    assert thesis.locator("b").count() == 0, "a title is text"
    page.screenshot(path=OUTPUT / "workspaces.png")
    assert not page.locator("#ask").is_visible()
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(500)  # colours fade
    page.screenshot(path=OUTPUT / "workspaces-dark.png")
    # Creating it again is refused before anything is asked of the hub.
    page.click("#new")
    page.fill("#ask-input", "my thesis")
    page.keyboard.press("Enter")
    page.wait_for_selector("#problem:has-text('There is a workspace my-thesis already')")

    generation = state(hub, "my-thesis")["generation"]
    thesis.locator("[data-restart]").click()
    page.wait_for_url(re.compile(r"/user/ada/my-thesis"), timeout=60_000)
    eventually("the next start", lambda: state(hub, "my-thesis").get("generation", 0) > generation, 60)
    eventually("the workspace", lambda: hub.servers("ada")["my-thesis"]["ready"], 60)

    page.goto(f"{hub.url}/hub/home")
    assert thesis.locator("[data-title]").inner_text() == "Dissertation <b>2026</b>"
    thesis.locator("[data-stop]").click()
    page.wait_for_selector('li[data-name="my-thesis"] [data-badge]:text-is("Stopped")')
    rename(page, "my-thesis", "Thesis")
    rename(page, "my-thesis", "")
    # No is no.
    thesis.locator("[data-delete]").click()
    page.wait_for_timeout(500)
    page.screenshot(path=OUTPUT / "workspaces-delete.png")
    page.keyboard.press("Escape")
    assert thesis.count() == 1
    thesis.locator("[data-delete]").click()
    page.click("#ask-yes")
    page.wait_for_selector('li[data-name="my-thesis"]', state="detached")
    assert "my-thesis" not in hub.ask("GET", "users/ada?include_stopped_servers").json()["servers"]


def state(hub: SmallHub, name: str) -> dict[str, Any]:
    return dict(hub.servers("ada").get(name, {}).get("state") or {})


@pytest.mark.hub
def test_a_title_is_its_owners_and_outlives_stops(hub: SmallHub) -> None:
    path = "neuralinverse/users/bob/workspaces/{}/title"
    bob, mallory = hub.person("bob"), hub.person("mallory")
    hub.start("bob", "lab")
    for token in ("", "wrong", mallory, hub.person("bob", ["access:servers!user=bob", "users:activity!user=bob"])):
        assert hub.ask("PUT", path.format("lab"), token, json={"title": "Mine"}).status_code in (403, 404)
    for body, said in (
        ({"title": 3}, "write text"),
        ({}, "write text"),
        ([], "write text"),
        ({"title": "x" * 61}, "61 characters; 60 fit"),
        ({"title": "a\u202eb"}, "cannot be shown"),
    ):
        answer = hub.ask("PUT", path.format("lab"), bob, json=body)
        assert answer.status_code == 400 and said in answer.json()["message"]
    assert hub.ask("PUT", path.format("none"), bob, json={"title": "X"}).status_code == 404
    assert hub.ask("PUT", path.format("lab"), bob, json={"title": "  Wet \n lab "}).json() == {"title": "Wet lab"}
    hub.ask("DELETE", "users/bob/servers/lab")
    eventually("its end", lambda: "lab" not in hub.servers("bob"), 30)
    hub.start("bob", "lab")
    assert hub.servers("bob")["lab"]["state"]["title"] == "Wet lab"
    if "display_name" in hub.servers("bob")["lab"]:
        assert hub.servers("bob")["lab"]["display_name"] == "Wet lab"
    hub.ask("DELETE", "users/bob/servers/lab")


@pytest.mark.parametrize(("text", "title"), [("", ""), ("  a   b ", "a b"), ("Zoë 🚀", "Zoë 🚀"), ("x" * 60, "x" * 60)])
def test_a_title_is_text_on_one_line(text: str, title: str) -> None:
    assert pages.titled(text) == title
