"""A person's account, repository and credential on Gitea or Forgejo: made when missing, mended when broken.

A credential belongs to one start of one workspace: minted when it starts, deleted when it stops, and each start deletes
what earlier ones left behind, e.g. after a crash of the hub. So there is no credential to store anywhere, neither in the
hub's database nor in a file; a stolen one dies with its workspace; every start is a rotation; and a workspace that was
started again elsewhere cannot push over its successor, since its credential is gone. The price is two calls per start.

The least that works: scope ``write:repository``, on Forgejo from version 15 on for the one repository only. A workspace
never gets a credential of an account that administers the host, since such a credential would reach everybody's
repositories.

Whose account is it: one that was made here carries the person's hub name in its ``login_name``, which only administrators
can write. An account of the same name without that is somebody else's, unless the operator said that names on the host
and on the hub mean the same people; then the person gets an account under another name. Names alone prove nothing: on a
host with open registration anybody could take the name of a person who has not come yet, and read their work.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from neuralinverse_hub import wire
from neuralinverse_hub.settings import SettingError

from .errors import AccountBlocked, AdminRefused, GiteaAway, GiteaRefused
from .gitea import Account, Admin, Gitea, Repository, Token
from .names import account_names

__all__ = ["DESCRIPTION", "MARK", "REPOSITORY_NAMES", "GitAccounts", "admin_from", "workspace_of"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

ENV_ADMIN: Final = "NEURALINVERSE_GIT_ADMIN"
ENV_ADMIN_PASSWORD: Final = "NEURALINVERSE_GIT_ADMIN_PASSWORD"
ENV_ADMIN_PASSWORD_FILE: Final = "NEURALINVERSE_GIT_ADMIN_PASSWORD_FILE"

MARK: Final = "neuralinverse-hub:"
"""Begins the mark of an account that was made here; the person's hub name follows."""
_SCOPES: Final = ["write:repository"]
DESCRIPTION: Final = (
    "What you save in your workspaces, kept by NeuralInverse hub below refs/ni: "
    "git fetch origin 'refs/ni/*:refs/ni/*' shows it. Leave this repository in place."
)
REPOSITORY_NAMES: Final = (wire.WORKSPACE_REPOSITORY, f"{wire.WORKSPACE_REPOSITORY}-neuralinverse")
_MAX_AGE_S: Final = 30 * 86400
_TOKEN: Final = re.compile(r"neuralinverse-hub\.([A-Za-z0-9_-]+)\.(\d+)")


def workspace_of(token: Token) -> tuple[str, int] | None:
    """(workspace, generation) that a token of ours was made for; None for a token that the person made."""
    match = _TOKEN.fullmatch(token.name)
    return (match[1], int(match[2])) if match else None


def _is_replaced(
    token: Token, workspace: str, generation: int, running: Collection[str] | None = None, now_ms: int = 0
) -> bool:
    """Whether a start of ``workspace`` makes ``token`` worthless; with ``running``, of the other workspaces too."""
    made = workspace_of(token)
    if made is None:
        return False
    if made[0] == workspace:
        return made[1] <= generation
    # A generation is the time of the start.
    return running is not None and made[0] not in running and now_ms - made[1] > _MAX_AGE_S * 1000


def admin_from(environ: Mapping[str, str]) -> Callable[[], Admin]:
    """What reads the account that the hub provisions with: from ``environ``, its password also from a file it names.

    Raises:
        SettingError: ``environ`` names none; the text says what to set.
    """
    user, secret, file = (environ.get(name, "") for name in (ENV_ADMIN, ENV_ADMIN_PASSWORD, ENV_ADMIN_PASSWORD_FILE))
    if not user or not (secret or file):
        raise SettingError(
            f"The Git host is Gitea: set {ENV_ADMIN} to the name of one of its administrators, and {ENV_ADMIN_PASSWORD} "
            f"to the password, or {ENV_ADMIN_PASSWORD_FILE} to a file that holds it."
        )
    return _AdminSource(user, secret, file)


@dataclass(frozen=True)
class _AdminSource:
    user: str
    secret: str = field(repr=False)
    file: str

    def __call__(self) -> Admin:
        try:
            return Admin(self.user, self.secret or Path(self.file).read_text().strip())
        except OSError as error:
            raise AdminRefused(
                f"The password for the Git host cannot be read from {self.file}: {error.strerror}."
            ) from error


