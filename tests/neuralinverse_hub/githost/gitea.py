"""A Gitea for tests: its API, its Git over HTTP with real repositories, its OpenID Connect.

Every request to the API is checked against ``tests/data/gitea-api.json``, and so is every answer; what does not fit is in
`StandInGitea.misuse`. Status codes and error texts are those of Gitea 1.25 and, with ``forgejo``, of Forgejo 16.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
import secrets
import subprocess
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema
from aiohttp import web

from neuralinverse_hub.githost.backend import Backend, http_backend
from neuralinverse_hub.local.ports import free_port

API = json.loads((Path(__file__).parents[2] / "data" / "gitea-api.json").read_text())
RESERVED = {"api", "assets", "avatars", "explore", "ghost", "issues", "login", "org", "repo", "user", "v2"}
_VALID = re.compile(r"[\da-zA-Z][-.\w]*")
_INVALID = re.compile(r".*[-._]{2,}.*|.*[-._]")


@dataclass
class Token:
    id: int
    name: str
    secret: str
    scopes: list[str]
    repositories: list[str] | None = None


@dataclass
class User:
    login: str
    password: str
    email: str = ""
    login_name: str = ""
    is_admin: bool = False
    active: bool = True
    prohibit_login: bool = False
    tokens: list[Token] = field(default_factory=list)


@dataclass
class Repo:
    owner: str
    name: str
    path: Path
    description: str = ""
    private: bool = True
    archived: bool = False
    size: int = 0
    """In KiB, as it was when somebody last reckoned it: pushes to other refs than branches and tags do not."""

    def reckon(self) -> None:
        self.size = sum(each.stat().st_size for each in self.path.rglob("*") if each.is_file()) // 1024

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def refs(self) -> dict[str, str]:
        lines = subprocess.run(
            ["git", "--git-dir", str(self.path), "for-each-ref", "--format=%(refname) %(objectname)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        return dict(tuple(line.split(" ", 1)) for line in lines)  # type: ignore[misc]

    @property
    def empty(self) -> bool:
        return not any(ref.startswith("refs/heads/") for ref in self.refs())


@dataclass
class Caller:
    """Who a request comes from, and by which way of signing in."""

    user: User
    basic: bool
    token: Token | None


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class StandInGitea:
    """Serves on ``url`` from `start` to `stop`; what it knows outlives a stop."""

    def __init__(self, root: Path, *, forgejo: bool = False) -> None:
        self.root = root
        self.forgejo = forgejo
        self.version = "16.0.1+gitea-1.22.0" if forgejo else "1.25.3"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.users: dict[str, User] = {}
        self.repos: dict[str, Repo] = {}
        self.redirects: dict[str, str] = {}
        self.applications: dict[int, dict[str, Any]] = {}
        self.misuse: list[str] = []
        self.calls: list[str] = []
        self.page_size = 50
        self.gc_schedule = "-"
        self.before: Callable[[web.Request], Awaitable[web.Response | None]] | None = None
        """Called with each request; what it returns is the answer."""
        self._ids = 0
        self._sessions: dict[str, str] = {}
        self._codes: dict[str, dict[str, Any]] = {}
        self._oauth_tokens: dict[str, str] = {}
        self.admin = self.add_user("provisioner", "of the provisioner 1", is_admin=True)

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> StandInGitea:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()

        async def serve() -> None:
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route("*", "/{tail:.*}", self._answer)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
            ready.set()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(serve())
            self._loop.run_forever()
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def stop(self) -> None:
        async def end() -> None:
            await self._runner.cleanup()
            self._loop.call_soon(self._loop.stop)

        asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join(10)

    # -- what tests set up and look at -------------------------------------------------------------------------------

    def add_user(self, login: str, password: str, **more: Any) -> User:
        user = User(login, password, more.pop("email", f"{login}@example.org"), **more)
        self.users[login.lower()] = user
        return user

    def add_token(self, user: User, name: str, scopes: list[str], repositories: list[str] | None = None) -> Token:
        self._ids += 1
        token = Token(self._ids, name, secrets.token_hex(20), scopes, repositories)
        user.tokens.append(token)
        return token

    def add_repo(self, owner: str, name: str, description: str = "", *, readme: bool = False) -> Repo:
        path = self.root / owner.lower() / f"{name.lower()}.git"
        git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
        git("--git-dir", str(path), "config", "http.receivepack", "true")
        repo = Repo(owner, name, path, description)
        self.repos[repo.full_name.lower()] = repo
        if readme:
            blob = git("--git-dir", str(path), "hash-object", "-w", "--stdin", stdin=f"# {name}\n\n{description}\n")
            tree = git("--git-dir", str(path), "mktree", stdin=f"100644 blob {blob}\tREADME.md\n")
            who = ("-c", "user.name=Gitea", "-c", "user.email=gitea@example.org")
            commit = git("--git-dir", str(path), *who, "commit-tree", tree, "-m", "Initial commit")
            git("--git-dir", str(path), "update-ref", "refs/heads/main", commit)
        repo.reckon()
        return repo

    def rename(self, repo: Repo, name: str) -> None:
        del self.repos[repo.full_name.lower()]
        self.redirects[repo.full_name.lower()] = f"{repo.owner}/{name}"
        repo.name = name
        self.repos[repo.full_name.lower()] = repo

    # -- one request ---------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.before and (early := await self.before(request)) is not None:
            return early
        try:
            if request.path.startswith("/api/v1/"):
                return await self._api(request)
            if request.path.startswith(("/login/oauth/", "/user/login")):
                return await self._login(request)
            return await self._git(request)
        except Refused as refused:
            return web.json_response(
                {"message": refused.message, "url": f"{self.url}/api/swagger"}, status=refused.status
            )

    def _caller(self, request: web.Request) -> Caller | None:
        kind, _, rest = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() in ("token", "bearer"):
            found = self._owner_of(rest)
            if found is None:
                raise Refused(401, "access token does not exist")
            return Caller(found[0], False, found[1])
        if kind.lower() == "basic":
            name, _, password = base64.b64decode(rest).decode().partition(":")
            if found := self._owner_of(password):
                return Caller(found[0], True, found[1])
            user = self.users.get(name.lower())
            if user is None or user.password != password:
                raise Refused(401, f"user's password is invalid. [name: {name}]")
            return Caller(user, True, None)
        return None

    def _owner_of(self, secret: str) -> tuple[User, Token] | None:
        for user in self.users.values():
            for token in user.tokens:
                if secret and token.secret == secret:
                    return user, token
        return None

    # -- the API -------------------------------------------------------------------------------------------------------

    async def _api(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/api/v1")
        template, operation, values = find_operation(request.method, path)
        if operation is None:
            self.misuse.append(f"no such call: {request.method} {path}")
            return web.json_response({"message": "not found"}, status=404)
        raw = await request.read()
        given = json.loads(raw) if raw else None
        self.misuse += problems_of_request(operation, request, given)
        self.calls.append(operation["operationId"])
        caller = self._caller(request)
        status, answer = getattr(self, f"_{operation['operationId']}")(caller, values, given, request)
        if str(status) not in operation["responses"]:
            self.misuse.append(f"{status} is not an answer of {request.method} {template}")
        self.misuse += problems_of_answer(operation, status, answer)
        if answer is None:
            return web.Response(status=status)
        return web.json_response(answer, status=status)

    def _need(self, caller: Caller | None, category: str, level: str, *, admin: bool = False) -> Caller:
        if caller is None:
            raise Refused(401, "token is required")
        if caller.token is not None:
            wanted = {f"write:{category}", "all"} | ({f"read:{category}"} if level == "read" else set())
            if not wanted & set(caller.token.scopes):
                raise Refused(
                    403, f"token does not have at least one of required scope(s), required=[{level}:{category}]"
                )
        if admin and not caller.user.is_admin:
            raise Refused(403, "user should be the site admin")
        return caller

    def _user(self, name: str) -> User:
        user = self.users.get(name.lower())
        if user is None:
            raise Refused(404, f"user redirect does not exist [name: {name}]")
        return user

    def _user_model(self, user: User, caller: Caller | None) -> dict[str, Any]:
        model: dict[str, Any] = {"id": list(self.users).index(user.login.lower()) + 1, "login": user.login}
        model |= {"login_name": "", "email": user.email, "is_admin": False, "active": False, "prohibit_login": False}
        if caller and (caller.user.is_admin or caller.user is user):
            model |= {"login_name": user.login_name, "is_admin": user.is_admin}
            model |= {"active": user.active, "prohibit_login": user.prohibit_login}
        return model

    def _getVersion(self, *_: Any) -> tuple[int, Any]:
        return 200, {"version": self.version}

    def _userGet(self, caller: Caller | None, values: dict[str, str], *_: Any) -> tuple[int, Any]:
        return 200, self._user_model(self._user(values["username"]), caller)

    def _adminCreateUser(self, caller: Caller | None, values: Any, given: dict[str, Any], _: Any) -> tuple[int, Any]:
        caller = self._need(caller, "admin", "write", admin=True)
        login, email, password = given["username"], given["email"], given.get("password", "")
        if len(password) < 8:
            raise Refused(400, "PasswordIsRequired")
        if not _VALID.fullmatch(login) or _INVALID.fullmatch(login) or len(login) > 40:
            raise Refused(422, "[Username]: must contain only alphanumeric chars, dash, underscore and dot")
        if login.lower() in RESERVED:
            raise Refused(422, f"name is reserved [name: {login}]")
        if login.lower() in self.users:
            raise Refused(422, f"user already exists [name: {login}]")
        if any(user.email == email for user in self.users.values()):
            raise Refused(422, f"e-mail already in use [email: {email}]")
        user = self.add_user(login, password, email=email, login_name=given.get("login_name", ""))
        return 201, self._user_model(user, caller)

    def _repo(self, caller: Caller | None, owner: str, name: str, request: web.Request) -> Repo:
        key = f"{owner}/{name}".lower()
        if key in self.redirects and key not in self.repos:
            new = request.path.replace(f"{owner}/{name}", self.redirects[key], 1)
            raise web.HTTPTemporaryRedirect(new)
        repo = self.repos.get(key)
        if repo is None or (
            repo.private and not (caller and (caller.user.is_admin or caller.user.login == repo.owner))
        ):
            raise Refused(404, "The target couldn't be found.")
        return repo

    def _repo_model(self, repo: Repo) -> dict[str, Any]:
        return {
            "id": list(self.repos.values()).index(repo) + 1,
            "name": repo.name,
            "full_name": repo.full_name,
            "description": repo.description,
            "private": repo.private,
            "empty": repo.empty,
            "archived": repo.archived,
            "clone_url": f"{self.url}/{repo.full_name}.git",
            "default_branch": "main",
            "size": repo.size,
        }

    def _page(self, rows: list[Any], request: web.Request) -> list[Any]:
        size = min(int(request.query.get("limit", self.page_size)), self.page_size)
        first = (int(request.query.get("page", 1)) - 1) * size
        return rows[first : first + size]

    def _adminSearchUsers(self, caller: Caller | None, _v: Any, _g: Any, request: web.Request) -> tuple[int, Any]:
        caller = self._need(caller, "admin", "read", admin=True)
        return 200, self._page([self._user_model(each, caller) for each in self.users.values()], request)

    def _repoSearch(self, caller: Caller | None, _v: Any, _g: Any, request: web.Request) -> tuple[int, Any]:
        caller = self._need(caller, "repository", "read")
        word = request.query.get("q", "").lower()
        described = request.query.get("includeDesc") == "true"
        found = [
            self._repo_model(each)
            for each in self.repos.values()
            if word in each.name.lower() or (described and word in each.description.lower())
            if caller.user.is_admin or not each.private or each.owner == caller.user.login
        ]
        return 200, {"ok": True, "data": self._page(found, request)}

    def _adminCronList(self, caller: Caller | None, _v: Any, _g: Any, request: web.Request) -> tuple[int, Any]:
        self._need(caller, "admin", "read", admin=True)
        never = "0001-01-01T00:00:00Z"
        names = {"update_mirrors": "@every 10m", "git_gc_repos": self.gc_schedule}
        tasks = [
            {"name": name, "schedule": each, "next": never, "prev": never, "exec_times": 0}
            for name, each in names.items()
        ]
        return 200, self._page(tasks, request)

    def _adminCreateRepo(
        self, caller: Caller | None, values: dict[str, str], given: dict[str, Any], _: Any
    ) -> tuple[int, Any]:
        self._need(caller, "admin", "write", admin=True)
        owner = self._user(values["username"])
        if f"{owner.login}/{given['name']}".lower() in self.repos:
            raise Refused(409, "The repository with the same name already exists.")
        repo = self.add_repo(
            owner.login, given["name"], given.get("description", ""), readme=given.get("auto_init", False)
        )
        repo.private = given.get("private", False)
        return 201, self._repo_model(repo)

    def _repoGet(self, caller: Caller | None, values: dict[str, str], _: Any, request: web.Request) -> tuple[int, Any]:
        if caller is not None:
            self._need(caller, "repository", "read")
        return 200, self._repo_model(self._repo(caller, values["owner"], values["repo"], request))

    def _repoEdit(
        self, caller: Caller | None, values: dict[str, str], given: dict[str, Any], request: web.Request
    ) -> tuple[int, Any]:
        caller = self._need(caller, "repository", "write")
        repo = self._repo(caller, values["owner"], values["repo"], request)
        repo.archived = given.get("archived", repo.archived)
        return 200, self._repo_model(repo)

    def _repoListGitRefs(
        self, caller: Caller | None, values: dict[str, str], _: Any, request: web.Request
    ) -> tuple[int, Any]:
        repo = self._repo(caller, values["owner"], values["repo"], request)
        found = [
            {"ref": ref, "object": {"sha": sha, "type": "commit"}}
            for ref, sha in repo.refs().items()
            if ref.startswith(f"refs/{values['ref']}")
        ]
        if not found:
            raise Refused(404, "The target couldn't be found.")
        return 200, found

    def _tokens_of(self, caller: Caller | None, login: str) -> tuple[Caller, User]:
        user = self._user(login)
        if caller is None or (not caller.user.is_admin and caller.user is not user):
            raise Refused(403, "doer should be the site admin or be same as the contextUser")
        if not caller.basic:
            raise Refused(401, "auth method not allowed" if self.forgejo else "auth required")
        if self.forgejo and caller.token is not None:
            raise Refused(401, "auth method not allowed")
        return self._need(caller, "user", "write"), user

    def _userGetTokens(
        self, caller: Caller | None, values: dict[str, str], _: Any, request: web.Request
    ) -> tuple[int, Any]:
        _, user = self._tokens_of(caller, values["username"])
        return 200, [
            {"id": t.id, "name": t.name, "sha1": "", "token_last_eight": t.secret[-8:], "scopes": t.scopes}
            for t in self._page(user.tokens, request)
        ]

    def _userCreateToken(
        self, caller: Caller | None, values: dict[str, str], given: dict[str, Any], _: Any
    ) -> tuple[int, Any]:
        _, user = self._tokens_of(caller, values["username"])
        if any(token.name == given["name"] for token in user.tokens):
            raise Refused(400, "access token name has been used already")
        if not given.get("scopes"):
            raise Refused(400, "access token must have a scope")
        only = None
        if "repositories" in given:
            if not self.forgejo:
                self.misuse.append("Gitea does not know tokens for single repositories")
            only = [f"{each['owner']}/{each['name']}".lower() for each in given["repositories"]]
        token = self.add_token(user, given["name"], given["scopes"], only)
        return 201, {
            "id": token.id,
            "name": token.name,
            "sha1": token.secret,
            "token_last_eight": token.secret[-8:],
            "scopes": token.scopes,
        }

    def _userDeleteAccessToken(self, caller: Caller | None, values: dict[str, str], *_: Any) -> tuple[int, Any]:
        _, user = self._tokens_of(caller, values["username"])
        left = [token for token in user.tokens if str(token.id) != values["token"]]
        if len(left) == len(user.tokens):
            raise Refused(404, "The target couldn't be found.")
        user.tokens = left
        return 204, None

    def _userCreateOAuth2Application(
        self, caller: Caller | None, values: Any, given: dict[str, Any], _: Any
    ) -> tuple[int, Any]:
        self._need(caller, "user", "write")
        self._ids += 1
        made = {"id": self._ids, "name": given["name"], "redirect_uris": given["redirect_uris"]}
        made |= {"client_id": secrets.token_hex(16), "client_secret": "gto_" + secrets.token_hex(16)}
        self.applications[self._ids] = made
        return 201, made

    def _userGetOAuth2Application(self, caller: Caller | None, values: dict[str, str], *_: Any) -> tuple[int, Any]:
        self._need(caller, "user", "read")
        made = self.applications.get(int(values["id"]))
        if made is None:
            raise Refused(404, "The target couldn't be found.")
        return 200, {**made, "client_secret": ""}

    # -- Git over HTTP -------------------------------------------------------------------------------------------------

    async def _git(self, request: web.Request) -> web.StreamResponse:
        match = re.fullmatch(r"/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)", request.path)
        if match is None:
            return web.Response(status=404, text="Not Found")
        owner, name, action = match.groups()
        try:
            caller = self._caller(request)
        except Refused:
            caller = None
        if caller is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="Gitea"'}, text="Unauthorized")
        writes = "git-receive-pack" in (action, request.query.get("service"))
        repo = self._repo(caller, owner, name, request)
        if caller.token is not None:
            try:
                self._need(caller, "repository", "write" if writes else "read")
            except Refused as refused:
                return web.Response(status=403, text=refused.message)
            if caller.token.repositories is not None and repo.full_name.lower() not in caller.token.repositories:
                return web.Response(status=404, text="Repository not found")
        if caller.user.prohibit_login or not caller.user.active:
            return web.Response(status=403, text="Your account is disabled.")
        if repo.archived and writes:
            return web.Response(
                status=403, text="This repo is archived. You can view files and clone it, but cannot push."
            )
        backend = await Backend.start(
            http_backend(),
            repo.path,
            action,
            method=request.method,
            query=request.query_string,
            person=caller.user.login,
            headers=request.headers,
        )
        await backend.write(await request.read())
        backend.end_of_body()
        status, headers = await backend.head()
        response = web.StreamResponse(status=status, headers=dict(headers))
        await response.prepare(request)
        while chunk := await backend.read():
            await response.write(chunk)
        await backend.finish()
        await response.write_eof()
        return response

    # -- OpenID Connect ------------------------------------------------------------------------------------------------

    async def _login(self, request: web.Request) -> web.Response:
        if request.path == "/user/login":
            return await self._login_page(request)
        if request.path == "/login/oauth/authorize":
            return self._authorize(request)
        if request.path == "/login/oauth/access_token":
            return await self._access_token(request)
        if request.path == "/login/oauth/userinfo":
            bearer = request.headers.get("Authorization", "").partition(" ")[2]
            login = self._oauth_tokens.get(bearer)
            if login is None:
                return web.Response(status=401, text="no valid authorization")
            user = self.users[login.lower()]
            claims = {"sub": "7", "name": user.login, "preferred_username": user.login, "email": user.email}
            return web.json_response({**claims, "picture": "", "groups": None})
        return web.Response(status=404)

    async def _login_page(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            back = html.escape(request.query.get("redirect_to", "/"))
            return web.Response(
                content_type="text/html",
                text=f'<h1>Sign in</h1><form method="post"><input type="hidden" name="redirect_to" value="{back}">'
                '<input name="user_name"><input name="password" type="password"><button>Sign in</button></form>',
            )
        form = await request.post()
        user = self.users.get(str(form["user_name"]).lower())
        if user is None or user.password != form["password"] or user.prohibit_login:
            return web.Response(status=200, text="Username or password is incorrect.")
        response = web.Response(status=303, headers={"Location": str(form["redirect_to"])})
        session = secrets.token_hex(8)
        self._sessions[session] = user.login
        response.set_cookie("i_like_gitea", session, httponly=True)
        return response

    def _authorize(self, request: web.Request) -> web.Response:
        query = request.query
        login = self._sessions.get(request.cookies.get("i_like_gitea", ""))
        if login is None:
            back = urlencode({"redirect_to": f"{request.path}?{request.query_string}"})
            return web.Response(status=303, headers={"Location": f"/user/login?{back}"})
        known = next((a for a in self.applications.values() if a["client_id"] == query.get("client_id")), None)
        if known is None or query.get("redirect_uri") not in known["redirect_uris"]:
            return web.Response(status=400, text="Unregistered Redirect URI")
        if query.get("response_type") != "code" or "openid" not in query.get("scope", ""):
            return web.Response(status=400, text="Only code is supported.")
        code = "gta_" + secrets.token_hex(16)
        self._codes[code] = {"login": login, "application": known, "redirect_uri": query["redirect_uri"]}
        if "code_challenge" in query:
            if query.get("code_challenge_method") != "S256":
                return web.Response(status=400, text="unsupported code challenge method")
            self._codes[code]["challenge"] = query["code_challenge"]
        back = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query.get('state', '')})}"
        return web.Response(status=303, headers={"Location": back})

    async def _access_token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        kind, _, rest = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            form["client_id"], _, form["client_secret"] = base64.b64decode(rest).decode().partition(":")
        code = self._codes.pop(str(form.get("code")), None)
        if form.get("grant_type") != "authorization_code" or code is None:
            return web.json_response(
                {"error": "unauthorized_client", "error_description": "client is not authorized"}, status=400
            )
        application = code["application"]
        wanted = (application["client_id"], application["client_secret"])
        if (form.get("client_id"), form.get("client_secret")) != wanted or form.get("redirect_uri") != code[
            "redirect_uri"
        ]:
            return web.json_response(
                {"error": "unauthorized_client", "error_description": "invalid client secret"}, status=400
            )
        if "challenge" in code:
            digest = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
            if base64.urlsafe_b64encode(digest).decode().rstrip("=") != code["challenge"]:
                return web.json_response(
                    {"error": "unauthorized_client", "error_description": "failed PKCE code challenge"}, status=400
                )
        token = secrets.token_hex(20)
        self._oauth_tokens[token] = code["login"]
        return web.json_response(
            {"access_token": token, "token_type": "bearer", "expires_in": 3600, "refresh_token": "r"}
        )


def git(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run(["git", *arguments], input=stdin, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def find_operation(method: str, path: str) -> tuple[str, dict[str, Any] | None, dict[str, str]]:
    """(path with placeholders, operation, values of the placeholders) of the description; the operation may be None."""
    for template, operations in API["paths"].items():
        names = re.findall(r"{(\w+)}", template)
        pattern = re.sub(r"{(\w+)}", lambda m: r"(.+)" if m[1] == "ref" else r"([^/]+)", template)
        if (match := re.fullmatch(pattern, path)) and method.lower() in operations:
            return template, operations[method.lower()], dict(zip(names, match.groups(), strict=True))
    return path, None, {}


def closed(schema: Any) -> Any:
    """``schema`` that refuses members it does not name, as a typo in a request should be."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        return {**inner, "additionalProperties": False} if "properties" in schema else inner
    return [closed(each) for each in schema] if isinstance(schema, list) else schema


