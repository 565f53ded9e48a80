"""What people's repositories take on Gitea and on Forgejo, in the host's own figures, by person."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.githost.errors import GiteaAway
from neuralinverse_hub.githost.gitea import Account, Admin, Repository
from neuralinverse_hub.githost.holdings import Holdings, of_people
from neuralinverse_hub.githost.provisioning import DESCRIPTION, GitAccounts
from neuralinverse_hub.githost.volumes import Held, Volumes
from neuralinverse_hub.spool import from_line
from tests.neuralinverse_hub.githost.gitea import StandInGitea, git

NOON = 1_790_000_000 // 3600 * 3600


def holdings(gitea: StandInGitea, same_names: bool = False) -> Holdings:
    admin = Admin(gitea.admin.login, gitea.admin.password)
    return Holdings(gitea.url, lambda: admin, same_names)


async def provide(gitea: StandInGitea, *people: str) -> None:
    admin = Admin(gitea.admin.login, gitea.admin.password)
    for person in people:
        await GitAccounts(gitea.url, lambda: admin, patience_s=0).grant(person, "default", 1, set())


async def test_every_persons_repository_is_measured_under_their_own_name(gitea: StandInGitea) -> None:
    # More than a page of either list.
    gitea.page_size = 2
    await provide(gitea, "ada", "zoë@example.org", "user", "bob", "eve")
    repo = gitea.repos["ada/workspaces"]
    blob = gitea.root / "blob"
    blob.write_bytes(os.urandom(400_000))
    git("--git-dir", str(repo.path), "hash-object", "-w", str(blob))
    repo.reckon()
    # Somebody else's, on the same host.
    gitea.add_user("stranger", "with a password")
    gitea.add_repo("stranger", "workspaces", "mine alone")
    gitea.add_repo("ada", "my-workspaces-notes")
    found = {each.person: each for each in await holdings(gitea).measure()}
    assert set(found) == {"ada", "zoë@example.org", "user", "bob", "eve"}
    assert found["ada"].size == repo.size * 1024 > found["bob"].size + 390_000
    assert found["ada"].repository == "ada/workspaces"


async def test_a_renamed_repository_and_one_beside_a_persons_own_are_found(gitea: StandInGitea) -> None:
    await provide(gitea, "ada")
    gitea.rename(gitea.repos["ada/workspaces"], "elsewhere")
    gitea.add_user("bob", "with a password", login_name="neuralinverse-hub:bob")
    gitea.add_repo("bob", "workspaces", "not for the hub", readme=True)
    await provide(gitea, "bob")
    found = {each.person: each.repository for each in await holdings(gitea).measure()}
    assert found == {"ada": "ada/elsewhere", "bob": "bob/workspaces-neuralinverse"}


async def test_accounts_of_the_same_name_are_peoples_where_the_operator_says_so(gitea: StandInGitea) -> None:
    gitea.add_user("Ada", "with a password")
    gitea.add_repo("Ada", "workspaces", DESCRIPTION)
    assert await holdings(gitea).measure() == []
    ((held),) = await holdings(gitea, same_names=True).measure()
    assert (held.person, held.repository) == ("ada", "Ada/workspaces")


async def test_a_host_that_never_tidies_up_is_named_once(gitea: StandInGitea, caplog: pytest.LogCaptureFixture) -> None:
    asks = holdings(gitea)
    await asks.measure()
    await asks.measure()
    assert caplog.text.count("[cron.git_gc_repos]") == 1
    caplog.clear()
    gitea.gc_schedule = "@every 24h"
    await holdings(gitea).measure()
    assert caplog.text == ""


async def test_a_host_that_is_away_is_asked_again_and_the_hour_counts_once(
    gitea: StandInGitea, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await provide(gitea, "ada")
    taken: list[wire.VolumeRecord] = []

    async def take(lines: bytes) -> None:
        taken.extend(from_line(wire.VolumeRecord, line) for line in lines.splitlines())

    asks = holdings(gitea)
    caplog.set_level(logging.WARNING)
    for hub in ("one", "two"):
        # Two hubs that share host and ledger.
        volumes = Volumes(tmp_path / hub, asks.measure, take, "gitea", hub, clock=lambda: NOON + 60.0)
        volumes.open()
        gitea.stop()
        with pytest.raises(GiteaAway):
            await volumes.measure()
        gitea.start()
        await volumes.measure()
        await volumes.close()
    assert {each.record_id for each in taken} == {f"gitea:{NOON // 3600}:ada/ada/workspaces"}
    assert {each.kind for each in taken} == {"storage"}


def test_one_repository_counts_for_a_person_and_none_for_who_is_nobody() -> None:
    def account(login: str, mark: str = "", admin: bool = False) -> Account:
        return Account(login, mark, admin, False)

    def repository(path: str, size: int, description: str = "") -> Repository:
        return Repository(path, description, False, False, size)

    accounts = [account("ada", "neuralinverse-hub:Ada L"), account("root", admin=True), account("bob")]
    repositories = [
        repository("ada/workspaces", 1, "her own"),
        repository("ada/workspaces-neuralinverse", 2, DESCRIPTION),
        repository("root/workspaces", 4, DESCRIPTION),
        repository("gone/workspaces", 8, DESCRIPTION),
        repository("bob/workspaces", 16),
    ]
    assert of_people(accounts, repositories, False) == [Held("Ada L", "ada/workspaces-neuralinverse", 2)]
    assert of_people(accounts, repositories, True)[1:] == [Held("bob", "bob/workspaces", 16)]
