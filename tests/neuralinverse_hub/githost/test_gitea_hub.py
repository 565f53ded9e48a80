"""A real hub with Gitea: people log in there, and what they save in a workspace is in their own repository there."""

from __future__ import annotations

import contextlib
import html
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from neuralinverse_hub import wire
from neuralinverse_hub.githost.provisioning import DESCRIPTION
from neuralinverse_hub.local.ports import free_port
from neuralinverse_hub.sync.credentials import git_environment
from tests.neuralinverse_hub.githost.gitea import StandInGitea, git
from tests.one_machine import eventually

pytestmark = pytest.mark.hub

CONFIG = """
import sys
from neuralinverse_hub.hub_config import configure

c.JupyterHub.bind_url = c.JupyterHub.public_url = "{url}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.spawner_class = "neuralinverse-local"
c.JupyterHub.cleanup_servers = True
c.ConfigurableHTTPProxy.command = [sys.executable, "-c", "from configurable_http_proxy.cli import main; main()"]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "proxy.pid"
c.LocalWorkspaceSpawner.workspaces_dir = "workspaces"
c.NeuralInverseHub.git_host = "gitea"
c.NeuralInverseHub.git_url = "{gitea}"
c.NeuralInverseHub.login = "gitea"
configure(c)
"""


@dataclass
class Hub:
    """The hub's process, and what a test may look at."""

    folder: Path
    gitea: StandInGitea
    url: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        config = CONFIG.format(url=self.url, hub_port=free_port(), proxy_port=free_port(), gitea=self.gitea.url)
        (self.folder / "jupyterhub_config.py").write_text(config)
        environment = {
            "NEURALINVERSE_GIT_ADMIN": "provisioner",
            "NEURALINVERSE_GIT_ADMIN_PASSWORD": "of the provisioner 1",
        }
        with (self.folder / "hub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )
        eventually("the hub serving", self._serves, 60)

    def _serves(self) -> bool:
        assert self.process and self.process.poll() is None, self.log()
        with contextlib.suppress(OSError):
            return requests.get(f"{self.url}/hub/health", timeout=5).ok
        return False

    def stop(self) -> None:
        assert self.process
        self.process.terminate()
        self.process.wait(60)

    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    def home(self, person: str) -> Path:
        return self.folder / "workspaces" / person / "default"

    def environment(self, person: str) -> dict[str, str]:
        state = str(self.home(person) / ".neuralinverse")
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(wire.ENV_STATE) == state:
                    return process.environ()
        raise AssertionError(f"no workspace of {person} runs")


@dataclass
class Person:
    """Somebody with an account on Gitea, in a browser profile of their own."""

    hub: Hub
    name: str
    password: str
    session: requests.Session = field(default_factory=requests.Session)

    def log_in(self) -> requests.Response:
        """From the hub's login button through Gitea's form and back."""
        form = self.session.get(f"{self.hub.url}/hub/oauth_login?next=/hub/home", timeout=30)
        assert form.url.startswith(f"{self.hub.gitea.url}/user/login"), form.url
        back = re.search(r'name="redirect_to" value="([^"]*)"', form.text)
        assert back
        data = {"redirect_to": html.unescape(back[1]), "user_name": self.name, "password": self.password}
        return self.session.post(f"{self.hub.gitea.url}/user/login", data=data, timeout=30)

    @property
    def hub_name(self) -> str:
        return self.name.lower()

    def start(self) -> None:
        answer = self.session.get(f"{self.hub.url}/hub/spawn/{self.hub_name}", timeout=60)
        # Where there is a choice of sizes, the first one.
        if "/hub/spawn/" in answer.url and 'name="_xsrf"' in answer.text:
            self.session.post(f"{self.hub.url}/hub/spawn/{self.hub_name}", data={"_xsrf": self._xsrf()}, timeout=60)
        eventually(f"the workspace of {self.name}", self.answers, 90)

    def answers(self) -> bool:
        answer = self.session.get(f"{self.hub.url}/user/{self.hub_name}/lab", timeout=30)
        return answer.ok and f"/user/{self.hub_name}/lab" in answer.url

    def stop(self) -> None:
        url = f"{self.hub.url}/hub/api/users/{self.hub_name}/server"
        self.session.delete(url, headers={"X-XSRFToken": self._xsrf()}, timeout=60).raise_for_status()
        api = f"{self.hub.url}/hub/api/users/{self.hub_name}"
        eventually("the workspace stopped", lambda: not self.session.get(api, timeout=30).json()["servers"], 60)

    def _xsrf(self) -> str:
        return next(c.value or "" for c in self.session.cookies if c.name == "_xsrf" and "/hub" in c.path)


@pytest.fixture(scope="module")
def gitea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInGitea]:
    running = StandInGitea(tmp_path_factory.mktemp("gitea")).start()
    running.add_user("Ada", "her own password")
    # Somebody whose work is there already when the hub starts.
    running.add_user("kim", "another password")
    running.add_repo("kim", "workspaces", DESCRIPTION, readme=True)
    yield running
    running.stop()
    assert running.misuse == []


