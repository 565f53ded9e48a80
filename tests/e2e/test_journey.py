"""The main job, in order, as one person does it: log in, VS Code, AI in every place, lose nothing.

Against the real things: the hub that ``neuralinverse-hub up`` starts, code-server in Chromium, a notebook kernel, the
embedded Git host and the embedded model.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError
from playwright.sync_api import expect

from neuralinverse_hub import wire
from tests.e2e import pages
from tests.notebooks import run
from tests.one_machine import OneMachine, eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

DEMO = "SmolLM2-135M-Instruct"
ASKED = "Write a Python function validate_email(email) and unit tests"


def test_log_in_be_in_vscode_ask_ai_lose_nothing(one_machine: OneMachine, page: Any) -> None:
    # Somebody new at every attempt: what a first start does, it does once.
    machine = replace(one_machine, user=f"ada-{secrets.token_hex(3)}")

    # Log in. A wrong password says so and loses nothing.
    pages.log_in(page, machine, password="not the password")
    expect(page.locator(".login_error")).to_contain_text("Invalid username or password")
    pages.log_in(page, machine)

    # VS Code, the workspace folder open, the welcome file in it, the keyboard in the editor and not in the chat.
    pages.explorer_shows(page, "WELCOME.md")
    text = page.locator(".editor-instance .view-lines")
    expect(text).to_contain_text("Welcome to your workspace", timeout=60_000)
    expect(page.locator(".editor-instance .monaco-editor.focused")).to_be_visible()
    protected_item = page.locator(".statusbar-item").filter(has_text="Protected").first
    expect(protected_item).to_be_visible(timeout=30_000)
    screenshot(page, "workspace")
    page.keyboard.type("typed by a person ")
    expect(text).to_contain_text("typed by a person # Welcome")

    # What is typed is saved by itself, and what is saved is on the Git host, on refs that nobody's branch list shows.
    repository = machine.data_dir / "git" / machine.user / "workspaces.git"
    eventually("a repository on the host", repository.is_dir)
    eventually(
        "the typed words on the host", lambda: on_host(repository, "WELCOME.md", b"typed by a person # Welcome"), 60
    )
    assert all(name.startswith("refs/ni/") for name in refs(repository))
    expect(protected_item).to_be_visible(timeout=60_000)

    # AI in VS Code: on a selection, and the chat participant. Both name the model that really answered.
    page.locator(".editor-instance .view-lines").click()
    page.keyboard.press("Control+a")
    expect(pages.ask_selection(page, "What is this file?")).to_contain_text(DEMO, timeout=120_000)
    expect(pages.chat(page, "say hello")).to_contain_text(DEMO, timeout=120_000)
    screenshot(page, "chat")

    # AI in a notebook: no %load_ext, no key; streamed, named, and braces are only braces.
    environment, folder = machine.environment(), machine.folder()
    listed, coding, plain, braces = run(
        environment,
        folder,
        "%ai list",
        f"%%ai coding\n{ASKED}",
        "%%ai\nSay hello",
        "%%ai general\nWhat is {this} in f'{x!r}'?",
    )
    for name in ("reasoning", "coding", "general", "deepseek-r1", "llama-4", "mistral-large", DEMO):
        assert name in listed.text
    assert len(coding.pieces) > 2, "the answer came in one piece"
    for answer in (coding, plain, braces):
        assert DEMO in answer.pieces[-1][1]
    with pytest.raises(CellExecutionError, match="no-such-model"):
        run(environment, folder, "%%ai no-such-model\nhello")

    # AI in the JupyterLab chat, one click away from VS Code.
    assert environment[wire.ENV_LAB_URL] == f"{machine.url}/user/{machine.user}/lab"
    (folder / "first.chat").write_text("{}")
    with page.context.expect_page() as opened:
        page.locator(".statusbar-item").filter(has_text="JupyterLab").click()
    lab = opened.value
    lab.wait_for_url(f"{environment[wire.ENV_LAB_URL]}**")
    answer = pages.lab_chat(lab, f"{environment[wire.ENV_LAB_URL]}/tree/first.chat", "Say hello")
    expect(answer).to_contain_text(DEMO, timeout=120_000)
    screenshot(lab, "lab-chat")
    lab.close()

    # Work as people have it: a repository with a commit, staged, unstaged and untracked changes, and plain files.
    project = folder / "project"
    work_in(project)
    (folder / "notes with spaces é.txt").write_bytes(b"plain, outside of any repository\r\n")
    status_before = git(project, "status", "--porcelain=v2", "--branch")
    eventually("all of it protected", lambda: on_host(repository, "notes with spaces é.txt", b"plain"), 60)
    eventually("the state protected and quiet", lambda: protected(machine, quiet_s=3), 60)

    # Kill it all, delete its folder, start again.
    for process in machine.processes():
        process.send_signal(signal.SIGKILL)
    eventually("every process of the workspace gone", lambda: not machine.processes())
    before = everything(folder)
    shutil.rmtree(machine.home())
    pages.come_back(page, f"{machine.url}/user/{machine.user}/vscode/")
    pages.explorer_shows(page, "project")
    eventually("the ready file", (machine.home() / ".neuralinverse" / "ready").exists)
    after = everything(folder)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    assert git(project, "status", "--porcelain=v2", "--branch") == status_before
    assert git(project, "stash", "list").count("stash@") == 1
    screenshot(page, "restored")


def work_in(project: Path) -> None:
    """A repository in the middle of somebody's work."""
    project.mkdir()
    git(project, "init", "--quiet", "--initial-branch=main")
    (project / "kept.py").write_text("one = 1\n")
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)
    (project / "link").symlink_to("kept.py")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "first")
    git(project, "branch", "never-pushed")
    (project / "kept.py").write_text("one = 'stashed'\n")
    git(project, "stash", "--quiet")
    (project / "kept.py").write_text("one = 'staged'\n")
    git(project, "add", "kept.py")
    (project / "kept.py").write_text("one = 'edited after that'\n")
    (project / "untracked.md").write_text("never added\n")


def git(folder: Path, *arguments: str) -> str:
    identity = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    identity |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **identity}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(folder: Path) -> dict[str, object]:
    """Every file outside of ``.git``: its bytes, whether it is executable, its link target."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if ".git" in relative.parts or ".ipynb_checkpoints" in relative.parts:
            continue
        if path.is_symlink():
            found[str(relative)] = os.readlink(path)
        elif path.is_file():
            found[str(relative)] = (path.stat().st_mode & 0o100, path.read_bytes())
    return found


def refs(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname)").split()


def on_host(repository: Path, name: str, words: bytes) -> bool:
    """Whether some snapshot on the host has ``words`` in the file ``name``."""
    for ref in refs(repository):
        done = subprocess.run(["git", "-C", repository, "cat-file", "blob", f"{ref}:{name}"], capture_output=True)
        if words in done.stdout:
            return True
    return False


def protected(machine: OneMachine, quiet_s: float) -> bool:
    """Whether all is on the host and nobody, the Lab's autosave included, has written for ``quiet_s`` seconds."""
    status = json.loads((machine.home() / ".neuralinverse" / wire.SYNC_STATUS_FILE).read_bytes())
    newest = max(path.lstat().st_mtime for path in machine.folder().rglob("*"))
    return bool(status["state"] == "protected" and status["pending"] == 0 and time.time() - newest > quiet_s)


def screenshot(page: Any, name: str) -> None:
    """Kept in tests/output/; the one of the README is copied from there."""
    output = Path(__file__).parents[1] / "output"
    output.mkdir(exist_ok=True)
    page.screenshot(path=output / f"journey-{name}.png")
