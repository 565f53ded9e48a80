"""Whole regions on one machine: hub, proxy, gateway and workspaces of each in a network namespace of its own, one
shared git host, and people who log in, work and look at what they have.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from neuralinverse_hub import wire
from neuralinverse_hub.local.handover import ENV_HANDOVER, Handover
from neuralinverse_hub.local.ports import free_port
from spawner.names import safe_name
from tests.neuralinverse_hub.githost.test_hub import proxy_command
from tests.neuralinverse_hub.regions.wires import Namespace, Wires
from tests.one_machine import eventually

__all__ = ["GitHost", "Person", "Region", "World", "world"]

ROOT = Path(__file__).parents[3]
PASSWORD = "the password that all regions share"
GIT_ADDRESS = "127.8.1.1"
LIGHT = "tests.neuralinverse_hub.regions.light_workspace"

CONFIG = """
import os
from neuralinverse_hub.hub_config import configure

c.JupyterHub.bind_url = {hub!r}
c.NeuralInverseHub.hub_url = {hub!r}
configure(c)
c.JupyterHub.bind_url = {hub!r}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.log_level = "INFO"
c.LocalWorkspaceSpawner.sizes = {{}}
c.LocalWorkspaceSpawner.poll_interval = 1
if {light!r}:
    c.LocalWorkspaceSpawner.cmd = [{python!r}, "-m", {module!r}]
# As often as a test wants to wait for it.
c.LocalWorkspaceSpawner.is_superseded.__self__.look_every_s = 1
exec({more!r})
"""


EVERYWHERE = """
# A hub hands next to nothing of its own environment on.
for each in c.JupyterHub.services:
    if "command" in each:
        each["environment"] = {{**each.get("environment", {{}}), **{variables!r}}}
