"""Three whole regions: people move between them, lose one, get it back, and are cut off from each other.

Each test ends by comparing what the person had saved with what they got.
"""

from __future__ import annotations

import threading
import time

import pytest
import requests

from neuralinverse_hub import wire
from tests.neuralinverse_hub.regions.rig import Region, World, copy_tree
from tests.one_machine import eventually

pytestmark = pytest.mark.hub

BOUND_S = 4.0
"""How old a change may be and still be lost with its region: the sync's bound of two seconds, and as much again for a
machine that runs three regions on two cores."""


def work(region: Region, person: str) -> dict[str, bytes]:
    """The person's files there, without the page that greets them."""
    return {path: content for path, content in copy_tree(region.folder(person)).items() if path != "WELCOME.md"}


def said(steps: list[dict[str, object]]) -> list[object]:
    return [step["step"] for step in steps]


# -- home --------------------------------------------------------------------------------------------------------------


def test_a_first_login_chooses_and_a_login_elsewhere_asks(three: World) -> None:
    us, europe = three["us"], three["europe"]
    ada = three.person("ada-home", "us", "europe")
    assert ada.facts(us)["arrival"] == "choose"
    assert ada.call(us, "region/home", {"home": "europe", "instead_of": None}).json() == {"home": "europe"}
    # Every region sees it, and nothing moves by itself.
    assert ada.facts(europe)["home"] == "europe"
    assert ada.facts(europe)["arrival"] == "go" and ada.facts(us)["arrival"] == "ask"
    enter = ada.sessions["us"].get(f"{us.url}/hub/region/enter", allow_redirects=False, timeout=30)
    assert enter.headers["Location"].endswith("/hub/region")
    ada.start(europe)
    assert three.git.says("ada-home", wire.HOME_REF) == "europe"
    assert three.git.says("ada-home", wire.at_ref("default")) == "europe"


def test_a_start_where_the_workspace_is_not_is_refused_with_the_way(three: World) -> None:
    us, japan = three["us"], three["japan"]
    ada = three.person("ada-tourist", "us", "japan")
    ada.start(us)
    answer = ada.call(japan, "api/users/ada-tourist/server", {})
    assert answer.status_code == 409
    assert f"{japan.url}/hub/region" in answer.text
    # The hub's page says it too.
    page = ada.sessions["japan"].get(f"{japan.url}/hub/spawn/ada-tourist", timeout=30)
    assert f"{japan.url}/hub/region" in page.text, page.text
    assert us.runs("ada-tourist") and not japan.runs("ada-tourist")


# -- move --------------------------------------------------------------------------------------------------------------


def test_a_move_takes_everything_along(three: World) -> None:
    us, europe = three["us"], three["europe"]
    ada = three.person("ada-move", "us", "europe")
    ada.start(us)
    for number in range(200):
        ada.write(us, f"src/{number % 10}/{number}.py", f"print({number})\n")
    ada.write(us, "last.txt", "typed a moment before the click")
    before = work(us, "ada-move")
    first = us.ready("ada-move")
    steps = ada.move(us, europe)
    assert said(steps) == ["check", "flush", "stop", "go"], steps
    assert str(steps[-1]["go"]).startswith(f"{europe.url}/hub/region/arrive?")
    assert not us.runs("ada-move")
    ada.start(europe)
    assert work(europe, "ada-move") == before
    assert europe.ready("ada-move") > first
    # And back, with what was done there.
    ada.write(europe, "europe.txt", "from over there")
    assert said(ada.move(europe, us))[-1] == "go"
    ada.start(us)
    assert work(us, "ada-move") == before | {"europe.txt": b"from over there"}


