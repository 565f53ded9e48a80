"""Two whole regions, a git host elsewhere and a mirror of it at each hub: what a restore gets, and that nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.githost.__main__ import ENV_ROOT
from tests.neuralinverse_hub.githost.test_mirror import damage
from tests.neuralinverse_hub.regions.rig import Person, Region, World, copy_tree, world
from tests.one_machine import eventually


@pytest.fixture(scope="module")
def mirrored(networks: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Shared: keep to your own people, and leave everything up."""
    with world(tmp_path_factory.mktemp("mirrors"), ("us", "europe"), mirrors=True) as regions:
        yield regions


def work(region: Region, person: str) -> dict[str, bytes]:
    return {path: content for path, content in copy_tree(region.folder(person)).items() if path != "WELCOME.md"}


def copy_at(region: Region, person: str) -> Path:
    """The mirror's copy of the person's repository."""
    return region.place / "git" / ".copies" / person / f"{wire.WORKSPACE_REPOSITORY}.git"


def git(repository: Path, *arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        ["git", "--git-dir", str(repository), *arguments], capture_output=True, text=True, check=check
    )
    return done.stdout


def newest(repository: Path) -> str:
    """The id of the newest snapshot, empty when there is none."""
    if not repository.exists():
        return ""
    listing = git(repository, "for-each-ref", "--format=%(refname) %(objectname)", "refs/ni/default", check=False)
    snaps = [line.split(" ") for line in listing.splitlines() if "/snap " in line]
    return max(snaps, key=lambda each: int(each[0].split("/")[3]))[1] if snaps else ""


def environments(region: Region, marked: str) -> dict[int, dict[str, str]]:
    """Every process of the region with ``marked`` in its environment or on its command line, and its environment."""
    found = {}
    for pid in region.namespace.pids():
        try:
            raw = Path(f"/proc/{pid}/environ").read_bytes()
            if marked.encode() in raw + Path(f"/proc/{pid}/cmdline").read_bytes():
                lines = (line.decode().partition("=") for line in raw.split(b"\0"))
                found[pid] = {name: value for name, _, value in lines}
        except OSError:
            continue
    return found


def of_workspace(region: Region, person: str) -> dict[str, str]:
    """What the person's workspace was started with."""
    state = str(region.home(person) / ".neuralinverse")
    return next(env for env in environments(region, state).values() if env.get(wire.ENV_STATE) == state)


def ask_mirror(region: Region, person: Person) -> bool:
    """Ask the mirror as the person; whether its newest snapshot is the primary's now."""
    token = person.call(region, f"api/users/{person.name}/tokens", {}).json()["token"]
    url = f"{region.url}/services/git/{person.name}/workspaces.git/info/refs?service=git-upload-pack"
    assert requests.get(url, auth=(region.name, token), timeout=20).status_code in (200, 503)
    return newest(copy_at(region, person.name)) == newest(primary(person))


def primary(person: Person) -> Path:
    return person.world.git.root / person.name / f"{wire.WORKSPACE_REPOSITORY}.git"


def lose_files(region: Region, person: str) -> None:
    """What a start on another node finds: nothing."""
    shutil.rmtree(region.home(person))


def served(region: Region, person: str) -> int:
    """How often the region's mirror gave objects of the person's repository."""
    return region.log.read_text().count(f"200 POST /services/git/{person}/workspaces.git/git-upload-pack")


@pytest.mark.hub
def test_a_restore_comes_from_the_mirror_of_its_region(mirrored: World) -> None:
    europe = mirrored["europe"]
    ada = mirrored.person("ada-near", "europe")
    ada.start(europe)
    told = of_workspace(europe, "ada-near")
    assert told[wire.ENV_GIT_REMOTE] == f"{mirrored.git.url}/ada-near/workspaces.git"
    assert told[wire.ENV_GIT_MIRROR] == f"{europe.url}/services/git/ada-near/workspaces.git"
    ada.await_saved(europe, ada.write(europe, "big.bin", "x" * 2_000_000))
    before = work(europe, "ada-near")
    ada.stop(europe)
    lose_files(europe, "ada-near")
    eventually("the mirror having it", lambda: ask_mirror(europe, ada), 90)
    already = served(europe, "ada-near")
    ada.start(europe)
    assert work(europe, "ada-near") == before
    assert served(europe, "ada-near") > already
    assert europe.status("ada-near")["error"] is None