c.LocalWorkspaceSpawner.environment = {{**c.LocalWorkspaceSpawner.environment, **{variables!r}}}
"""


@dataclass
class GitHost:
    """The shared git host: the embedded one, run by itself."""

    place: Path
    port: int
    catalogue: Path
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)
    at: str = ""
    """URL where a region's hub runs it; empty: it runs by itself."""

    @property
    def url(self) -> str:
        return self.at or f"http://{GIT_ADDRESS}:{self.port}"

    @property
    def root(self) -> Path:
        return self.place / ("git" if self.at else "repositories")

    def start(self) -> None:
        env = dict(os.environ) | {
            "NEURALINVERSE_GIT_ROOT": str(self.root),
            wire.ENV_REGIONS: str(self.catalogue),
            "JUPYTERHUB_SERVICE_PREFIX": "/",
            "JUPYTERHUB_SERVICE_URL": self.url,
            **self.env,
        }
        with (self.place / "git.log").open("ab") as log:
            command = [sys.executable, "-m", "neuralinverse_hub.githost"]
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=ROOT)
        eventually("the git host answering", self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/health", timeout=5).ok
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def refs(self, person: str) -> dict[str, str]:
        repository = self.root / person / f"{wire.WORKSPACE_REPOSITORY}.git"
        if not repository.exists():
            return {}
        done = subprocess.run(
            ["git", "--git-dir", str(repository), "for-each-ref", "--format=%(refname) %(objectname)"],
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split(" ") for line in done.stdout.splitlines())  # type: ignore[misc]

    def says(self, person: str, ref: str) -> str | None:
        """The word that the ref says, read with plain git."""
        repository = self.root / person / f"{wire.WORKSPACE_REPOSITORY}.git"
        done = subprocess.run(
            ["git", "--git-dir", str(repository), "log", "-1", "--format=%s", ref], capture_output=True, text=True
        )
        return done.stdout.strip() if done.returncode == 0 else None

    def live(self, person: str, workspace: str = "default") -> int:
        """The newest generation on the host."""
        start = f"{wire.REF_ROOT}/{workspace}/"
        return max(
            (int(r.removeprefix(start).split("/")[0]) for r in self.refs(person) if r.startswith(start)), default=0
        )


@dataclass
class Region:
    """One region: everything in it runs inside its namespace."""

    name: str
    address: str
    port: int
    place: Path
    namespace: Namespace
    catalogue: Path
    light: bool = True
    more: str = ""
    """Lines of Python behind its configuration."""
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    installed: Any = None

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    @property
    def log(self) -> Path:
        return self.place / "hub.log"

    def begin(self) -> None:
        """Start its hub, without waiting."""
        self.place.mkdir(parents=True, exist_ok=True)
        (self.place / "password").write_text(PASSWORD)
        Handover(
            data_dir=str(self.place),
            port=self.port,
            hub_port=18081,
            proxy_api_port=18001,
            user="ada",
            password_file=str(self.place / "password"),
            node=str(self.installed.node) if self.installed else "/nonexistent/node",
            code_server_entry=str(self.installed.code_server_entry) if self.installed else "/nonexistent/entry.js",
            proxy_command=list(self.installed.proxy_command) if self.installed else proxy_command(),
            workspaces_dir=str(self.place / "workspaces"),
            git_root=str(self.place / "git"),
        ).write(self.place / "handover.json")
        config = self.place / "jupyterhub_config.py"
        config.write_text(
            CONFIG.format(hub=self.url, light=self.light, python=sys.executable, module=LIGHT, more=self.more)
        )
        env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")} | {
            ENV_HANDOVER: str(self.place / "handover.json"),
            wire.ENV_REGIONS: str(self.catalogue),
            wire.ENV_REGION: self.name,
            wire.ENV_DATA_DIR: str(self.place),
            "PYTHONPATH": str(ROOT),
            **self.env,
        }
        with self.log.open("ab") as log:
            command = [*self.namespace.command, sys.executable, "-m", "jupyterhub", "-f", str(config)]
            self.process = subprocess.Popen(command, cwd=self.place, env=env, stdout=log, stderr=log)

    def await_ready(self) -> None:
        eventually(f"the hub of {self.name} answering", self.answers, 90)

    def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the hub of {self.name} ended:\n{self.log.read_text()[-5000:]}")
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/hub/region/health", timeout=5).ok
        return False

    def start(self) -> None:
        self.begin()
        self.await_ready()

    def kill(self) -> None:
        """SIGKILL for the whole region at once: hub, proxy, gateway, workspaces."""
        self.namespace.kill()
        if self.process is not None:
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(40)
        self.kill()

    def health(self, need: str = "") -> tuple[int, dict[str, Any]]:
        answer = requests.get(f"{self.url}/hub/region/health", params={"need": need} if need else {}, timeout=20)
        return answer.status_code, answer.json()

    def home(self, person: str, workspace: str = "default") -> Path:
        return self.place / "workspaces" / safe_name(person) / workspace

    def folder(self, person: str, workspace: str = "default") -> Path:
        return self.home(person, workspace) / "work"

    def status(self, person: str, workspace: str = "default") -> dict[str, Any]:
        """What the person's sync says."""
        with contextlib.suppress(OSError, ValueError):
            return dict(
                json.loads((self.home(person, workspace) / ".neuralinverse" / wire.SYNC_STATUS_FILE).read_bytes())
            )
        return {}

    def ready(self, person: str, workspace: str = "default") -> int:
        """The generation whose files are all in place; 0: none."""
        with contextlib.suppress(OSError, ValueError):
            return int((self.home(person, workspace) / ".neuralinverse" / "ready").read_text())
        return 0

    def runs(self, person: str, workspace: str = "default") -> bool:
        """Whether any process of the workspace is alive."""
        state = str(self.home(person, workspace) / ".neuralinverse").encode()
        for pid in self.namespace.pids():
            with contextlib.suppress(OSError):
                if wire.ENV_STATE.encode() + b"=" + state in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    return True
        return False