@pytest.fixture(scope="module")
def hub(gitea: StandInGitea, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    running = Hub(tmp_path_factory.mktemp("hub") / "srv", gitea)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def ada(hub: Hub) -> Person:
    person = Person(hub, "Ada", "her own password")
    assert person.log_in().ok
    return person


def snapshot(gitea: StandInGitea, repository: str, name: str) -> str | None:
    """The file as the newest snapshot in the repository on the host has it."""
    repo = gitea.repos[repository]
    for ref in sorted(repo.refs(), reverse=True):
        if ref.endswith("/snap"):
            with contextlib.suppress(subprocess.CalledProcessError):
                return git("--git-dir", str(repo.path), "show", f"{ref}:{name}")
    return None


def test_a_wrong_password_on_gitea_is_no_way_in(hub: Hub) -> None:
    stranger = Person(hub, "Ada", "guessed")
    answer = stranger.log_in()
    assert "incorrect" in answer.text
    assert stranger.session.get(f"{hub.url}/hub/api/user", timeout=30).status_code == 403


def test_the_account_on_gitea_is_the_account_on_the_hub(ada: Person) -> None:
    model = ada.session.get(f"{ada.hub.url}/hub/api/user", headers={"X-XSRFToken": ada._xsrf()}, timeout=30).json()
    assert model["name"] == "ada" and not model["admin"]


def test_the_hub_registers_itself_once_and_keeps_its_secret_private(hub: Hub, gitea: StandInGitea) -> None:
    (application,) = gitea.applications.values()
    assert application["redirect_uris"] == [f"{hub.url}/hub/oauth_callback"]
    assert (hub.folder / "oauth_client.json").stat().st_mode & 0o777 == 0o600
    assert application["client_secret"] not in hub.log()


def test_what_repositories_hold_is_in_the_ledger(hub: Hub, gitea: StandInGitea) -> None:
    def rows() -> list[tuple[str, int]]:
        with contextlib.closing(sqlite3.connect(hub.folder / "economics.sqlite")) as ledger:
            return ledger.execute("SELECT person, amount FROM volume WHERE kind = 'storage'").fetchall()

    ((person, amount),) = eventually("what is held", rows)
    assert (person, amount) == ("kim", gitea.repos["kim/workspaces"].size * 1024)
    assert "[cron.git_gc_repos]" in hub.log() and gitea.admin.password not in hub.log()


def test_what_is_saved_is_in_the_persons_repository_and_comes_back(ada: Person, gitea: StandInGitea) -> None:
    ada.start()
    folder = ada.hub.home("ada") / "work"
    eventually("the welcome file", (folder / "WELCOME.md").exists)
    (folder / "thesis.txt").write_text("first words")
    eventually("the file on the host", lambda: snapshot(gitea, "ada/workspaces", "thesis.txt") == "first words")
    (token,) = gitea.users["ada"].tokens
    environment = ada.hub.environment("ada")
    assert environment[wire.ENV_GIT_TOKEN] == token.secret and token.scopes == ["write:repository"]
    assert gitea.admin.password not in environment.values()
    (folder / "thesis.txt").write_text("last words before the end")
    ada.stop()
    assert gitea.users["ada"].tokens == [], "a stop takes the credential away"
    assert snapshot(gitea, "ada/workspaces", "thesis.txt") == "last words before the end"
    shutil.rmtree(ada.hub.home("ada"))
    ada.start()
    eventually("the file restored", (folder / "thesis.txt").exists)
    assert (folder / "thesis.txt").read_text() == "last words before the end"


def test_a_person_clones_with_the_password_of_their_account(ada: Person, gitea: StandInGitea, tmp_path: Path) -> None:
    remote = f"{gitea.url.replace('://', '://Ada:her%20own%20password@')}/ada/workspaces.git"
    git("clone", "--quiet", remote, str(tmp_path / "clone"))
    assert "refs/ni" in (tmp_path / "clone" / "README.md").read_text()
    refused = subprocess.run(
        ["git", "clone", "--quiet", remote.replace("her%20own", "guessed"), str(tmp_path / "other")],
        capture_output=True,
        env={"GIT_TERMINAL_PROMPT": "0", "PATH": "/usr/bin:/bin"},
    )
    assert refused.returncode != 0


def renew(hub: Hub, environment: dict[str, str], **model: Any) -> requests.Response:
    return requests.post(
        f"{hub.url}/hub/api/git-access/ada/",
        headers={"Authorization": f"token {environment[wire.ENV_TOKEN]}"},
        json={"generation": int(environment[wire.ENV_GENERATION]), **model},
        timeout=30,
    )


def test_a_workspace_whose_credential_was_deleted_gets_another(ada: Person, gitea: StandInGitea) -> None:
    if not gitea.users["ada"].tokens:
        ada.start()
    environment = ada.hub.environment("ada")
    before = gitea.users["ada"].tokens
    gitea.users["ada"].tokens = []
    answer = renew(ada.hub, environment)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    (token,) = gitea.users["ada"].tokens
    assert answer.json() == {"user": "Ada", "token": token.secret} and token not in before


def test_sync_and_git_go_on_after_all_credentials_were_deleted(ada: Person, gitea: StandInGitea) -> None:
    home = ada.hub.home("ada")
    gitea.users["ada"].tokens = []
    (home / "work" / "after.txt").write_text("saved after the rotation")
    eventually(
        "the file on the host",
        lambda: snapshot(gitea, "ada/workspaces", "after.txt") == "saved after the rotation",
    )
    (file,) = (home / ".neuralinverse").glob("git-access.*")
    assert file.stat().st_mode & 0o777 == 0o600
    # As in a terminal of the workspace, where git asks the helper that the agent has configured.
    environment = ada.hub.environment("ada") | git_environment(ada.hub.environment("ada"))
    remote = environment[wire.ENV_GIT_REMOTE]
    seen = subprocess.run(["git", "ls-remote", remote], env=environment, capture_output=True, text=True, timeout=30)
    assert seen.returncode == 0 and "refs/heads/main" in seen.stdout, seen.stderr


def test_nobody_else_gets_a_persons_credential(ada: Person, gitea: StandInGitea) -> None:
    environment = ada.hub.environment("ada")
    tokens = list(gitea.users["ada"].tokens)
    url = f"{ada.hub.url}/hub/api/git-access/ada/"
    assert requests.post(url, json={"generation": 0}, timeout=30).status_code == 403
    gitea.add_user("mallory", "of mallory 12")
    mallory = Person(ada.hub, "mallory", "of mallory 12")
    assert mallory.log_in().ok
    asked = {"generation": int(environment[wire.ENV_GENERATION])}
    refused = mallory.session.post(url, json=asked, headers={"X-XSRFToken": mallory._xsrf()}, timeout=30)
    assert refused.status_code in (403, 404)
    token = {"Authorization": f"token {environment[wire.ENV_TOKEN]}"}
    others = url.replace("/ada/", "/mallory/")
    assert requests.post(others, json=asked, headers=token, timeout=30).status_code in (403, 404)
    assert gitea.users["ada"].tokens == tokens


def test_a_start_that_was_superseded_gets_no_credential(ada: Person) -> None:
    assert renew(ada.hub, ada.hub.environment("ada"), generation=1).status_code == 409


def test_gitea_away_at_a_start_is_said_and_passes_by_itself(hub: Hub, gitea: StandInGitea, ada: Person) -> None:
    gitea.add_user("grace", "of grace 1234")
    grace = Person(hub, "grace", "of grace 1234")
    assert grace.log_in().ok
    gitea.stop()
    try:
        grace.session.get(f"{hub.url}/hub/spawn/grace", timeout=60)
        page = f"{hub.url}/hub/spawn-pending/grace"
        said = "The Git host that keeps your work does not answer"

        def shown() -> bool:
            progress = grace.session.get(f"{hub.url}/hub/api/users/grace/server/progress", timeout=60)
            return said in progress.text or said in grace.session.get(page, timeout=60).text

        eventually("the reason on the hub's page", shown, 60)
    finally:
        gitea.start()
    assert gitea.url in hub.log(), "the log names the address"
    grace.start()
    assert [token.name.split(".")[1] for token in gitea.users["grace"].tokens] == ["default"]
    grace.stop()


def test_a_hub_that_starts_before_gitea_waits_for_it_and_keeps_its_registration(hub: Hub, gitea: StandInGitea) -> None:
    hub.stop()
    gitea.stop()
    starting = threading.Thread(target=hub.start)
    starting.start()
    eventually("the hub waiting", lambda: "Waiting for it, to register the hub there" in hub.log())
    gitea.start()
    starting.join(60)
    assert len(gitea.applications) == 1
    assert Person(hub, "Ada", "her own password").log_in().ok
