"""Where people and their workspaces are, as facts on a real git host; each region with a hub that knows its own tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.regions.catalogue import Catalogue, parse
from neuralinverse_hub.regions.errors import BadCatalogue, Elsewhere, GitHostAway, RefMoved
from neuralinverse_hub.regions.refs import NOTHING, Change, GitRefs, fact_id
from neuralinverse_hub.regions.residence import Residence, Whereabouts, arrival
from tests.neuralinverse_hub.regions.rig import GitHost
from tests.neuralinverse_hub.sync.rig import TokenServer, free_port

HOUR_MS = 3_600_000
NOW_MS = 1_795_000_000_000


@dataclass
class Shared:
    git: GitHost
    hubs: dict[str, TokenServer]
    catalogue: Catalogue

    @contextlib.asynccontextmanager
    async def refs(self, region: str) -> AsyncIterator[GitRefs]:
        refs = GitRefs(self.git.url, region, f"{region}-hub")
        try:
            yield refs
        finally:
            await refs.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    place = tmp_path_factory.mktemp("residence")
    hubs = {}
    for name in ("us", "europe"):
        hubs[name] = TokenServer()
        hubs[name].tokens = {
            f"{name}-hub": {"kind": "service", "name": "regions", "scopes": ["access:services!service=git"]},
            f"{name}-other": {"kind": "service", "name": "culler", "scopes": ["access:services"]},
            f"{name}-ada": {"kind": "user", "name": "ada", "scopes": ["access:services!service=git"]},
        }
    git = GitHost(place, free_port(), place / "regions.json")
    rows = {name: {"hub": hub.url.removesuffix("/hub/api")} for name, hub in hubs.items()}
    data = {"git": git.url, "regions": rows}
    git.catalogue.write_text(json.dumps(data))
    git.start()
    yield Shared(git, hubs, parse(data))
    git.stop()
    for hub in hubs.values():
        hub.close()


@pytest.fixture
async def residences(shared: Shared) -> AsyncIterator[dict[str, Residence]]:
    async with contextlib.AsyncExitStack() as stack:
        refs = {name: await stack.enter_async_context(shared.refs(name)) for name in shared.hubs}
        yield {name: Residence(shared.catalogue, name, each, look_every_s=0) for name, each in refs.items()}


async def claim(shared: Shared, person: str, workspace: str, generation: int) -> None:
    """What a workspace's sync does first."""
    async with shared.refs("us") as refs:
        await refs.change(person, [Change(f"{wire.ref_prefix(workspace, generation)}/claim", NOTHING, "claim")])


# -- the git host and its several hubs ---------------------------------------------------------------------------------


def info_refs(shared: Shared, user: str, token: str, owner: str) -> tuple[int, str]:
    url = f"{shared.git.url}/{owner}/workspaces.git/info/refs?service=git-upload-pack"
    answer = requests.get(url, auth=(user, token), timeout=10)
    return answer.status_code, answer.text


def test_a_token_is_shown_to_the_hub_it_came_from_and_to_no_other(shared: Shared) -> None:
    before = shared.hubs["us"].asked
    assert info_refs(shared, "europe", "europe-ada", "ada")[0] == 200
    assert shared.hubs["us"].asked == before
    status, said = info_refs(shared, "anyone", "europe-ada", "ada")
    assert status == 401 and "user name: europe, us" in said
    assert shared.hubs["us"].asked == before


def test_one_hubs_token_is_nobodys_at_another_hub(shared: Shared) -> None:
    assert info_refs(shared, "us", "europe-ada", "ada")[0] == 401


def test_a_person_reaches_their_own_repositories_and_a_hub_everybodys(shared: Shared) -> None:
    assert info_refs(shared, "us", "us-ada", "bob")[0] == 403
    assert info_refs(shared, "us", "us-hub", "bob")[0] == 200
    assert info_refs(shared, "us", "us-other", "bob")[0] == 403


