"""Signing in on hosts that have accounts of their own, for the sync and for the person's own git."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.sync.credentials import Credentials, git_environment
from neuralinverse_hub.sync.errors import BadConfiguration
from tests.neuralinverse_hub.sync.rig import PlainHost, Workspace, git, picture, until

OWN = {wire.ENV_GIT_USER: "ada.git", wire.ENV_GIT_TOKEN: "host-secret"}


@pytest.fixture
def plain(tmp_path):
    running = PlainHost(tmp_path / "plain")
    yield running
    running.stop()


@pytest.fixture
def on_plain(tmp_path, plain):
    made = Workspace(tmp_path / "p", plain)
    made.extra_env = {**OWN, wire.ENV_GIT_REMOTE: f"{plain.base}/ada/{wire.WORKSPACE_REPOSITORY}.git"}
    yield made
    made.kill()


def test_the_hosts_own_account_comes_before_the_hub_token():
    assert Credentials.from_env({wire.ENV_TOKEN: "t"}) == Credentials("workspace", "t")
    assert Credentials.from_env({wire.ENV_TOKEN: "t", **OWN}) == Credentials("ada.git", "host-secret")
    assert Credentials.from_env({wire.ENV_GIT_TOKEN: "s"}) == Credentials("workspace", "s")
    assert "host-secret" not in repr(Credentials.from_env(OWN))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, wire.ENV_TOKEN),
        ({wire.ENV_GIT_USER: "ada", wire.ENV_TOKEN: "t"}, wire.ENV_GIT_TOKEN),
        ({wire.ENV_GIT_USER: "a:b", wire.ENV_GIT_TOKEN: "t"}, "no ':'"),
    ],
)
def test_credentials_that_cannot_work_are_refused_with_the_name_of_the_variable(given, said):
    with pytest.raises(BadConfiguration, match=said):
        Credentials.from_env(given)


def test_work_is_saved_and_comes_back_on_a_host_with_accounts_of_its_own_and_without_hooks(on_plain, plain):
    (on_plain.folder / "a.txt").write_text("one\n")
    on_plain.start()
    (on_plain.folder / "a.txt").write_text("two\n")
    on_plain.flush()
    before = picture(on_plain.folder)
    on_plain.lose()
    assert on_plain.restore()["from_generation"] == 1
    assert picture(on_plain.folder) == before
    on_plain.start()
    until(lambda: "ni/default/1/" not in git(plain.repository(), "for-each-ref"), "the older generation cleared away")
    assert on_plain.end() == 0
    assert plain.refused == 0
    assert "host-secret" not in on_plain.log() + json.dumps(on_plain.status())


def test_credentials_that_the_host_withdraws_are_said_and_saving_goes_on_once_they_are_back(on_plain, plain):
    on_plain.start()
    accounts, plain.accounts = plain.accounts, set()
    (on_plain.folder / "a.txt").write_text("a\n")
    until(lambda: on_plain.status_is("behind"), "the status to say behind")
    assert "credentials may have expired" in on_plain.status()["error"] and on_plain.status()["pending"] == 1
    plain.accounts = accounts
    until(lambda: on_plain.on_host("a.txt") == b"a\n", "the file once the account is back", 60)


@pytest.mark.parametrize("own", [True, False], ids=["account of the host", "hub token"])
def test_the_persons_own_git_signs_in_by_itself_and_elsewhere_sends_nothing(tmp_path, own):
    account = ("ada.git", "host-secret") if own else ("workspace", "hub-secret")
    plain, other = PlainHost(tmp_path / "plain", account), PlainHost(tmp_path / "other", account)
    given = {
        wire.ENV_TOKEN: "hub-secret",
        wire.ENV_GIT_REMOTE: f"{plain.base}/ada/{wire.WORKSPACE_REPOSITORY}.git",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "demo.key",
        "GIT_CONFIG_VALUE_0": "kept",
        **(OWN if own else {}),
    }
    environment = given | git_environment(given)
    try:
        git(tmp_path, "clone", "-q", f"{plain.base}/ada/project.git", "clone", **environment)
        clone = tmp_path / "clone"
        git(clone, "commit", "-q", "--allow-empty", "-m", "one", **environment)
        git(clone, "push", "-q", "origin", "HEAD:main", **environment)
        assert git(plain.repository(name="project"), "log", "--format=%s", "main") == "one\n"
        assert git(clone, "config", "demo.key", **environment) == "kept\n"
        elsewhere = subprocess.run(
            ["git", "ls-remote", f"{other.base}/ada/project.git"],
            env=dict(os.environ) | environment | {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
        )
        assert elsewhere.returncode != 0 and other.refused
        assert "secret" not in "".join(git_environment(given).values())
    finally:
        plain.stop()
        other.stop()


def test_a_standby_takes_its_environment_from_a_line_of_input_and_says_when_the_folder_is_whole(workspace):
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    workspace.lose()
    own = {name: value for name, value in workspace.env.items() if value != os.environ.get(name)}
    with (workspace.place / "daemon.log").open("ab") as log:
        workspace.daemon = subprocess.Popen(
            [sys.executable, "-m", "neuralinverse_hub.sync", "run", "--standby"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert workspace.daemon.stdin and workspace.daemon.stdout
    workspace.daemon.stdin.write(json.dumps(own).encode() + b"\n")
    workspace.daemon.stdin.close()
    with workspace.daemon.stdout as told:
        result = json.loads(told.readline())
    assert result["restored"] and result["files"] == 1
    assert (workspace.folder / "a.txt").read_text() == "a\n"
    (workspace.folder / "a.txt").write_text("b\n")
    until(lambda: workspace.on_host("a.txt") == b"b\n", f"the standby to protect the folder: {workspace.log()}")
    assert workspace.end() == 0


def test_a_standby_that_is_not_needed_ends_quietly_and_nonsense_is_said():
    command = [sys.executable, "-m", "neuralinverse_hub.sync", "run", "--standby"]
    unused = subprocess.run(command, input="", capture_output=True, text=True)
    assert (unused.returncode, unused.stdout, unused.stderr) == (0, "", "")
    for nonsense in ("{\n", "[1]\n"):
        done = subprocess.run(command, input=nonsense, capture_output=True, text=True)
        assert done.returncode == 1 and "one JSON object" in done.stderr
