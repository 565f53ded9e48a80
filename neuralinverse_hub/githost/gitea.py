"""The calls of the Gitea API that provisioning needs, and nothing of why they are made. Forgejo answers them too.

Checked against the official description of the API (``tests/data/gitea-api.json`` holds the part that is used). Every
call has a timeout and may be repeated. All of them sign in with HTTP Basic, because people's access tokens are only
handed out to that: Gitea takes the administrator's password or an access token in its place, Forgejo from version 15 on
the password alone.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from .errors import AdminRefused, GiteaAway, GiteaRefused

__all__ = ["Account", "Admin", "Gitea", "Repository", "Token"]

_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, connect=5)


@dataclass(frozen=True, slots=True)
class Admin:
    """Who asks: an account with administrator's rights, for provisioning only. ``repr`` does not show the secret."""

    user: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """An account on the host."""

    login: str
    mark: str
    """What `Gitea.create_account` wrote; only administrators can see or change it."""
    is_admin: bool
    blocked: bool
    """An administrator has switched it off."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository; ``path`` is ``owner/name`` as it is called today, after any renaming."""

    path: str
    description: str
    empty: bool
    archived: bool
    size: int
    """Bytes, as the host last reckoned them: when branches were pushed, and when it tidied up."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that exists; its secret is shown once only, by `Gitea.create_token`."""

    id: int
    name: str


