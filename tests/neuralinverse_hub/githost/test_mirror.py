"""A mirror of the git host: real host processes, real git, and for each region a hub that knows its own tokens."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.githost.copies import CHECK_S, KEEP_S, LATELY_S, Copy, care, copies, way
from neuralinverse_hub.githost.errors import NoSuchRepository, PrimaryAway
from neuralinverse_hub.githost.following import SETTINGS, Follower
from neuralinverse_hub.githost.primary import Primary, refs_in
from neuralinverse_hub.githost.repositories import Repositories
from tests.neuralinverse_hub.regions.rig import GitHost
from tests.neuralinverse_hub.sync.rig import TokenServer, free_port, git
from tests.one_machine import eventually

REGIONS = ("us", "europe")
MIRROR = "europe-mirror"
"""What the mirror's own service signs in with; the hub knows it as its service."""
SCOPES = ["access:services!service=git"]


@dataclass
class Mirror(GitHost):
    """The host that Europe's hub would run: the same program, told by its environment which region it is in."""

    api: str = ""
    address: str = "127.8.1.2"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def copies(self) -> Path:
        return self.root / ".copies"

    def start(self) -> None:
        env = dict(os.environ) | {
            "NEURALINVERSE_GIT_ROOT": str(self.root),
            wire.ENV_REGIONS: str(self.catalogue),
            wire.ENV_REGION: "europe",
            wire.ENV_TOKEN: MIRROR,
            "JUPYTERHUB_API_URL": self.api,
            "JUPYTERHUB_SERVICE_PREFIX": "/",
            "JUPYTERHUB_SERVICE_URL": self.url,
        }
        with (self.place / "git.log").open("ab") as log:
            command = [sys.executable, "-m", "neuralinverse_hub.githost"]
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        eventually("the mirror answering", self.answers)

    def said(self) -> str:
        return (self.place / "git.log").read_text()


@dataclass
class Two:
    primary: GitHost
    mirror: Mirror
    hubs: dict[str, TokenServer]

    def address(self, host: GitHost, owner: str = "ada", user: str = "europe", token: str = "europe-ada") -> str:
        return f"{host.url.replace('http://', f'http://{user}:{token}@')}/{owner}/workspaces.git"

    def push(self, place: Path, content: str, ref: str = "refs/heads/main", owner: str = "ada") -> str:
        """A commit with a file of this content, pushed to the primary; its id."""
        work = place / "pushing"
        if not work.exists():
            work.mkdir()
            git(work, "init", "-q", "-b", "main")
        (work / "file.txt").write_text(content)
        git(work, "add", "-A")
        git(work, "commit", "-q", "--allow-empty", "-m", content[:20])
        git(work, "push", "-q", "-f", self.address(self.primary, owner, token=f"europe-{owner}"), f"HEAD:{ref}")
        return git(work, "rev-parse", "HEAD").strip()

    def mirrored(self, owner: str = "ada") -> dict[str, str]:
        """What somebody who asks the mirror is told."""
        listing = git(self.mirror.place, "ls-remote", self.address(self.mirror, owner, token=f"europe-{owner}"))
        return {ref: oid for oid, ref in (line.split("\t") for line in listing.splitlines())}


def ask(host: GitHost, path: str, user: str = "", token: str = "", method: str = "GET") -> tuple[int, str]:
    answer = requests.request(
        method,
        f"{host.url}{path}",
        auth=(user, token) if token else None,
        data=b"0000" if method == "POST" else None,
        headers={"Content-Type": f"application/x-{path.rpartition('/')[2]}-request"} if method == "POST" else None,
        timeout=30,
    )
    return answer.status_code, answer.text