async def test_other_names_below_the_hosts_own_are_refused(shared: Shared) -> None:
    async with shared.refs("us") as refs:
        with pytest.raises(RefMoved):
            await refs.change("eve", [Change("refs/ni/else", NOTHING, "x")])


async def test_a_fact_is_a_commit_that_git_itself_can_read(shared: Shared) -> None:
    async with shared.refs("us") as refs:
        await refs.change("reader", [Change(wire.HOME_REF, NOTHING, "europe")])
        assert (await refs.read("reader"))[wire.HOME_REF] == fact_id("europe")
    assert await asyncio.to_thread(shared.git.says, "reader", wire.HOME_REF) == "europe"
    repository = shared.git.root / "reader" / "workspaces.git"
    fsck = await asyncio.create_subprocess_exec("git", "--git-dir", str(repository), "fsck", "--strict")
    assert await fsck.wait() == 0


async def test_a_host_that_is_away_or_no_git_host_says_so(shared: Shared) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", shared.hubs["us"].url):
        refs = GitRefs(url, "us", "x", timeout_s=2)
        with pytest.raises(GitHostAway, match="git host"):
            await refs.read("ada")
        await refs.close()


# -- home --------------------------------------------------------------------------------------------------------------


async def test_the_home_is_seen_in_every_region_and_changes_only_from_what_was_seen(
    residences: dict[str, Residence],
) -> None:
    us, europe = residences["us"], residences["europe"]
    assert (await us.choose_home("homer", "europe", instead_of=None)).home == "europe"
    assert (await europe.look("homer")).home == "europe"
    # A page that still shows "none" does not undo a choice that was made meanwhile.
    assert (await us.choose_home("homer", "us", instead_of=None)).home == "europe"
    assert (await us.choose_home("homer", "us", instead_of="europe")).home == "us"


async def test_of_many_first_logins_at_once_one_decides(residences: dict[str, Residence]) -> None:
    tries = [
        residences[region].choose_home("twice", region, instead_of=None)
        for region in ("us", "europe")
        for _ in range(4)
    ]
    homes = {where.home for where in await asyncio.gather(*tries)}
    assert len(homes) == 1


async def test_a_home_that_is_no_region_any_more_counts_as_none(
    shared: Shared, residences: dict[str, Residence]
) -> None:
    facts = (wire.HOME_REF, wire.at_ref("default"))
    async with shared.refs("us") as refs:
        await refs.change("mover", [Change(ref, NOTHING, "atlantis") for ref in facts])
    where = await residences["us"].look("mover")
    assert where.home is None and where.at == {}
    assert arrival(where, "us") == "choose"
    assert (await residences["us"].choose_home("mover", "us", instead_of=None)).home == "us"
    assert await residences["us"].generation("mover", "default", 0, NOW_MS) == NOW_MS


async def test_an_unknown_region_cannot_become_home(residences: dict[str, Residence]) -> None:
    with pytest.raises(BadCatalogue, match="no region 'mars'"):
        await residences["us"].choose_home("ada", "mars", instead_of=None)


def test_what_happens_at_a_login_follows_from_the_facts() -> None:
    def where(home: str | None = None, at: str | None = None) -> Whereabouts:
        refs = {wire.HOME_REF: fact_id(home)} if home else {}
        refs |= {wire.at_ref("default"): fact_id(at)} if at else {}
        return Whereabouts(refs, ("us", "europe"))

    assert arrival(where(), "us") == "choose"
    assert arrival(where(home="us"), "us") == "go"
    assert arrival(where(home="europe"), "us") == "ask"
    # Where the workspace is weighs more than where it is at home: who took it along is not asked again.
    assert arrival(where(home="europe", at="us"), "us") == "go"
    assert arrival(where(home="us", at="europe"), "us") == "ask"
    assert arrival(where(at="us"), "us") == "go"


# -- generations -------------------------------------------------------------------------------------------------------