@dataclass
class Person:
    """Somebody with one browser, who may be logged in at several regions."""

    name: str
    world: World
    sessions: dict[str, requests.Session] = field(default_factory=dict)

    def log_in(self, region: Region) -> requests.Response:
        """Log in there; the answer is the page that it ends with."""
        session = self.sessions[region.name] = requests.Session()
        session.get(f"{region.url}/hub/login", timeout=30).raise_for_status()
        form = {"username": self.name, "password": PASSWORD, "_xsrf": self._xsrf(region)}
        # The page before the spawn: what a start takes is another test's matter.
        answer = session.post(f"{region.url}/hub/login?next=/hub/region", data=form, timeout=30)
        answer.raise_for_status()
        return answer

    def facts(self, region: Region, path: str = "region") -> dict[str, Any]:
        """What the page tells its script."""
        answer = self.sessions[region.name].get(f"{region.url}/hub/{path}", timeout=30)
        answer.raise_for_status()
        found = re.search(r'id="facts">(.*?)</script>', answer.text, re.S)
        assert found, answer.text
        return dict(json.loads(found[1]))

    def call(
        self, region: Region, path: str, body: Mapping[str, Any] | None = None, method: str = "POST"
    ) -> requests.Response:
        """A call as the page's script makes it."""
        return self.sessions[region.name].request(
            method,
            f"{region.url}/hub/{path}",
            json=body,
            headers={"X-XSRFToken": self.facts(region)["xsrf"]},
            timeout=60,
        )

    def start(self, region: Region, server: str = "", wait: bool = True) -> None:
        """Start the workspace there; return when its files are all in place and saved."""
        before = region.ready(self.name, server or "default")
        answer = self.call(region, self._api(server), {})
        assert answer.status_code in (201, 202), f"{answer.status_code} {answer.text}"
        if wait:
            self.await_protected(region, server, newer_than=before)

    def await_protected(self, region: Region, server: str = "", newer_than: int = 0) -> None:
        workspace = server or "default"

        def protected() -> bool:
            generation = region.ready(self.name, workspace)
            status = region.status(self.name, workspace)
            return (
                generation > newer_than
                and status.get("generation") == generation
                and status.get("state") == "protected"
            )

        try:
            eventually(f"{self.name}'s workspace in {region.name} restored and saved", protected, 60)
        except AssertionError as error:
            log = region.home(self.name, workspace) / "workspace.log"
            said = log.read_text()[-3000:] if log.exists() else "no log"
            raise AssertionError(
                f"{error}\n{region.status(self.name, workspace)}\n{said}\n{region.log.read_text()[-3000:]}"
            ) from error

    def stop(self, region: Region, server: str = "") -> None:
        answer = self.call(region, self._api(server), method="DELETE")
        assert answer.status_code in (202, 204), answer.text
        eventually("the workspace stopped", lambda: not region.runs(self.name, server or "default"), 60)

    def move(self, source: Region, target: Region, server: str = "") -> list[dict[str, Any]]:
        """The steps that the page shows."""
        answer = self.call(source, f"region/move?server={server}&to={target.name}")
        assert answer.ok, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def take(self, region: Region, since: Region | None, server: str = "") -> requests.Response:
        return self.call(region, "region/take", {"server": server, "from": since.name if since else None})

    def write(self, region: Region, path: str, content: str, workspace: str = "default") -> float:
        """Save a file; when it was saved, in seconds since 1970."""
        file = region.folder(self.name, workspace) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return time.time()

    def await_saved(self, region: Region, since_s: float, workspace: str = "default") -> None:
        """Until the status says that everything saved before ``since_s`` is on the git host."""
        from datetime import datetime

        def saved() -> bool:
            status = region.status(self.name, workspace)
            at = status.get("protected_at")
            return bool(at) and status.get("state") == "protected" and datetime.fromisoformat(at).timestamp() >= since_s

        eventually("what was saved being on the git host", saved, 30)

    def _api(self, server: str) -> str:
        name = quote(self.name, safe="")
        return f"api/users/{name}/servers/{server}" if server else f"api/users/{name}/server"

    def _xsrf(self, region: Region) -> str:
        cookies = self.sessions[region.name].cookies
        return next(cookie.value or "" for cookie in cookies if cookie.name == "_xsrf" and "/hub" in cookie.path)