async def soon(what: str, seen: Callable[[], Awaitable[object]]) -> None:
    """Until ``seen()`` is true."""
    for _ in range(400):
        if await seen():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what} did not happen within 20 s")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """Shared: keep to your own people, and leave both hosts up."""
    place = tmp_path_factory.mktemp("mirror")
    hubs = {}
    for region in REGIONS:
        hubs[region] = TokenServer()
        hubs[region].tokens = {
            f"{region}-hub": {"kind": "service", "name": "regions", "scopes": SCOPES},
            f"{region}-mirror": {"kind": "service", "name": "git", "scopes": SCOPES},
            f"{region}-weak": {"kind": "user", "name": "ada", "scopes": ["self"]},
            # A person may have any name, also that of the service.
            f"{region}-imp": {"kind": "user", "name": "git", "scopes": SCOPES},
        }
        for person in ("ada", "bob", "cy", "dora", "eve", "fay", "gus", "hal"):
            hubs[region].tokens[f"{region}-{person}"] = {"kind": "user", "name": person, "scopes": SCOPES}
    catalogue = place / "regions.json"
    (place / "primary").mkdir()
    (place / "mirror").mkdir()
    primary = GitHost(place / "primary", free_port(), catalogue, env={wire.ENV_REGION: "us"})
    rows: dict[str, dict[str, str]] = {}
    for region, hub in hubs.items():
        rows[region] = {"hub": hub.url.removesuffix("/hub/api")}
    rows["europe"]["git_mirror"] = f"{rows['europe']['hub']}/services/git"
    catalogue.write_text(json.dumps({"git": primary.url, "regions": rows}))
    mirror = Mirror(place / "mirror", free_port(), catalogue, api=hubs["europe"].url)
    primary.start()
    mirror.start()
    yield Two(primary, mirror, hubs)
    mirror.stop()
    primary.stop()
    for hub in hubs.values():
        hub.close()


# -- reading -----------------------------------------------------------------------------------------------------------


def test_who_asks_the_mirror_gets_what_the_primary_has_now(two: Two, tmp_path: Path) -> None:
    first = two.push(tmp_path, "one")
    assert two.mirrored()["refs/heads/main"] == first
    second = two.push(tmp_path, "two", "refs/ni/default/7/snap")
    # For a few seconds a copy counts as fresh.
    expected = {"HEAD": first, "refs/heads/main": first, "refs/ni/default/7/snap": second}
    eventually("the mirror having both", lambda: two.mirrored() == expected)
    git(tmp_path, "clone", "-q", two.address(two.mirror), "copy")
    assert (tmp_path / "copy" / "file.txt").read_text() == "one"


def test_what_vanished_from_the_primary_vanishes_from_the_mirror(two: Two, tmp_path: Path) -> None:
    first = two.push(tmp_path, "one", owner="bob")
    two.push(tmp_path, "two", "refs/ni/default/7/recent/x", owner="bob")
    assert "refs/ni/default/7/recent/x" in two.mirrored("bob")
    git(
        tmp_path / "pushing",
        "push",
        "-q",
        two.address(two.primary, "bob", token="europe-bob"),
        ":refs/ni/default/7/recent/x",
    )
    eventually("it being gone", lambda: two.mirrored("bob") == {"HEAD": first, "refs/heads/main": first})


# -- who may -----------------------------------------------------------------------------------------------------------

REFS = "/info/refs?service=git-upload-pack"
PUSH = "/info/refs?service=git-receive-pack"


@pytest.mark.parametrize(
    ("path", "user", "token", "method", "status", "said"),
    [
        (f"/ada/workspaces.git{REFS}", "europe", "europe-ada", "GET", 200, ""),
        ("/ada/workspaces.git/git-upload-pack", "europe", "europe-ada", "POST", 200, ""),
        # nobody, somebody unknown, somebody without the scope
        (f"/ada/workspaces.git{REFS}", "", "", "GET", 401, "token as the password"),
        (f"/ada/workspaces.git{REFS}", "europe", "guess", "GET", 401, "does not know this token"),
        (f"/ada/workspaces.git{REFS}", "europe", "europe-weak", "GET", 403, "lacks the scope"),
        # somebody else's, also of one whose name is that of the service
        (f"/bob/workspaces.git{REFS}", "europe", "europe-ada", "GET", 403, "does not reach the repositories of bob"),
        ("/bob/workspaces.git/git-upload-pack", "europe", "europe-ada", "POST", 403, "does not reach"),
        (f"/bob/workspaces.git{PUSH}", "europe", "europe-ada", "GET", 403, "does not reach"),
        (f"/ada/workspaces.git{REFS}", "europe", "europe-imp", "GET", 403, "does not reach"),
        # the own one, for writing: whatever the way it is asked
        (f"/ada/workspaces.git{PUSH}", "europe", "europe-ada", "GET", 403, "push to the primary, http://127.8.1.1"),
        ("/ada/workspaces.git/info/refs?service=git-upload-pack&service=git-receive-pack", "europe", "europe-ada", "GET", 403, "push to the primary"),
        ("/ada/workspaces.git/info/refs?service=git%2dreceive%2Dpack", "europe", "europe-ada", "GET", 403, "push to the primary"),
        ("/ada/workspaces.git/git-receive-pack", "europe", "europe-ada", "POST", 403, "push to the primary"),
        # people of a region that is not sent here; services, also those that the primary lets in
        (f"/ada/workspaces.git{REFS}", "us", "us-ada", "GET", 401, "as user name: europe"),
        (f"/ada/workspaces.git{REFS}", "europe", "us-ada", "GET", 401, "does not know this token"),
        (f"/ada/workspaces.git{REFS}", "europe", "europe-hub", "GET", 403, "belongs to a service"),
        (f"/ada/workspaces.git{REFS}", "europe", MIRROR, "GET", 403, "belongs to a service"),
        (f"/ada/workspaces.git{REFS}", "us", "us-hub", "GET", 401, "as user name: europe"),
        # what is no repository
        ("/ada/workspaces.git/config", "europe", "europe-ada", "GET", 404, "There is nothing at"),
        ("/ada/workspaces.git/ni-asked", "europe", "europe-ada", "GET", 404, "There is nothing at"),
        (f"/ada/..%2f..%2fetc.git{REFS}", "europe", "europe-ada", "GET", 404, "not a possible repository name"),
        (f"/ada/.gone-workspaces.git{REFS}", "europe", "europe-ada", "GET", 404, "not a possible repository name"),
        (f"/ada/nothing.git{REFS}", "europe", "europe-ada", "GET", 404, "has no repository 'nothing' of ada"),
        ("/ada/nothing.git/git-upload-pack", "europe", "europe-ada", "POST", 404, "no copy"),
        ("/", "europe", "europe-ada", "GET", 404, "There is nothing at"),
    ],
)  # fmt: skip
def test_every_route_of_the_mirror_is_for_reading_ones_own_only(
    two: Two, tmp_path: Path, path: str, user: str, token: str, method: str, status: int, said: str
) -> None:
    if not (two.primary.root / "ada").exists():
        two.push(tmp_path, "one")
    if path.startswith("/ada/workspaces.git/git-upload-pack"):
        assert two.mirrored()
    before = two.primary.refs("ada")
    code, text = ask(two.mirror, path, user, token, method)
    assert code == status, text
    assert said in text and (code == 200 or len(text.strip().splitlines()) == 1)
    assert two.primary.refs("ada") == before
    assert not (two.primary.root / "ada" / "nothing.git").exists()


def test_health_needs_no_token_and_tells_nothing_else(two: Two) -> None:
    assert ask(two.mirror, "/health") == (200, '{"status": "ok"}')


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_there_are_no_other_ways_to_ask_a_mirror(two: Two, method: str) -> None:
    for path in (
        f"/ada/workspaces.git{REFS}",
        "/ada/workspaces.git/git-upload-pack",
        "/ada/workspaces.git/git-receive-pack",
    ):
        assert ask(two.mirror, path, "europe", "europe-ada", method)[0] == 405


def test_a_push_to_the_mirror_is_told_where_to_push(two: Two, tmp_path: Path) -> None:
    two.push(tmp_path, "one", owner="eve")
    assert two.mirrored("eve")
    done = subprocess.run(
        ["git", "push", two.address(two.mirror, "eve", token="europe-eve"), "HEAD:refs/heads/more"],
        cwd=tmp_path / "pushing", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"push to the primary, {two.primary.url}/eve/workspaces.git" in done.stderr
    # And git would not take it either, if it got that far.
    assert git(two.mirror.copies / "eve" / "workspaces.git", "config", "http.receivepack").strip() == "false"


@pytest.mark.parametrize(
    ("path", "token", "method", "status", "said"),
    [
        (f"/ada/workspaces.git{REFS}", MIRROR, "GET", 200, ""),
        ("/ada/workspaces.git/git-upload-pack", MIRROR, "POST", 200, ""),
        (f"/ada/workspaces.git{PUSH}", MIRROR, "GET", 403, "only reads the repositories of ada"),
        ("/ada/workspaces.git/git-receive-pack", MIRROR, "POST", 403, "only reads the repositories of ada"),
        # It makes nothing, and a person of the service's name is a person.
        (f"/nobody/workspaces.git{REFS}", MIRROR, "GET", 404, "nobody has no repository"),
        (f"/ada/workspaces.git{REFS}", "europe-imp", "GET", 403, "does not reach"),
    ],
)
def test_at_the_primary_a_mirror_reads_and_does_nothing_else(
    two: Two, tmp_path: Path, path: str, token: str, method: str, status: int, said: str
) -> None:
    if not (two.primary.root / "ada").exists():
        two.push(tmp_path, "one")
    code, text = ask(two.primary, path, "europe", token, method)
    assert code == status and said in text, text
    assert not (two.primary.root / "nobody").exists()


def test_the_service_of_a_region_without_a_mirror_reads_nothing(two: Two) -> None:
    code, text = ask(two.primary, f"/ada/workspaces.git{REFS}", "us", "us-mirror")
    assert code == 403 and "belongs to a service" in text


def test_the_mirrors_own_token_is_in_no_argument_no_log_and_no_file(two: Two, tmp_path: Path) -> None:
    seen: list[str] = []
    two.push(tmp_path, "x" * 3_000_000, owner="fay")

    def watch() -> None:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(two.mirror.process.pid).children(recursive=True):  # type: ignore[union-attr]
                with contextlib.suppress(psutil.Error):
                    seen.append(" ".join(process.cmdline()))

    stop = threading.Event()
    watcher = threading.Thread(target=lambda: [watch() for _ in iter(stop.is_set, True)])
    watcher.start()
    try:
        assert two.mirrored("fay")
    finally:
        stop.set()
        watcher.join()
    assert any("remote-http" in line or "fetch" in line for line in seen), seen
    secrets = (MIRROR, base64.b64encode(f"europe:{MIRROR}".encode()).decode())
    files = [path.read_bytes() for path in two.mirror.place.rglob("*") if path.is_file()]
    assert files
    for secret in secrets:
        assert not any(secret in line for line in seen)
        assert not any(secret.encode() in content for content in files)


# -- the primary away --------------------------------------------------------------------------------------------------


def test_without_the_primary_the_mirror_gives_what_it_has_and_says_so_of_the_rest(two: Two, tmp_path: Path) -> None:
    first = two.push(tmp_path, "one", owner="cy")
    assert two.mirrored("cy")["refs/heads/main"] == first
    two.primary.stop()
    try:

        def noticed() -> bool:
            assert two.mirrored("cy")["refs/heads/main"] == first
            return "copies stay as they are" in two.mirror.said()

        eventually("the mirror noticing", noticed)
        began = time.monotonic()
        code, said = ask(two.mirror, f"/dora/workspaces.git{REFS}", "europe", "europe-dora")
        assert code == 503 and "no copy of this repository here yet" in said and two.primary.url in said
        assert time.monotonic() - began < 6
    finally:
        two.primary.start()
    second = two.push(tmp_path, "two", owner="cy")
    eventually("the mirror catching up", lambda: two.mirrored("cy")["refs/heads/main"] == second, 20)
    assert "the primary answers again" in two.mirror.said()


def test_a_primary_that_does_not_let_the_mirror_in_is_said_in_the_log(two: Two, tmp_path: Path) -> None:
    two.push(tmp_path, "one", owner="gus")
    model = two.hubs["europe"].tokens.pop(MIRROR)
    two.primary.stop()
    two.primary.start()  # it forgets whose tokens it had asked for
    try:
        code, said = ask(two.mirror, f"/gus/workspaces.git{REFS}", "europe", "europe-gus")
        assert code == 503 and "does not let this mirror read: 401" in said
    finally:
        two.hubs["europe"].tokens[MIRROR] = model
    eventually("the mirror being let in again", lambda: ask(two.mirror, f"/gus/workspaces.git{REFS}", "europe", "europe-gus")[0] == 200, 20)  # fmt: skip


# -- damage ------------------------------------------------------------------------------------------------------------


def damage(copy: Path, kind: str) -> None:
    """What a disk, a kill in the wrong moment or a person can do to a copy."""
    if kind == "objects":
        for file in [*copy.glob("objects/*/*")]:
            file.chmod(0o600)
            file.write_bytes(b"damaged")
    if kind == "pack":
        git(copy, "repack", "-qad")
        (pack,) = copy.glob("objects/pack/*.pack")
        pack.chmod(0o600)
        os.truncate(pack, pack.stat().st_size // 2)
    if kind == "refs":
        for file in copy.glob("refs/heads/*"):
            file.write_text("garbage")
        (copy / "packed-refs").write_text("garbage too")
    if kind == "head":
        (copy / "HEAD").unlink()
    if kind == "config":
        (copy / "config").write_text("[core\n")


DAMAGES = ("objects", "pack", "refs", "head", "config")


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_copy_is_made_anew_from_the_primary(two: Two, tmp_path: Path, kind: str) -> None:
    two.push(tmp_path, os.urandom(5000).hex(), owner="hal")
    two.mirrored("hal")
    damage(two.mirror.copies / "hal" / "workspaces.git", kind)
    second = two.push(tmp_path, os.urandom(5000).hex(), owner="hal")

    def healed() -> bool:
        done = subprocess.run(
            ["git", "clone", "-q", two.address(two.mirror, "hal", token="europe-hal"), f"copy-{time.monotonic_ns()}"],
            cwd=tmp_path, capture_output=True,
        )  # fmt: skip
        got = [git(copy, "rev-parse", "HEAD").strip() for copy in tmp_path.glob("copy-*") if (copy / ".git").exists()]
        return done.returncode == 0 and second in got

    eventually("a clone from the mirror that is whole", healed, 30)
    assert "copy-" not in str(list(two.mirror.copies.rglob(".discarded-*")))
    git(two.mirror.copies / "hal" / "workspaces.git", "fsck")


# -- decisions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked_s", "checked_s", "what"),
    [
        (60, 60, "refresh"),
        (LATELY_S - 1, 60, "refresh"),
        (60, CHECK_S + 1, "check"),
        (60, float("inf"), "check"),
        (LATELY_S + 1, CHECK_S + 1, "leave"),
        (KEEP_S + 1, 60, "forget"),
        # A clock that went back makes things younger than now, and not old.
        (-3600, -3600, "refresh"),
        (60, -CHECK_S - 1, "check"),
    ],
)
def test_what_is_done_with_a_copy_follows_from_who_asked_when(asked_s: float, checked_s: float, what: str) -> None:
    assert care(Copy("ada", "workspaces", asked_s, checked_s)) == what


def test_a_copy_is_only_touched_when_it_has_to_be() -> None:
    refs = {"refs/heads/main": "a" * 40}
    assert way(refs, dict(refs)) == "nothing"
    assert way({}, refs) == way(refs, {}) == "fetch"
    assert way(None, refs) == way(None, {}) == "build"


# -- the follower by itself --------------------------------------------------------------------------------------------


@dataclass
class Now:
    at: float

    def __call__(self) -> float:
        return self.at


@contextlib.asynccontextmanager
async def following(two: Two, root: Path, clock: Now | None = None, **options: float) -> AsyncIterator[Follower]:
    repositories = Repositories(root, SETTINGS)
    repositories.prepare()
    follower = Follower(
        repositories, Primary(two.primary.url, "europe", MIRROR), clock=clock or time.time, **options  # type: ignore[arg-type]
    )  # fmt: skip
    try:
        yield follower
    finally:
        await follower.close()
        await repositories.close()


def fetches(two: Two, owner: str) -> int:
    """How many fetches of this repository the primary has served."""
    log = (two.primary.place / "git.log").read_text()
    return log.count(f"POST /{owner}/workspaces.git/git-upload-pack")


async def test_copies_of_people_who_came_lately_are_kept_fresh_without_being_asked(two: Two, tmp_path: Path) -> None:
    await asyncio.to_thread(two.push, tmp_path, "one", owner="ada")
    async with following(two, tmp_path / "copies", every_s=0.2) as follower:
        path = await follower.open("ada", "workspaces")
        follower.start()
        second = await asyncio.to_thread(two.push, tmp_path, "two", "refs/ni/default/9/snap", "ada")

        async def has_it() -> bool:
            return (await refs_in(path) or {}).get("refs/ni/default/9/snap") == second

        await soon("the copy having what was pushed", has_it)


async def test_many_who_ask_at_once_cost_the_primary_one_fetch(two: Two, tmp_path: Path) -> None:
    await asyncio.to_thread(two.push, tmp_path, "one", owner="ada")
    async with following(two, tmp_path / "copies", patience_s=30) as follower:
        before = await asyncio.to_thread(fetches, two, "ada")
        paths = await asyncio.gather(*(follower.open("ada", "workspaces") for _ in range(20)))
        assert len(set(paths)) == 1
        # One fetch is two requests of Git's protocol: what there is, and the objects.
        assert await asyncio.to_thread(fetches, two, "ada") - before == 2


async def test_few_are_copied_at_a_time(two: Two, tmp_path: Path) -> None:
    people = ("bob", "cy", "dora", "eve", "fay", "gus")
    for person in people:
        await asyncio.to_thread(two.push, tmp_path, person, owner=person)
    seen = []

    def watch() -> int:
        found = 0
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                found += child.cmdline()[:2] == ["git", "fetch"]
        return found

    async with following(two, tmp_path / "copies", patience_s=30, at_a_time=2) as follower:
        asked = asyncio.gather(*(follower.open(person, "workspaces") for person in people))
        while not asked.done():
            seen.append(await asyncio.to_thread(watch))
        assert len(await asked) == len(people)
    assert 1 <= max(seen) <= 2


async def test_nobody_waits_longer_than_told_and_the_copy_is_made_all_the_same(two: Two, tmp_path: Path) -> None:
    await asyncio.to_thread(two.push, tmp_path, "one", owner="ada")
    async with following(two, tmp_path / "copies", patience_s=0.001) as follower:
        with pytest.raises(PrimaryAway, match="it is being made"):
            await follower.open("ada", "workspaces")
        copy = tmp_path / "copies" / "ada" / "workspaces.git"

        async def is_there() -> bool:
            return await refs_in(copy) is not None

        await soon("the copy being there", is_there)
        assert await follower.open("ada", "workspaces") == copy


async def test_a_primary_that_says_nothing_holds_up_nobody(two: Two, tmp_path: Path) -> None:
    await asyncio.to_thread(two.push, tmp_path, "one", owner="ada")
    async with following(two, tmp_path / "copies", fresh_s=0) as follower:
        path = await follower.open("ada", "workspaces")
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            mute = Follower(
                Repositories(tmp_path / "copies", SETTINGS), Primary(address, "europe", MIRROR), patience_s=0.3
            )
            began = time.monotonic()
            assert await mute.open("ada", "workspaces") == path
            assert time.monotonic() - began < 3
            await mute.close()


async def test_a_copy_that_nobody_asked_for_in_a_month_is_removed(two: Two, tmp_path: Path) -> None:
    await asyncio.to_thread(two.push, tmp_path, "one", owner="ada")
    now = Now(1_800_000_000)
    async with following(two, tmp_path / "copies", now) as follower:
        path = await follower.open("ada", "workspaces")
        now.at += LATELY_S + 60
        before = await asyncio.to_thread(fetches, two, "ada")
        await follower.round()
        assert await refs_in(path) and await asyncio.to_thread(fetches, two, "ada") == before
        now.at += KEEP_S
        await follower.round()
        assert not list(copies(tmp_path / "copies", now.at))


async def test_damage_that_nobody_met_is_found_by_the_daily_look(two: Two, tmp_path: Path) -> None:
    await asyncio.to_thread(two.push, tmp_path, os.urandom(5000).hex(), owner="ada")
    now = Now(1_800_000_000)
    async with following(two, tmp_path / "copies", now) as follower:
        path = await follower.open("ada", "workspaces")
        await asyncio.to_thread(damage, path, "objects")
        now.at += CHECK_S + 60
        await follower.round()
        await asyncio.to_thread(git, path, "fsck", "--strict")


async def test_a_damaged_copy_is_kept_while_the_primary_is_away(two: Two, tmp_path: Path) -> None:
    await asyncio.to_thread(two.push, tmp_path, os.urandom(5000).hex(), owner="ada")
    now = Now(1_800_000_000)
    async with following(two, tmp_path / "copies", now) as follower:
        path = await follower.open("ada", "workspaces")
        await asyncio.to_thread(damage, path, "objects")
        await asyncio.to_thread(two.primary.stop)
        try:
            now.at += CHECK_S + 60
            with pytest.raises(PrimaryAway):
                await follower.round()
            assert (path / "HEAD").exists()
        finally:
            await asyncio.to_thread(two.primary.start)
        await follower.round()
        await asyncio.to_thread(git, path, "fsck", "--strict")


async def test_what_the_primary_has_no_more_is_served_no_more_and_removed_after_a_month(
    two: Two, tmp_path: Path
) -> None:
    await asyncio.to_thread(two.push, tmp_path, "one", owner="ada")
    now = Now(1_800_000_000)
    async with following(two, tmp_path / "copies", now, fresh_s=0) as follower:
        await follower.open("ada", "workspaces")
        there = two.primary.root / "ada" / "workspaces.git"
        there.rename(there.with_name("hidden"))
        try:
            with pytest.raises(NoSuchRepository, match="no repository 'workspaces' of ada"):
                await follower.open("ada", "workspaces")
            with pytest.raises(NoSuchRepository):
                follower.held("ada", "workspaces")
            assert list((tmp_path / "copies" / "ada").glob(".gone-*"))
        finally:
            there.with_name("hidden").rename(there)
        await follower.open("ada", "workspaces")
        now.at += KEEP_S - 60
        await follower.round()
        assert list((tmp_path / "copies" / "ada").glob(".gone-*"))
        now.at += 120
        await follower.round()
        assert not list((tmp_path / "copies" / "ada").glob(".gone-*"))


async def test_what_a_kill_left_half_made_is_swept_and_never_served(two: Two, tmp_path: Path) -> None:
    async with following(two, tmp_path / "copies", every_s=0.2) as follower:
        for name in (".making-x", ".discarded-y"):
            (tmp_path / "copies" / "ada" / name / "objects").mkdir(parents=True)
        follower.start()
        assert list((tmp_path / "copies" / "ada").iterdir()) == []


def test_what_a_primary_kept_before_it_became_a_mirror_is_left_alone(two: Two, tmp_path: Path) -> None:
    kept = two.mirror.root / "ada" / "workspaces.git"
    git(tmp_path, "init", "-q", "--bare", str(kept))
    two.push(tmp_path, "one")
    assert two.mirrored()
    assert git(kept, "for-each-ref") == ""


async def test_a_mirror_takes_a_lost_primarys_place_as_the_documentation_says(two: Two, tmp_path: Path) -> None:
    head = await asyncio.to_thread(two.push, tmp_path, "one", "refs/ni/default/8/snap", "dora")
    successor = GitHost(tmp_path / "new", free_port(), two.primary.catalogue)
    async with following(two, successor.root / ".copies") as follower:
        await follower.open("dora", "workspaces")
    page = (Path(__file__).parents[3] / "docs" / "githost.md").read_text()
    steps = page.partition("cp -a .copies")[1] + page.partition("cp -a .copies")[2].partition("```")[0]
    done = await asyncio.create_subprocess_exec("sh", "-ec", steps, cwd=successor.root)
    assert await done.wait() == 0
    await asyncio.to_thread(successor.start)
    try:
        assert successor.refs("dora")["refs/ni/default/8/snap"] == head
        work, url = tmp_path / "pushing", two.address(successor, "dora", token="europe-dora")
        await asyncio.to_thread(git, work, "push", "-q", url, "HEAD:refs/ni/default/9/snap")
        await asyncio.to_thread(git, work, "push", "-q", url, "HEAD:refs/ni/default/7/snap", check=False)
        assert "refs/ni/default/9/snap" in successor.refs("dora")
        assert "refs/ni/default/7/snap" not in successor.refs("dora")
    finally:
        await asyncio.to_thread(successor.stop)