def test_a_move_to_a_region_that_does_not_answer_touches_nothing(three: World) -> None:
    us, japan = three["us"], three["japan"]
    ada = three.person("ada-stays", "us")
    ada.start(us)
    ada.write(us, "a.txt", "a")
    generation = us.ready("ada-stays")
    three.wires.cut("us", "japan")
    try:
        steps = ada.move(us, japan)
    finally:
        three.wires.heal("us", "japan")
    assert said(steps) == ["check", "failed"]
    assert "Japan does not answer" in str(steps[-1]["message"]) and "where it was" in str(steps[-1]["message"])
    assert us.runs("ada-stays") and us.ready("ada-stays") == generation


def test_a_move_to_a_region_without_room_touches_nothing(three: World) -> None:
    us, japan = three["us"], three["japan"]
    japan.stop()
    japan.more = "c.JupyterHub.active_server_limit = 1"
    japan.start()
    try:
        bob = three.person("bob-fills", "japan")
        bob.start(japan)
        eventually("its health saying so", lambda: japan.health(need="capacity")[0] == 503)
        assert not japan.health(need="capacity")[1]["parts"]["capacity"]["ok"]
        # Whoever is there already goes on; only another one has no room.
        assert japan.health()[0] == 200
        ada = three.person("ada-no-room", "us", "japan")
        ada.start(us)
        ada.write(us, "a.txt", "a")
        generation = us.ready("ada-no-room")
        steps = ada.move(us, japan)
        assert said(steps) == ["check", "failed"]
        assert "it has no room for another workspace" in str(steps[-1]["message"])
        assert us.runs("ada-no-room") and us.ready("ada-no-room") == generation
        full = three.person("cy-too-many", "japan")
        answer = full.call(japan, "api/users/cy-too-many/server", {})
        assert answer.status_code == 429 and "limit" in answer.text
    finally:
        japan.stop()
        japan.more = ""
        japan.start()


def test_a_move_while_the_git_host_is_away_touches_nothing(three: World) -> None:
    us, europe = three["us"], three["europe"]
    ada = three.person("ada-gitless", "us")
    ada.start(us)
    ada.write(us, "a.txt", "a")
    three.wires.cut("us", "git")
    try:
        steps = ada.move(us, europe)
    finally:
        three.wires.heal("us", "git")
    assert said(steps) == ["check", "failed"] and "git host" in str(steps[-1]["message"])
    assert us.runs("ada-gitless")


def test_what_cannot_be_started_over_there_goes_back_whole(three: World) -> None:
    us, europe = three["us"], three["europe"]
    ada = three.person("ada-returns", "us", "europe")
    ada.start(us)
    ada.write(us, "a.txt", "whole")
    assert said(ada.move(us, europe))[-1] == "go"
    # Europe never starts it; the page over there sends it back.
    answer = ada.call(europe, "region/return", {"server": "", "to": "us"})
    assert answer.ok and answer.json()["go"].startswith(f"{us.url}/hub/region/arrive?")
    ada.start(us)
    assert work(us, "ada-returns") == {"a.txt": b"whole"}


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("region/move?to=mars", 400, "no region"),
        ("region/move?to=eurpoe", 400, "did you mean"),
        ("region/move?to=us", 400, "already"),
    ],
)
def test_a_move_to_nowhere_is_refused(three: World, path: str, status: int, words: str) -> None:
    answer = three.person("ada-nowhere", "us").call(three["us"], path)
    assert answer.status_code == status
    assert words in answer.text


# -- who may ask -------------------------------------------------------------------------------------------------------