@pytest.mark.hub
def test_without_the_git_host_a_restore_says_how_old_it_is_and_nothing_newer_is_overwritten(mirrored: World) -> None:
    europe = mirrored["europe"]
    ada = mirrored.person("ada-behind", "europe")
    ada.start(europe)
    ada.await_saved(europe, ada.write(europe, "diary.txt", "what the mirror has"))
    eventually("the mirror having it", lambda: ask_mirror(europe, ada), 90)
    # The mirror looks by itself once a minute: not while we save what it is to miss.
    (mirror,) = (pid for pid, env in environments(europe, "neuralinverse_hub.githost").items() if ENV_ROOT in env)
    os.kill(mirror, signal.SIGSTOP)
    ada.await_saved(europe, ada.write(europe, "late.txt", "saved, and not on the mirror"))
    ada.stop(europe)
    mirrored.git.stop()
    os.kill(mirror, signal.SIGCONT)
    try:
        lose_files(europe, "ada-behind")
        ada.start(europe, wait=False)
        eventually("the files being back", lambda: europe.ready("ada-behind") > 0, 90)
        assert work(europe, "ada-behind") == {"diary.txt": b"what the mirror has"}
        ada.write(europe, "meanwhile.txt", "written while the git host was away")

        def said() -> bool:
            status = europe.status("ada-behind")
            return status.get("state") == "behind" and "0 minutes ago" in (status.get("error") or "")

        eventually("the status saying how old they are", said, 60)
    finally:
        mirrored.git.start()
    ada.await_protected(europe)
    assert "minutes ago" in europe.status("ada-behind")["error"]
    repository = primary(ada)
    now = git(repository, "ls-tree", "-r", "--name-only", newest(repository)).split()
    assert {"diary.txt", "meanwhile.txt"} <= set(now) and "late.txt" not in now
    # And what was saved later is where the sentence says that it is.
    env = of_workspace(europe, "ada-behind")
    command = [*europe.namespace.command, sys.executable, "-m", "neuralinverse_hub.cli", "snapshots"]

    def snapshots(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, timeout=60)

    listed = snapshots("list", "--all")
    assert listed.returncode == 0, listed.stderr
    shown = [snapshots("show", line.split()[0], "late.txt").stdout for line in listed.stdout.splitlines()]
    assert "saved, and not on the mirror" in shown, listed.stdout


@pytest.mark.parametrize("kind", ["objects", "pack", "refs"])
def test_a_corrupt_mirror_costs_a_restore_nothing_and_heals(mirrored: World, kind: str) -> None:
    europe = mirrored["europe"]
    name = f"ada-corrupt-{kind}"
    ada = mirrored.person(name, "europe")
    ada.start(europe)
    ada.await_saved(europe, ada.write(europe, "thesis.txt", "whole " * 10_000))
    ada.write(europe, ".env", "SECRET=1\n")
    ada.stop(europe)
    before = work(europe, name)
    eventually("the mirror having it", lambda: ask_mirror(europe, ada), 90)
    damage(copy_at(europe, name), kind)
    lose_files(europe, name)
    ada.start(europe)
    assert work(europe, name) == before

    def healed() -> bool:
        ask_mirror(europe, ada)
        done = subprocess.run(["git", "--git-dir", str(copy_at(europe, name)), "fsck"], capture_output=True)
        return done.returncode == 0 and newest(copy_at(europe, name)) == newest(primary(ada))

    eventually("the mirror being whole again", healed, 60)


