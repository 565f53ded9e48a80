"""Two whole regions, the clock of one of them days off, and that of the git host hours: nothing follows from a clock.

The hub, its services, the workspaces and what they run all live by the wrong clock; how time passes is right.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from tests.neuralinverse_hub.regions.rig import Person, Region, World, copy_tree, world
from tests.one_machine import eventually

DAY_MS = 86_400_000


@pytest.fixture(scope="module", params=[("+3d", "-2h"), ("-3d", "+2h")], ids=["ahead", "behind"])
def skewed(networks: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Europe's clock and the git host's are wrong. Shared: keep to your own people, and leave everything up."""
    europe, git = request.param
    place: Path = tmp_path_factory.mktemp("clocks")
    with world(place, ("us", "europe"), clocks={"europe": europe, "git": git}, mirrors=True) as regions:
        yield regions


def work(region: Region, person: str) -> dict[str, bytes]:
    return {path: content for path, content in copy_tree(region.folder(person)).items() if path != "WELCOME.md"}


def await_on_host(person: Person, path: str, content: str) -> None:
    """Until the newest generation on the git host has it: what a status says of times is by a clock that is wrong."""
    repository = person.world.git.root / person.name / f"{wire.WORKSPACE_REPOSITORY}.git"

    def there() -> bool:
        snapshot = f"{wire.ref_prefix('default', person.world.git.live(person.name))}/snap:{path}"
        command = ["git", "--git-dir", str(repository), "cat-file", "blob", snapshot]
        return subprocess.run(command, capture_output=True).stdout == content.encode()

    eventually(f"{path} on the git host", there, 30)


def save(person: Person, region: Region, path: str, content: str) -> None:
    person.write(region, path, content)
    await_on_host(person, path, content)


def days_off(region: Region, person: str) -> float:
    """How far from now the start of the workspace was, by the number it was given."""
    return (region.ready(person) - time.time() * 1000) / DAY_MS


def test_a_move_there_and_back_takes_everything_along(skewed: World) -> None:
    us, europe = skewed["us"], skewed["europe"]
    ada = skewed.person("ada-move", "us", "europe")
    ada.start(us)
    save(ada, us, "a.txt", "from the right time")
    first = us.ready("ada-move")
    assert ada.move(us, europe)[-1]["step"] == "go"
    ada.start(europe)
    save(ada, europe, "b.txt", "from the wrong time")
    second = europe.ready("ada-move")
    assert ada.move(europe, us)[-1]["step"] == "go"
    ada.start(us)
    assert work(us, "ada-move") == {"a.txt": b"from the right time", "b.txt": b"from the wrong time"}
    assert first < second < us.ready("ada-move") == skewed.git.live("ada-move")


def test_the_rig_is_what_it_says(skewed: World) -> None:
    europe = skewed["europe"]
    ada = skewed.person("ada-rig", "europe")
    ada.start(europe)
    status = europe.status("ada-rig")
    from datetime import datetime

    off = (datetime.fromisoformat(status["updated_at"]).timestamp() - time.time()) / 86400
    assert abs(abs(off) - 3) < 0.1
    assert abs(days_off(europe, "ada-rig") - off) < 0.1


def test_what_a_lost_region_had_saved_is_there_elsewhere_and_its_return_takes_nothing_back(skewed: World) -> None:
    us, europe = skewed["us"], skewed["europe"]
    ada = skewed.person("ada-lost", "us", "europe")
    ada.start(europe)
    save(ada, europe, "thesis.txt", "saved in the lost region")
    old = europe.ready("ada-lost")
    europe.kill()
    try:
        assert ada.take(us, europe).json() == {"at": "us"}
        ada.start(us)
        assert work(us, "ada-lost") == {"thesis.txt": b"saved in the lost region"}
        save(ada, us, "thesis.txt", "went on elsewhere")
    finally:
        europe.start()
    ada.log_in(europe)
    assert ada.call(europe, "api/users/ada-lost/server", {}).status_code == 409
    assert not europe.runs("ada-lost")
    assert skewed.git.live("ada-lost") == us.ready("ada-lost") > old
    # Home again, over the old folder there.
    assert ada.move(us, europe)[-1]["step"] == "go"
    ada.start(europe)
    assert work(europe, "ada-lost") == {"thesis.txt": b"went on elsewhere"}


@pytest.mark.parametrize(("zombie", "refuge"), [("europe", "us"), ("us", "europe")])
def test_a_zombie_is_fenced_whichever_of_the_two_clocks_is_wrong(skewed: World, zombie: str, refuge: str) -> None:
    there, here = skewed[zombie], skewed[refuge]
    name = f"ada-zombie-{zombie}"
    ada = skewed.person(name, zombie, refuge)
    ada.start(there)
    save(ada, there, "both.txt", "before")
    old = there.ready(name)
    skewed.wires.cut(zombie)
    try:
        (there.folder(name) / "both.txt").write_text("typed in the zombie")
        assert ada.take(here, there).ok
        ada.start(here)
        assert work(here, name) == {"both.txt": b"before"}
        save(ada, here, "both.txt", "typed where the person is")
    finally:
        skewed.wires.heal(zombie)
    eventually("the zombie's workspace ended", lambda: not there.runs(name), 60)
    assert skewed.git.live(name) == here.ready(name) > old
    save(ada, here, "after.txt", "and goes on")
    ada.stop(here)
    ada.start(here)
    assert work(here, name) == {"both.txt": b"typed where the person is", "after.txt": b"and goes on"}


def test_a_restart_in_the_region_of_the_wrong_clock_keeps_what_was_saved_last(skewed: World) -> None:
    europe = skewed["europe"]
    ada = skewed.person("ada-restart", "europe")
    ada.start(europe)
    generations = [europe.ready("ada-restart")]
    for number in range(2):
        save(ada, europe, "count.txt", f"{number}")
        ada.stop(europe)
        ada.start(europe)
        assert work(europe, "ada-restart") == {"count.txt": f"{number}".encode()}
        generations.append(europe.ready("ada-restart"))
    assert generations == sorted(set(generations))
