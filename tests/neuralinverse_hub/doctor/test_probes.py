"""The probes against real servers, and the command as somebody runs it."""

from __future__ import annotations

import email.utils
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.doctor import probes
from tests.neuralinverse_hub.githost.gitea import Repo, StandInGitea, git


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[tuple[Repo, dict[str, str]]]:
    """A repository on a git host, and the environment of a workspace that may push to it."""
    host = StandInGitea(tmp_path / "gitea").start()
    user = host.add_user("ada", "her own password")
    token = host.add_token(user, "t", ["write:repository"])
    made = host.add_repo("ada", "workspaces")
    remote = f"{host.url}/ada/workspaces.git"
    yield made, {wire.ENV_GIT_REMOTE: remote, wire.ENV_GIT_USER: "ada", wire.ENV_GIT_TOKEN: token.secret}
    host.stop()


def test_a_git_host_that_takes_our_refs_is_fine_and_keeps_nothing(repo: tuple[Repo, dict[str, str]]) -> None:
    made, environ = repo
    assert probes.git_refusal(environ) == ""
    assert made.refs() == {}


def test_a_git_host_that_hides_our_refs_from_pushes_is_found(repo: tuple[Repo, dict[str, str]]) -> None:
    made, environ = repo
    git("--git-dir", str(made.path), "config", "receive.hideRefs", "refs/ni")
    assert "hidden ref" in (probes.git_refusal(environ) or "")


def test_a_git_host_that_hides_our_refs_from_readers_is_found(repo: tuple[Repo, dict[str, str]]) -> None:
    made, environ = repo
    git("--git-dir", str(made.path), "config", "uploadpack.hideRefs", "refs/ni")
    assert "does not show it" in (probes.git_refusal(environ) or "")


def test_outside_a_workspace_no_git_host_is_asked() -> None:
    assert probes.git_refusal({}) is None


def test_inotify_limits_are_read_where_there_are_any(tmp_path: Path) -> None:
    (tmp_path / "max_user_watches").write_text("8192\n")
    assert probes.inotify("max_user_watches", tmp_path) == 8192
    assert probes.inotify("max_user_instances", tmp_path) is None


class Hub(BaseHTTPRequestHandler):
    """Answers as a hub whose clock is behind, to a token without the gateway's scope."""

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == "token t0ken"
        self.send_response_only(200 if known else 403)
        self.send_header("Date", email.utils.formatdate(time.time() - 100, usegmt=True))
        self.end_headers()
        self.wfile.write(b'{"kind": "user", "scopes": ["self"]}' if known else b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hub/api"
    server.shutdown()
    server.server_close()


def doctor(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neuralinverse_hub.cli", "doctor", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_finds_a_wrong_clock_and_a_missing_scope(hub: str) -> None:
    done = doctor("--json", "--url", "https://hub.example.org", JUPYTERHUB_API_URL=hub, JUPYTERHUB_API_TOKEN="t0ken")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert {"clock-skew", "gateway-scope-missing"} <= {each["name"] for each in said["findings"]}
    assert 95 < said["facts"]["clock_skew_s"] < 105
    assert "t0ken" not in done.stdout


def test_the_command_says_how_to_mend_and_uses_no_colours_in_a_pipe() -> None:
    done = doctor("--url", "http://127.0.0.2:1")
    assert done.returncode == 0 and "\033[" not in done.stdout and "not looked at" in done.stdout
    done = doctor("--url", "http://hub.invalid")
    assert done.returncode == 1 and "Mend it:" in done.stdout and "[no-https]" in done.stdout


def test_a_cluster_that_cannot_be_reached_is_said_and_is_no_fault(tmp_path: Path) -> None:
    done = doctor("--namespace", "hub", KUBECONFIG=str(tmp_path / "none"))
    assert "not looked at: cluster:" in done.stdout and "Traceback" not in done.stderr