@pytest.mark.hub
def test_a_workspace_can_read_its_own_persons_work_at_the_mirror_and_do_nothing_else(mirrored: World) -> None:
    europe, us = mirrored["europe"], mirrored["us"]
    bob = mirrored.person("bob-victim", "europe")
    bob.start(europe)
    ada = mirrored.person("ada-curious", "europe")
    ada.start(europe)
    told = of_workspace(europe, "ada-curious")
    mine = (told[wire.ENV_GIT_USER], told[wire.ENV_GIT_TOKEN])

    def ask(region: Region, owner: str, service: str = "git-upload-pack") -> tuple[int, str]:
        url = f"{region.url}/services/git/{owner}/workspaces.git/info/refs?service={service}"
        answer = requests.get(url, auth=mine, timeout=20)
        return answer.status_code, answer.text

    assert ask(europe, "ada-curious")[0] == 200
    status, said = ask(europe, "bob-victim")
    assert status == 403 and "does not reach the repositories of bob-victim" in said
    status, said = ask(europe, "ada-curious", "git-receive-pack")
    assert status == 403 and f"push to the primary, {mirrored.git.url}/ada-curious/workspaces.git" in said
    # Another region's mirror does not know who that is, and no hub is shown another one's tokens.
    status, said = ask(us, "ada-curious")
    assert status == 401 and "user name: us" in said
    # What the mirror itself reads with is in the mirror and in its hub, which made it, and nowhere else.
    mirrors = {
        env["JUPYTERHUB_API_TOKEN"]
        for env in environments(europe, "neuralinverse_hub.githost").values()
        if ENV_ROOT in env
    }
    (token,) = mirrors
    everybodys = requests.get(
        f"{mirrored.git.url}/bob-victim/workspaces.git/info/refs?service=git-upload-pack",
        auth=("europe", token),
        timeout=20,
    )
    assert everybodys.status_code == 200
    for pid, env in environments(europe, token).items():
        assert ENV_ROOT in env, f"process {pid} has it: {sorted(env)}"
    for pid in europe.namespace.pids():
        assert token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    for folder in (europe.home("ada-curious"), europe.home("bob-victim"), europe.place / "git"):
        for path in folder.rglob("*"):
            assert not path.is_file() or token.encode() not in path.read_bytes(), path
    assert token not in europe.log.read_text()


def test_the_loss_of_the_region_that_has_the_git_host_stops_nobody_near_a_mirror(
    networks: None, tmp_path: Path
) -> None:
    with world(tmp_path, ("us", "europe"), mirrors=True, git_at="us") as two:
        us, europe = two["us"], two["europe"]
        ada = two.person("ada-far", "us", "europe")
        ada.start(europe)
        told = of_workspace(europe, "ada-far")
        assert told[wire.ENV_GIT_REMOTE] == f"{us.url}/services/git/ada-far/workspaces.git"
        assert told[wire.ENV_GIT_MIRROR] == f"{europe.url}/services/git/ada-far/workspaces.git"
        bob = two.person("bob-there", "us")
        bob.start(us)
        assert wire.ENV_GIT_MIRROR not in of_workspace(us, "bob-there")
        ada.await_saved(europe, ada.write(europe, "thesis.txt", "saved on the other side"))
        eventually("the mirror having it", lambda: ask_mirror(europe, ada), 90)
        ada.stop(europe)
        us.kill()
        try:
            lose_files(europe, "ada-far")
            ada.start(europe, wait=False)
            eventually("the files being back", lambda: europe.ready("ada-far") > 0, 90)
            assert work(europe, "ada-far") == {"thesis.txt": b"saved on the other side"}
            ada.write(europe, "more.txt", "written without the other side")
        finally:
            us.start()
        ada.await_protected(europe)
        names = git(primary(ada), "ls-tree", "-r", "--name-only", newest(primary(ada))).split()
        assert {"thesis.txt", "more.txt"} <= set(names)