@dataclass(frozen=True)
class GitAccounts:
    """What the hub asks at the start and at the end of a workspace. Has no state of its own."""

    url: str
    """The host, as hub and workspaces reach it."""
    admin: Callable[[], Admin] = field(repr=False)
    """Asked for each use, so that a renewed secret is used at once."""
    same_names: bool = False
    """An account on the host whose name is a person's hub name is that person's."""
    patience_s: float = 10.0
    """How long to go on asking a host that does not answer."""

    async def grant(self, person: str, workspace: str, generation: int, running: Collection[str]) -> wire.GitAccess:
        """A new credential for this start of a workspace, and nothing left of what it replaces.

        Deleted are: one of this same start, those of earlier starts, and those older than `_MAX_AGE_S` of workspaces not
        in ``running``. The age is there for hubs that share a host: what runs elsewhere is not known here.

        Raises:
            GiteaAway: the host did not answer for `patience_s`; it can be tried again any time.
            AdminRefused, GiteaRefused, AccountBlocked: an administrator has to do something; the text says what.
        """

        async def attempt() -> wire.GitAccess:
            async with Gitea(self.url, self.admin()) as gitea:
                account = await self._account(gitea, person, make=True)
                assert account is not None
                repository = await _repository(gitea, account.login)
                name = f"neuralinverse-hub.{workspace}.{generation}"
                now_ms = time.time_ns() // 1_000_000
                old = [
                    token
                    for token in await gitea.tokens(account.login)
                    if _is_replaced(token, workspace, generation, running, now_ms)
                ]
                # A first attempt whose answer was lost: its name is taken, and nobody knows its secret.
                for token in [token for token in old if token.name == name]:
                    await gitea.delete_token(account.login, token)
                only = repository.path if await gitea.is_forgejo() else None
                secret = await gitea.create_token(account.login, name, _SCOPES, only)
                for token in [token for token in old if token.name != name]:
                    await gitea.delete_token(account.login, token)
                remote = f"{self.url.rstrip('/')}/{repository.path}.git"
                return wire.GitAccess(remote, account.login, secret)

        return await self._patiently(attempt)

    async def revoke(self, person: str, workspace: str, generation: int) -> None:
        """Delete the credentials of this start of a workspace, and of earlier ones. Raises as `grant` does."""

        async def attempt() -> None:
            async with Gitea(self.url, self.admin()) as gitea:
                account = await self._account(gitea, person, make=False)
                if account is None:
                    return
                for token in await gitea.tokens(account.login):
                    if _is_replaced(token, workspace, generation):
                        await gitea.delete_token(account.login, token)

        await self._patiently(attempt)

    async def _account(self, gitea: Gitea, person: str, *, make: bool) -> Account | None:
        """The person's account; None when there is none and none is to be made."""
        names = account_names(person)
        mark = MARK + person
        for login in names:
            account = await gitea.account(login)
            if account is None:
                continue
            theirs = account.mark == mark or (self.same_names and login == person and not account.is_admin)
            if theirs and account.is_admin:
                _log.warning("%s administers the Git host; its workspaces use another account", account.login)
            elif theirs and account.blocked:
                raise AccountBlocked(
                    f"The account {account.login!r} on the Git host is switched off; ask its administrator."
                )
            elif theirs:
                return account
        if not make:
            return None
        for login in names:
            # The host decides what it reserves; no list of ours would stay right.
            email = f"{login}@users.noreply.{urlsplit(self.url).hostname}"
            account = await gitea.create_account(login, email, secrets.token_urlsafe(32) + "aA1!", mark)
            if account is not None:
                _log.info("made the account %s for %s on the Git host", account.login, person)
                return account
        raise GiteaRefused(f"The Git host gives {person!r} no account: it refuses the names {', '.join(names)}.")

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + self.patience_s
        delay_s = 0.5
        while True:
            try:
                return await attempt()
            except GiteaAway as error:
                if time.monotonic() + delay_s > deadline:
                    raise
                _log.warning("%s Asking again in %.1f s.", error, delay_s)
            await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))
            delay_s = min(delay_s * 2, 5)


async def _repository(gitea: Gitea, login: str) -> Repository:
    """The repository for the account's snapshots, made or mended where needed."""
    for name in REPOSITORY_NAMES:
        repository = await gitea.repository(login, name)
        if repository is None:
            repository = await gitea.create_repository(login, name, DESCRIPTION)
            repository = repository or await gitea.repository(login, name)
        if repository is None or not await _is_ours(gitea, repository):
            continue
        if repository.archived:
            _log.warning("%s was archived, so nothing could be saved there; it is open again", repository.path)
            await gitea.unarchive(repository.path)
        return repository
    raise GiteaRefused(
        f"{login} has repositories named {' and '.join(REPOSITORY_NAMES)} with other content on the Git host; "
        f"rename one of them and start again."
    )


async def _is_ours(gitea: Gitea, repository: Repository) -> bool:
    """Whether it holds snapshots, or nothing that they would get in the way of."""
    if repository.empty or repository.description == DESCRIPTION:
        return True
    return await gitea.has_refs(repository.path, wire.REF_ROOT.removeprefix("refs/"))
