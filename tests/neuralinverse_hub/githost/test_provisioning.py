"""Accounts, repositories and credentials on a Gitea that checks every request against its API description."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web

from neuralinverse_hub import wire
from neuralinverse_hub.githost.errors import AccountBlocked, AdminRefused, GiteaAway, GiteaRefused
from neuralinverse_hub.githost.gitea import Admin
from neuralinverse_hub.githost.names import account_names
from neuralinverse_hub.githost.provisioning import GitAccounts, admin_from
from neuralinverse_hub.settings import SettingError
from tests.neuralinverse_hub.githost.gitea import StandInGitea, git

NOW = time.time_ns() // 1_000_000


def accounts(gitea: StandInGitea, **settings: Any) -> GitAccounts:
    admin = Admin(gitea.admin.login, gitea.admin.password)
    return GitAccounts(gitea.url, lambda: admin, **{"patience_s": 0.0, **settings})


async def grant(gitea: StandInGitea, person: str = "ada", at: int = NOW, **settings: Any) -> wire.GitAccess:
    return await accounts(gitea, **settings).grant(person, "default", at, {"default"})


def works(access: wire.GitAccess) -> bool:
    """Whether the credential opens its repository for pushing."""
    url = f"{access.remote}/info/refs?service=git-receive-pack"
    return requests.get(url, auth=(access.user, access.token), timeout=10).status_code == 200


async def test_a_first_start_makes_account_repository_and_credential(gitea: StandInGitea) -> None:
    access = await grant(gitea)
    user, repo = gitea.users["ada"], gitea.repos["ada/workspaces"]
    assert access.remote == f"{gitea.url}/ada/workspaces.git" and access.user == "ada"
    assert works(access)
    assert not user.is_admin and repo.private
    (token,) = user.tokens
    assert token.scopes == ["write:repository"]
    assert token.repositories == (["ada/workspaces"] if gitea.forgejo else None)
    assert "refs/heads/main" in repo.refs(), "a person who opens it on the host finds a README"


async def test_a_second_start_makes_nothing_anew_but_the_credential(gitea: StandInGitea) -> None:
    first = await grant(gitea)
    gitea.calls.clear()
    second = await grant(gitea, at=NOW + 1)
    assert not {"adminCreateUser", "adminCreateRepo"} & set(gitea.calls)
    assert second.remote == first.remote
    assert works(second) and not works(first)
    assert len(gitea.users["ada"].tokens) == 1


async def test_what_is_missing_or_broken_is_mended(gitea: StandInGitea) -> None:
    await grant(gitea)
    gitea.repos["ada/workspaces"].archived = True
    assert works(await grant(gitea, at=NOW + 1))
    del gitea.repos["ada/workspaces"]
    (gitea.root / "ada" / "workspaces.git").rename(gitea.root / "gone.git")
    assert works(await grant(gitea, at=NOW + 2))


async def test_a_renamed_repository_is_followed(gitea: StandInGitea) -> None:
    await grant(gitea)
    gitea.rename(gitea.repos["ada/workspaces"], "my-snapshots")
    access = await grant(gitea, at=NOW + 1)
    assert access.remote == f"{gitea.url}/ada/my-snapshots.git" and works(access)


async def test_a_repository_of_the_persons_own_by_that_name_is_left_alone(gitea: StandInGitea) -> None:
    gitea.add_user("ada", "her own password")
    gitea.add_repo("ada", "workspaces", "My office plans", readme=True)
    before = gitea.repos["ada/workspaces"].refs()
    access = await grant(gitea, same_names=True)
    assert access.remote.endswith("/ada/workspaces-neuralinverse.git") and works(access)
    assert gitea.repos["ada/workspaces"].refs() == before


async def test_snapshots_are_found_again_whatever_the_description_says(gitea: StandInGitea) -> None:
    await grant(gitea)
    repo = gitea.repos["ada/workspaces"]
    git("--git-dir", str(repo.path), "update-ref", f"{wire.ref_prefix('default', 7)}/snap", "refs/heads/main")
    repo.description = "edited by its owner"
    assert (await grant(gitea, at=NOW + 1)).remote.endswith("/ada/workspaces.git")


async def test_both_names_taken_says_what_to_do(gitea: StandInGitea) -> None:
    gitea.add_user("ada", "her own password")
    for name in ("workspaces", "workspaces-neuralinverse"):
        gitea.add_repo("ada", name, "My office plans", readme=True)
    with pytest.raises(GiteaRefused, match="rename one of them"):
        await grant(gitea, same_names=True)


async def test_somebody_elses_account_of_the_same_name_is_never_used(gitea: StandInGitea) -> None:
    gitea.add_user("ada", "of somebody who registered first")
    access = await grant(gitea)
    assert access.user == account_names("ada")[1] and works(access)
    assert gitea.users["ada"].tokens == []


async def test_an_existing_account_is_the_persons_where_names_mean_the_same_people(gitea: StandInGitea) -> None:
    gitea.add_user("Ada", "her own password")
    access = await grant(gitea, same_names=True)
    assert access.user == "Ada" and works(access)
    assert gitea.users["ada"].password == "her own password"


async def test_no_workspace_gets_a_credential_of_an_administrator(gitea: StandInGitea) -> None:
    access = await grant(gitea, "provisioner", same_names=True)
    assert access.user == account_names("provisioner")[1]
    assert gitea.admin.tokens == []
    access = await grant(gitea, at=NOW)
    gitea.users["ada"].is_admin = True
    access = await grant(gitea, at=NOW + 1)
    assert not gitea.users[access.user].is_admin


@pytest.mark.parametrize("person", ["user", "zoë lovelace+1@example.org", "a" * 60, "-", "..", "Ada"])
async def test_names_that_the_host_does_not_give_away_get_another(gitea: StandInGitea, person: str) -> None:
    access = await grant(gitea, person)
    assert access.user == account_names(person)[-1] and works(access)
    again = await grant(gitea, person, at=NOW + 1)
    assert again.remote == access.remote


async def test_a_stop_makes_the_credential_worthless_and_no_other(gitea: StandInGitea) -> None:
    hosts = accounts(gitea)
    default = await hosts.grant("ada", "default", NOW, {"default"})
    other = await hosts.grant("ada", "thesis", NOW + 5, {"default", "thesis"})
    own = gitea.add_token(gitea.users["ada"], "my laptop", ["write:repository"])
    await hosts.revoke("ada", "default", NOW)
    assert not works(default) and works(other)
    assert own in gitea.users["ada"].tokens
    await hosts.revoke("ada", "default", NOW)
    await hosts.revoke("nobody-here", "default", NOW)
    assert "nobody-here" not in gitea.users


async def test_a_stop_that_comes_late_leaves_the_newer_start_alone(gitea: StandInGitea) -> None:
    await grant(gitea)
    newer = await grant(gitea, at=NOW + 9)
    await accounts(gitea).revoke("ada", "default", NOW)
    assert works(newer)


async def test_what_a_crash_left_is_swept_by_age(gitea: StandInGitea) -> None:
    hosts = accounts(gitea)
    month_ago = NOW - 31 * 86_400_000
    await hosts.grant("ada", "old", month_ago, {"old"})
    await hosts.grant("ada", "young", NOW - 1000, {"young", "old"})
    await hosts.grant("ada", "default", NOW, {"default"})
    left = {token.name.split(".")[1] for token in gitea.users["ada"].tokens}
    assert left == {"young", "default"}, "a young one may belong to a workspace of another hub"


async def test_every_page_of_tokens_is_looked_at(gitea: StandInGitea) -> None:
    await grant(gitea)
    gitea.page_size = 2
    for number in range(5):
        gitea.add_token(gitea.users["ada"], f"own {number}", ["read:user"])
    gitea.users["ada"].tokens.reverse()
    await grant(gitea, at=NOW + 1)
    names = [token.name for token in gitea.users["ada"].tokens]
    assert f"neuralinverse-hub.default.{NOW}" not in names and len(names) == 6


async def test_an_answer_that_was_lost_does_no_harm(gitea: StandInGitea) -> None:
    lost = []

    async def lose(request: web.Request) -> web.Response | None:
        if request.method == "POST" and request.path.endswith("/tokens") and not lost:
            lost.append(await gitea._api(request))
            return web.Response(status=502)
        return None

    gitea.before = lose
    access = await grant(gitea, patience_s=5.0)
    assert lost and works(access)
    assert len(gitea.users["ada"].tokens) == 1


async def test_a_host_that_is_away_is_waited_for(gitea: StandInGitea) -> None:
    asked = []

    async def away(request: web.Request) -> web.Response | None:
        asked.append(request.path)
        return web.Response(status=503) if len(asked) < 3 else None

    gitea.before = away
    assert works(await grant(gitea, patience_s=10.0))


async def test_a_host_that_stays_away_is_named_and_recovers(gitea: StandInGitea) -> None:
    gitea.stop()
    with pytest.raises(GiteaAway, match=gitea.url) as caught:
        await grant(gitea)
    assert "Try again" in caught.value.jupyterhub_message
    gitea.start()
    assert works(await grant(gitea))


async def test_a_wrong_password_of_the_administrator_says_which_account(gitea: StandInGitea) -> None:
    gitea.admin.password = "changed on the host"
    hosts = GitAccounts(gitea.url, lambda: Admin("provisioner", "old"), patience_s=0)
    with pytest.raises(AdminRefused, match="provisioner"):
        await hosts.grant("ada", "default", NOW, set())


async def test_an_account_that_is_no_administrator_is_named(gitea: StandInGitea) -> None:
    gitea.admin.is_admin = False
    with pytest.raises(AdminRefused, match="user should be the site admin"):
        await grant(gitea)


async def test_a_person_whose_account_is_switched_off_gets_nothing(gitea: StandInGitea) -> None:
    await grant(gitea)
    gitea.users["ada"].prohibit_login = True
    with pytest.raises(AccountBlocked, match="switched off"):
        await grant(gitea, at=NOW + 1)


async def test_gitea_takes_an_access_token_for_the_password_and_forgejo_does_not(gitea: StandInGitea) -> None:
    token = gitea.add_token(gitea.admin, "hub", ["write:admin", "write:user", "write:repository"])
    hosts = GitAccounts(gitea.url, lambda: Admin("provisioner", token.secret), patience_s=0)
    if gitea.forgejo:
        with pytest.raises(AdminRefused, match="auth method not allowed"):
            await hosts.grant("ada", "default", NOW, set())
    else:
        assert works(await hosts.grant("ada", "default", NOW, set()))


def test_the_administrator_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    read = admin_from({"NEURALINVERSE_GIT_ADMIN": "root", "NEURALINVERSE_GIT_ADMIN_PASSWORD": "s3cret"})
    assert read() == Admin("root", "s3cret")
    file = tmp_path / "password"
    read = admin_from({"NEURALINVERSE_GIT_ADMIN": "root", "NEURALINVERSE_GIT_ADMIN_PASSWORD_FILE": str(file)})
    with pytest.raises(AdminRefused, match="password"):
        read()
    file.write_text("first\n")
    assert read().secret == "first"
    file.write_text("rotated\n")
    assert read().secret == "rotated"
    assert "rotated" not in repr(read()) + repr(read)
    with pytest.raises(SettingError, match="NEURALINVERSE_GIT_ADMIN_PASSWORD_FILE"):
        admin_from({"NEURALINVERSE_GIT_ADMIN": "root"})


async def test_the_token_is_in_no_repr(gitea: StandInGitea) -> None:
    access = await grant(gitea)
    assert access.token not in repr(access)
    assert gitea.admin.password not in repr(accounts(gitea))