def test_every_page_but_health_wants_a_person_with_a_browser(three: World) -> None:
    us = three["us"]
    assert requests.get(f"{us.url}/hub/region/health", timeout=20).status_code == 200
    for path in ("", "/enter", "/move?to=europe", "/arrive"):
        answer = requests.get(f"{us.url}/hub/region{path}", allow_redirects=False, timeout=20)
        assert answer.status_code == 302 and "/hub/login" in answer.headers["Location"], path
    ada = three.person("ada-asks", "us")
    for path in ("/home", "/take", "/return", "/move?to=europe"):
        assert requests.post(f"{us.url}/hub/region{path}", json={}, timeout=20).status_code == 403, path
        # With the cookie of another site's page, but without the token that only our pages know.
        foreign = ada.sessions["us"].post(f"{us.url}/hub/region{path}", json={}, timeout=20)
        assert foreign.status_code == 403, path
    token = ada.call(us, "api/users/ada-asks/tokens", {}).json()["token"]
    for path in ("/home", "/take", "/return", "/move?to=europe"):
        answer = requests.post(
            f"{us.url}/hub/region{path}", json={}, headers={"Authorization": f"token {token}"}, timeout=20
        )
        assert answer.status_code == 403, path


def test_health_tells_the_truth_and_only_to_browsers_of_our_regions(three: World) -> None:
    europe = three["europe"]
    status, report = europe.health()
    assert status == 200 and report["region"] == "europe"
    assert {"database", "proxy", "git", "gateway", "capacity"} <= set(report["parts"])
    url = f"{europe.url}/hub/region/health"
    ours = requests.get(url, headers={"Origin": three["us"].url}, timeout=20).headers
    assert ours["Access-Control-Allow-Origin"] == three["us"].url
    foreign = requests.get(url, headers={"Origin": "https://elsewhere.example"}, timeout=20).headers
    assert "Access-Control-Allow-Origin" not in foreign
    assert europe.health("gti")[0] == 400
    three.wires.cut("europe", "git")
    try:
        eventually("the git host seen as gone", lambda: europe.health("git")[0] == 503, 20)
        # People go on with what is here: without `need` the region serves.
        status, report = europe.health()
        assert status == 200 and report["status"] == "degraded" and not report["parts"]["git"]["ok"]
    finally:
        three.wires.heal("europe", "git")
    eventually("the git host seen again", lambda: europe.health("git")[0] == 200, 20)


# -- the loss of a region ----------------------------------------------------------------------------------------------


class Typist:
    """Somebody who saves a file again and again, and knows when each version was saved."""

    def __init__(self, region: Region, person: str) -> None:
        self._file = region.folder(person) / "typing.txt"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._type)
        self.saved: list[tuple[float, int]] = []

    def __enter__(self) -> Typist:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _type(self) -> None:
        version = 0
        while not self._stop.wait(0.1):
            version += 1
            # Whole or not at all: a file caught between emptied and written would be what was saved then, too.
            fresh = self._file.with_suffix(".new")
            fresh.write_text(f"{version}\n")
            fresh.replace(self._file)
            self.saved.append((time.time(), version))

    def last_before(self, moment: float) -> int:
        return max((version for at, version in self.saved if at <= moment), default=0)


def test_a_region_killed_while_somebody_types_costs_no_more_than_the_bound_and_its_return_nothing(three: World) -> None:
    europe, japan = three["europe"], three["japan"]
    ada = three.person("ada-lost", "europe", "japan")
    ada.start(europe)
    ada.write(europe, "thesis.txt", "saved long ago")
    old = europe.ready("ada-lost")
    with Typist(europe, "ada-lost") as typist:
        time.sleep(8)
        killed_at = time.time()
        europe.kill()
    try:
        # Nobody takes it away from there but the person.
        refused = ada.call(japan, "api/users/ada-lost/server", {})
        assert refused.status_code == 409 and "hub/region" in refused.text
        assert ada.facts(japan)["arrival"] == "ask"
        assert ada.take(japan, europe).json() == {"at": "japan"}
        ada.start(japan)
        got = work(japan, "ada-lost")
        assert got["thesis.txt"] == b"saved long ago"
        assert int(got["typing.txt"]) >= typist.last_before(killed_at - BOUND_S)
        assert int(got["typing.txt"]) <= typist.saved[-1][1]
        ada.write(japan, "thesis.txt", "went on in Japan")
        ada.await_saved(japan, time.time())
    finally:
        # What is left of the region comes up again: its hub still believes that the workspace is here.
        europe.start()
    ada.log_in(europe)
    refused = ada.call(europe, "api/users/ada-lost/server", {})
    assert refused.status_code == 409 and not europe.runs("ada-lost")
    assert three.git.live("ada-lost") == japan.ready("ada-lost") > old
    assert (japan.folder("ada-lost") / "thesis.txt").read_text() == "went on in Japan"
    # And its own old folder is no obstacle to coming home.
    assert said(ada.move(japan, europe))[-1] == "go"
    ada.start(europe)
    assert (europe.folder("ada-lost") / "thesis.txt").read_text() == "went on in Japan"