async def test_a_start_is_newer_than_any_other_though_the_clock_is_an_hour_behind(
    shared: Shared, residences: dict[str, Residence]
) -> None:
    first = await residences["us"].generation("clock", "default", 0, NOW_MS)
    await claim(shared, "clock", "default", first)
    await residences["us"].settle("clock", "default", "europe", instead_of="us")
    second = await residences["europe"].generation("clock", "default", 0, NOW_MS - HOUR_MS)
    assert second == first + 1
    await claim(shared, "clock", "default", second)
    # The other one is refused from now on.
    with pytest.raises(RefMoved):
        await claim(shared, "clock", "default", first - 1)


async def test_starting_where_the_workspace_is_not_is_refused_with_the_way_to_go(
    residences: dict[str, Residence],
) -> None:
    await residences["us"].generation("tourist", "default", 0, NOW_MS)
    with pytest.raises(Elsewhere, match=r"in United States.*Open http://127.*/hub/region") as refused:
        await residences["europe"].generation("tourist", "default", 0, NOW_MS)
    assert "hub/region" in refused.value.jupyterhub_message
    # Another workspace of the same person may be elsewhere.
    assert await residences["europe"].generation("tourist", "thesis", 0, NOW_MS) == NOW_MS


async def test_of_two_first_starts_at_once_one_gets_the_workspace(residences: dict[str, Residence]) -> None:
    async def start(region: str) -> str:
        try:
            await residences[region].generation("racer", "default", 0, NOW_MS)
        except Elsewhere:
            return ""
        return region

    started = set(await asyncio.gather(*(start(region) for region in ("us", "europe"))))
    at = (await residences["us"].look("racer")).at["default"]
    assert started == {"", at}


async def test_without_the_git_host_a_start_goes_one_above_what_this_hub_knew(shared: Shared) -> None:
    refs = GitRefs(f"http://127.0.0.1:{free_port()}", "us", "x", timeout_s=2)
    alone = Residence(shared.catalogue, "us", refs)
    assert await alone.generation("ada", "default", 41, NOW_MS) == 42
    assert not await alone.superseded("ada", "default", 41)
    await refs.close()


async def test_a_generation_is_superseded_by_a_newer_one_only(shared: Shared, residences: dict[str, Residence]) -> None:
    us = residences["us"]
    generation = await us.generation("fenced", "default", 0, NOW_MS)
    await claim(shared, "fenced", "default", generation)
    assert not await us.superseded("fenced", "default", generation)
    await claim(shared, "fenced", "default", generation + 1)
    assert await us.superseded("fenced", "default", generation)
    assert not await us.superseded("fenced", "other", 1)


async def test_the_git_host_is_asked_about_one_workspace_at_most_once_a_while(shared: Shared) -> None:
    now = 0.0
    async with shared.refs("us") as refs:
        us = Residence(shared.catalogue, "us", refs, look_every_s=60, clock=lambda: now)
        await claim(shared, "rarely", "default", 5)
        assert not await us.superseded("rarely", "default", 5)
        await claim(shared, "rarely", "default", 6)
        now = 59.0
        assert not await us.superseded("rarely", "default", 5)
        now = 61.0
        assert await us.superseded("rarely", "default", 5)


async def test_a_workspace_settles_only_from_where_it_was_believed_to_be(residences: dict[str, Residence]) -> None:
    us = residences["us"]
    await us.settle("settler", "default", "us")
    with pytest.raises(RefMoved, match="in us by now, not in europe"):
        await us.settle("settler", "default", "europe", instead_of="europe")
    await us.settle("settler", "default", "europe", instead_of="us")
    await us.settle("settler", "default", "europe", instead_of="us")
    assert (await us.look("settler")).at == {"default": "europe"}


async def test_workspaces_are_listed_with_the_default_one_first(
    shared: Shared, residences: dict[str, Residence]
) -> None:
    await claim(shared, "lister", "default", 3)
    await residences["us"].settle("lister", "alpha", "us")
    where = await residences["us"].look("lister")
    assert where.workspaces() == ["default", "alpha"]
    assert where.newest("default") == 3 and where.newest("alpha") == 0