@dataclass
class World:
    """All regions, what connects them, and the git host."""

    regions: dict[str, Region]
    git: GitHost
    wires: Wires

    def __getitem__(self, name: str) -> Region:
        return self.regions[name]

    def person(self, name: str, *regions: str) -> Person:
        """Somebody who is logged in at these regions."""
        person = Person(name, self)
        for region in regions:
            person.log_in(self.regions[region])
        return person


def wrong_clock(offset: str) -> dict[str, str]:
    """The environment of a program whose clock is off by ``+3d`` or ``-2h``; how time passes stays as it is."""
    import libfaketime

    (library,) = Path(libfaketime.__file__).parent.rglob("libfaketime.so.1")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@contextlib.contextmanager
def world(
    place: Path,
    names: tuple[str, ...],
    installed: Any = None,
    clocks: Mapping[str, str] | None = None,
    git_at: str = "",
    **options: Any,
) -> Iterator[World]:
    """Regions of these names, all of them up. ``options`` are fields of every `Region`; ``git_at`` is the one whose hub runs
    the git host.

    ``clocks`` says how wrong some regions' clocks are, and that of ``git``, as ``+3d`` or ``-2h``.
    """
    wrong = {name: wrong_clock(offset) for name, offset in (clocks or {}).items()}
    catalogue = place / "regions.json"
    port = free_port()
    git = GitHost(place, free_port(), catalogue, env=wrong.get("git", {}))
    addresses = {name: f"127.8.0.{number}" for number, name in enumerate(names, 1)}
    mirrors = options.pop("mirrors", False)
    rows = {}
    for name, address in addresses.items():
        hub = f"http://{address}:{port}"
        rows[name] = {"hub": hub} | ({"git_mirror": f"{hub}/services/git"} if mirrors and name != git_at else {})
    if git_at:
        git = GitHost(place / git_at, 0, catalogue, at=f"{rows[git_at]['hub']}/services/git")
    catalogue.write_text(json.dumps({"git": git.url, "regions": rows}))
    secret = os.urandom(16).hex()
    with contextlib.ExitStack() as stack:
        wires = Wires()
        stack.callback(wires.close)
        spaces = {name: stack.enter_context(Namespace.made(name)) for name in names}
        if not git_at:
            git.start()
        stack.callback(git.stop)
        here = Namespace()
        for name, address in addresses.items():
            # From us, where the browser and the git host are, into the region; and from it to the git host and others.
            wires.connect((name, "world"), (here, address, port), (spaces[name], address, port))
            if not git_at:
                wires.connect((name, "git"), (spaces[name], GIT_ADDRESS, git.port), (here, GIT_ADDRESS, git.port))
            for other, far in addresses.items():
                if other != name:
                    wires.connect((name, other), (spaces[name], far, port), (spaces[other], far, port))
        regions = {}
        for name, address in addresses.items():
            region = Region(name, address, port, place / name, spaces[name], catalogue, installed=installed, **options)
            if name in wrong:
                region.env, region.more = wrong[name], region.more + EVERYWHERE.format(variables=wrong[name])
            region.place.mkdir(parents=True)
            # One secret for all: private files are sealed with it, and have to open everywhere.
            (region.place / "sync_secret").write_text(secret)
            regions[name] = region
            stack.callback(region.stop)
            region.begin()
        for region in regions.values():
            region.await_ready()
        yield World(regions, git, wires)


def copy_tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder and its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