_CLOSED = {"definitions": closed(API["definitions"]), "responses": closed(API["responses"])}


def problems_of_request(operation: dict[str, Any], request: web.Request, given: Any) -> list[str]:
    name = operation["operationId"]
    problems = []
    bodies = [each for each in operation["parameters"] if each["in"] == "body"]
    if given is not None and not bodies:
        problems.append(f"{name} takes no body")
    for each in bodies:
        problems += [f"{name}: {e.message}" for e in _validator(each["schema"]).iter_errors(given)]
    known = {each["name"] for each in operation["parameters"] if each["in"] == "query"}
    problems += [f"{name} has no query parameter {extra!r}" for extra in request.query.keys() - known]
    return problems


def problems_of_answer(operation: dict[str, Any], status: int, answer: Any) -> list[str]:
    reference = operation["responses"].get(str(status), {}).get("$ref")
    schema = API["responses"][reference.rpartition("/")[2]].get("schema") if reference else None
    if schema is None:
        return []
    return [f"answer of {operation['operationId']}: {e.message}" for e in _validator(schema).iter_errors(answer)]


def _validator(schema: dict[str, Any]) -> Any:
    return jsonschema.Draft7Validator(
        {**_CLOSED, **closed(schema)} if "$ref" not in schema else {**_CLOSED, "allOf": [schema]}
    )
