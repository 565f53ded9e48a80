"""Ignored files and personal settings: kept, encrypted, brought back; never on the host in clear."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub import wire
from neuralinverse_hub.sync.errors import BadConfiguration
from neuralinverse_hub.sync.sealed import CannotOpen, SealedFile, Sealer
from tests.neuralinverse_hub.sync.rig import git, until

KEY = base64.b64encode(bytes(range(32))).decode()


def all_of_the_host(workspace):
    """Every object the host has, inflated."""
    repository = workspace.host.repository()
    ids = subprocess.run(
        ["git", "--git-dir", repository, "cat-file", "--batch-all-objects", "--batch"], capture_output=True, check=True
    )
    return ids.stdout


@given(st.dictionaries(st.from_regex(rb"work/[a-z\xff]{1,9}", fullmatch=True), st.binary(max_size=200), max_size=5))
def test_what_is_sealed_opens_again(files):
    sealer = Sealer(bytes(32), "default")
    sealed = {path: SealedFile(content, 0o640) for path, content in files.items()}
    assert sealer.open(sealer.seal(sealed)) == sealed


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_blob_that_was_changed_anywhere_does_not_open(where, what):
    sealer = Sealer(bytes(32), "default")
    blob = bytearray(sealer.seal({b"work/.env": SealedFile(b"SECRET=1")}))
    blob[where % len(blob)] ^= what
    with pytest.raises(CannotOpen):
        sealer.open(bytes(blob))


def test_another_key_or_workspace_does_not_open_it():
    blob = Sealer(bytes(32), "default").seal({b"work/.env": SealedFile(b"SECRET=1")})
    for other in (Sealer(bytes(31) + b"x", "default"), Sealer(bytes(32), "second")):
        with pytest.raises(CannotOpen):
            other.open(blob)


@pytest.mark.parametrize("text", ["short", base64.b64encode(bytes(31)).decode(), "not base64!"])
def test_a_bad_key_is_refused_without_repeating_it(text):
    with pytest.raises(BadConfiguration) as error:
        Sealer.from_text(text, "default", "THE_VARIABLE")
    assert "THE_VARIABLE" in str(error.value) and text not in str(error.value)


@pytest.fixture
def with_key(workspace):
    workspace.extra_env = {wire.ENV_SYNC_KEY: KEY, "HOME": str(workspace.place / "home")}
    (workspace.place / "home").mkdir()
    return workspace


def test_private_files_come_back_and_are_never_on_the_host_in_clear(with_key):
    workspace = with_key
    git(workspace.folder, "init", "-q")
    (workspace.folder / ".gitignore").write_text(".env*\nnode_modules/\nlocal/\n*.log\nbuild/\n")
    (workspace.folder / ".env").write_text("PASSWORD=kept-but-sealed\n")
    (workspace.folder / ".env").chmod(0o600)
    (workspace.folder / "local").mkdir()
    (workspace.folder / "local" / "settings.json").write_text('{"token": "kept-but-sealed"}\n')
    (workspace.folder / "node_modules").mkdir()
    (workspace.folder / "node_modules" / "x.js").write_text("made again")
    (workspace.folder / "run.log").write_text("made again")
    home, vscode = workspace.place / "home", workspace.state / "vscode"
    (home / ".bash_history").write_text("export PASSWORD=kept-but-sealed\n")
    (vscode / "User").mkdir(parents=True)
    (vscode / "User" / "settings.json").write_text('{"editor.fontSize": 17}\n')
    (vscode / "extensions").mkdir()
    (vscode / "extensions" / "extensions.json").write_text(
        json.dumps([{"identifier": {"id": "ms-python.python"}, "version": "1.2.3", "location": {"path": "/gone"}}])
    )
    workspace.start()
    assert {item["path"] for item in workspace.status()["not_protected"]} == {"node_modules", "run.log"}
    assert b"kept-but-sealed" not in all_of_the_host(workspace)

    workspace.lose()
    (home / ".bash_history").unlink()
    assert workspace.restore()["restored"]
    assert (workspace.folder / ".env").read_text() == "PASSWORD=kept-but-sealed\n"
    assert (workspace.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "kept-but-sealed" in (workspace.folder / "local" / "settings.json").read_text()
    assert "kept-but-sealed" in (home / ".bash_history").read_text()
    assert "17" in (vscode / "User" / "settings.json").read_text()
    assert json.loads((vscode / "extensions-wanted.json").read_text()) == ["ms-python.python@1.2.3"]
    assert not (workspace.folder / "node_modules").exists()
    assert not (workspace.folder / "=ni=").exists()
    workspace.start()
    workspace.lose()
    workspace.restore()
    assert json.loads((vscode / "extensions-wanted.json").read_text()) == ["ms-python.python@1.2.3"]


def test_a_changed_private_file_is_saved_too(with_key):
    workspace = with_key
    (workspace.folder / ".env").write_text("A=1\n")
    workspace.start()
    (workspace.folder / ".env").write_text("A=2\n")
    workspace.flush()
    workspace.lose()
    workspace.restore()
    assert (workspace.folder / ".env").read_text() == "A=2\n"


def test_without_a_key_private_files_are_listed_as_not_protected(workspace):
    workspace.extra_env = {"HOME": str(workspace.place)}
    (workspace.folder / ".env").write_text("A=1\n")
    (workspace.folder / ".env.example").write_text("A=\n")
    workspace.start()
    assert [item["path"] for item in workspace.status()["not_protected"]] == [".env"]
    assert "no key" in workspace.status()["not_protected"][0]["reason"]
    assert workspace.on_host(".env.example") == b"A=\n"


def test_a_lost_key_does_not_keep_the_rest_from_coming_back(with_key):
    workspace = with_key
    (workspace.folder / ".env").write_text("A=1\n")
    (workspace.folder / "a.txt").write_text("a\n")
    workspace.start()
    workspace.lose()
    workspace.extra_env = {wire.ENV_SYNC_KEY: base64.b64encode(bytes(32)).decode(), "HOME": str(workspace.place)}
    told = workspace.restore()
    assert told["restored"] and "cannot be opened" in told["note"]
    assert (workspace.folder / "a.txt").read_text() == "a\n"


def test_a_repository_in_an_ignored_folder_is_protected(workspace):
    git(workspace.folder, "init", "-q")
    (workspace.folder / ".gitignore").write_text("repos/\n")
    inner = workspace.folder / "repos" / "mine"
    inner.mkdir(parents=True)
    git(inner, "init", "-q")
    (inner / "work.txt").write_text("mine\n")
    workspace.start()
    assert workspace.on_host("repos/mine/work.txt") == b"mine\n"
    (inner / "work.txt").write_text("mine again\n")
    until(lambda: workspace.on_host("repos/mine/work.txt") == b"mine again\n", "the change on the host")