def test_a_zombie_region_cannot_write_over_newer_work_and_its_workspace_is_ended(three: World) -> None:
    europe, us = three["europe"], three["us"]
    ada = three.person("ada-zombie", "europe", "us")
    ada.start(europe)
    ada.write(europe, "both.txt", "before")
    ada.await_saved(europe, time.time())
    zombie = europe.ready("ada-zombie")
    # Gone for everybody, alive for itself.
    three.wires.cut("europe")
    try:
        (europe.folder("ada-zombie") / "both.txt").write_text("typed in the zombie")
        assert ada.take(us, europe).ok
        ada.start(us)
        assert (us.folder("ada-zombie") / "both.txt").read_text() == "before"
        ada.write(us, "both.txt", "typed where the person is")
        ada.await_saved(us, time.time())
        assert europe.runs("ada-zombie")
    finally:
        three.wires.heal("europe")
    eventually("the zombie's workspace ended", lambda: not europe.runs("ada-zombie"), 60)
    assert three.git.live("ada-zombie") == us.ready("ada-zombie") > zombie
    ada.await_saved(us, ada.write(us, "after.txt", "and goes on"))
    ada.stop(us)
    ada.start(us)
    assert work(us, "ada-zombie") == {
        "both.txt": b"typed where the person is",
        "after.txt": b"and goes on",
    }
    # What was typed in the zombie is not thrown away: it is where it was typed.
    assert (europe.folder("ada-zombie") / "both.txt").read_text() == "typed in the zombie"


# -- partition ---------------------------------------------------------------------------------------------------------


def test_a_minute_of_partition_stops_no_work_on_either_side(three: World) -> None:
    us, europe = three["us"], three["europe"]
    ada = three.person("ada-apart", "us")
    bob = three.person("bob-apart", "europe")
    ada.start(us)
    bob.start(europe)
    # Europe keeps nothing of the others and loses the git host as well; the US loses Europe only.
    three.wires.cut("europe", "git")
    three.wires.cut("europe", "us")
    three.wires.cut("europe", "japan")
    try:
        until = time.monotonic() + 60
        minute = 0
        while time.monotonic() < until:
            minute += 1
            saved = ada.write(us, "diary.txt", f"ada {minute}\n")
            bob.write(europe, "diary.txt", f"bob {minute}\n")
            time.sleep(5)
        ada.await_saved(us, saved)
        # Somebody may even begin to work over there: a start goes by what the hub knows.
        bob.stop(europe)
        answer = bob.call(europe, "api/users/bob-apart/server", {})
        assert answer.status_code in (201, 202)
        eventually("bob at work again", lambda: europe.runs("bob-apart"), 30)
        written = bob.write(europe, "more.txt", "cut off, and still at work")
    finally:
        for other in ("git", "us", "japan"):
            three.wires.heal("europe", other)
    bob.await_saved(europe, written)
    assert (us.folder("ada-apart") / "diary.txt").read_text() == f"ada {minute}\n"
    assert said(bob.move(europe, us))[-1] == "go"
    bob.log_in(us)
    bob.start(us)
    assert work(us, "bob-apart") == {
        "diary.txt": f"bob {minute}\n".encode(),
        "more.txt": b"cut off, and still at work",
    }