class Gitea:
    """A session with one host, ``async with Gitea(url, admin) as gitea``.

    Every method raises `GiteaAway` when the host does not answer or is out of order, `AdminRefused` when it does not
    accept the administrator, and `GiteaRefused`, with the host's own words, when it refuses what was asked.
    """

    def __init__(self, url: str, admin: Admin) -> None:
        self._url = url.rstrip("/")
        self._admin = admin

    async def __aenter__(self) -> Gitea:
        secret = base64.b64encode(f"{self._admin.user}:{self._admin.secret}".encode()).decode()
        headers = {"Authorization": f"Basic {secret}"}
        self._session = aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT, trust_env=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def is_forgejo(self) -> bool:
        """Whether this is Forgejo of a version that hands out tokens for single repositories."""
        # "16.0.1+gitea-1.22.0"; Gitea's own versions have no such tail.
        version = str((await self._call("GET", "/version"))["version"])
        major = version.partition(".")[0]
        return "+gitea-" in version and major.isdigit() and int(major) >= 15

    async def account(self, login: str) -> Account | None:
        """The account of that name, in whatever case; None when there is none."""
        found = await self._call("GET", f"/users/{_part(login)}", missing=404)
        return None if found is None else _account(found)

    async def accounts(self) -> list[Account]:
        """All accounts of people."""
        return [_account(each) for each in await self._pages("/admin/users?")]

    async def create_account(self, login: str, email: str, password: str, mark: str) -> Account | None:
        """A new account that never gets mail; None when the host does not give this name or address to anybody."""
        body = {
            "username": login,
            "email": email,
            "password": password,
            "login_name": mark,
            "must_change_password": False,
            "send_notify": False,
            "visibility": "private",
        }
        made = await self._call("POST", "/admin/users", body, missing=422)
        return None if made is None else _account(made)

    async def repository(self, owner: str, name: str) -> Repository | None:
        """The repository, wherever a renaming took it; None when there is none."""
        found = await self._call("GET", f"/repos/{_part(owner)}/{_part(name)}", missing=404)
        return None if found is None else _repository(found)

    async def search(self, word: str) -> list[Repository]:
        """All repositories with ``word`` in their name or their description, private ones included."""
        rows = await self._pages(f"/repos/search?q={_part(word)}&includeDesc=true&", "data")
        return [_repository(each) for each in rows]

    async def tidies_up(self) -> bool:
        """Whether the host collects garbage in its repositories by itself, at set times."""
        tasks = await self._call("GET", "/admin/cron?limit=50")
        return any(each.get("name") == "git_gc_repos" and each.get("schedule") not in ("", "-", None) for each in tasks)

    async def create_repository(self, owner: str, name: str, description: str) -> Repository | None:
        """A new private repository with a README that holds ``description``; None when the name is taken."""
        body = {"name": name, "description": description, "private": True, "auto_init": True, "readme": "Default"}
        made = await self._call("POST", f"/admin/users/{_part(owner)}/repos", body, missing=409)
        return None if made is None else _repository(made)

    async def unarchive(self, path: str) -> None:
        """Let pushes in again."""
        await self._call("PATCH", f"/repos/{quote(path)}", {"archived": False})

    async def has_refs(self, path: str, below: str) -> bool:
        """Whether the repository has refs below ``refs/<below>``."""
        return bool(await self._call("GET", f"/repos/{quote(path)}/git/refs/{quote(below)}", missing=404))

    async def tokens(self, login: str) -> list[Token]:
        """All access tokens of the account."""
        rows = await self._pages(f"/users/{_part(login)}/tokens?")
        return [Token(int(row["id"]), str(row["name"])) for row in rows]

    async def create_token(self, login: str, name: str, scopes: list[str], only: str | None = None) -> str:
        """The secret of a new access token of that account. ``only``: one repository, on hosts that can limit it so."""
        body: dict[str, Any] = {"name": name, "scopes": scopes}
        if only is not None:
            owner, _, repository = only.partition("/")
            body["repositories"] = [{"owner": owner, "name": repository}]
        return str((await self._call("POST", f"/users/{_part(login)}/tokens", body))["sha1"])

    async def delete_token(self, login: str, token: Token) -> None:
        """Make the token worthless; nothing happens when it is gone already."""
        await self._call("DELETE", f"/users/{_part(login)}/tokens/{token.id}", missing=404)

    async def application(self, number: int) -> bool:
        """Whether the administrator's OAuth application of that number exists."""
        return await self._call("GET", f"/user/applications/oauth2/{number}", missing=404) is not None

    async def create_application(self, name: str, redirect_uri: str) -> tuple[int, str, str]:
        """(number, client id, client secret) of a new OAuth application for one confidential client."""
        body = {
            "name": name,
            "redirect_uris": [redirect_uri],
            "confidential_client": True,
            # Both belong to the same operator; Forgejo does not know this member and asks people once.
            "skip_secondary_authorization": True,
        }
        made = await self._call("POST", "/user/applications/oauth2", body)
        return int(made["id"]), str(made["client_id"]), str(made["client_secret"])

    async def _pages(self, path: str, member: str = "") -> list[dict[str, Any]]:
        """All rows of a list; ``path`` ends where further parameters follow, ``member`` is the answer's that holds rows."""
        found: list[dict[str, Any]] = []
        # Servers cap the size of a page as they like, so only an empty one says that it was the last.
        for page in range(1, 10_000):
            answer = await self._call("GET", f"{path}page={page}&limit=50")
            rows = answer[member] if member else answer
            if not rows:
                break
            found += rows
        return found

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None, missing: int = 0) -> Any:
        """The decoded answer; None for the status ``missing``, and for an answer without a body."""
        try:
            async with self._session.request(method, f"{self._url}/api/v1{path}", json=body) as response:
                status = response.status
                said = await response.json() if response.content_type == "application/json" else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise GiteaAway(f"The Git host at {self._url} does not answer ({reason}).") from error
        if status < 300:
            return said
        if status == missing:
            return None
        words = str(said.get("message") or "no reason given") if isinstance(said, dict) else "no reason given"
        if status in (401, 403):
            raise AdminRefused(
                f"The Git host at {self._url} does not accept {self._admin.user!r} as its administrator for "
                f"{method} {path.partition('?')[0]} ({status}: {words})."
            )
        if status >= 500 or status == 429:
            raise GiteaAway(f"The Git host at {self._url} is out of order ({status}: {words}).")
        raise GiteaRefused(f"The Git host at {self._url} refused {method} {path} ({status}: {words}).")


def _part(name: str) -> str:
    return quote(name, safe="")


def _account(model: dict[str, Any]) -> Account:
    blocked = bool(model.get("prohibit_login")) or not model.get("active", True)
    return Account(str(model["login"]), str(model.get("login_name") or ""), bool(model.get("is_admin")), blocked)


def _repository(model: dict[str, Any]) -> Repository:
    return Repository(
        str(model["full_name"]),
        str(model.get("description") or ""),
        bool(model.get("empty")),
        bool(model.get("archived")),
        # In KiB there.
        int(model.get("size") or 0) * 1024,
    )
