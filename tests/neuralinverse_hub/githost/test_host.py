"""The embedded git host, from outside: real git clients over real HTTP."""

from __future__ import annotations

import asyncio
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from neuralinverse_hub.githost.repositories import Repositories
from tests.neuralinverse_hub.sync.rig import git


def get(url, token=None, basic=False):
    request = urllib.request.Request(url)
    if token is not None and basic:
        import base64

        request.add_header("Authorization", "Basic " + base64.b64encode(f"x:{token}".encode()).decode())
    elif token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def address(host, path, token="ada-token"):
    return host.base.replace("http://", f"http://anyone:{token}@") + path


def test_health_needs_no_token(host):
    assert get(f"{host.base}/health")[0] == 200


def test_a_person_pushes_and_clones_ordinary_branches(host, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    (source / "a.txt").write_text("a\n")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "first")
    git(source, "push", "-q", address(host, "/ada/notes.git"), "main")
    git(tmp_path, "clone", "-q", address(host, "/ada/notes.git"), "copy")
    assert (tmp_path / "copy" / "a.txt").read_text() == "a\n"


def test_a_large_push_passes_through_without_being_held_in_memory(host, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    git(source, "config", "core.compression", "0")
    (source / "large.bin").write_bytes(os.urandom(60 << 20))
    git(source, "add", "-A")
    git(source, "commit", "-qm", "large")
    git(source, "push", "-q", address(host, "/ada/large.git"), "main")
    with open(f"/proc/{host.process.pid}/status") as status:
        peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak_kb < 60 << 10


@pytest.mark.parametrize(
    ("path", "token", "status", "said"),
    [
        ("/ada/notes.git/info/refs?service=git-upload-pack", None, 401, "token as the password"),
        ("/ada/notes.git/info/refs?service=git-upload-pack", "wrong", 401, "does not know this token"),
        ("/ada/notes.git/info/refs?service=git-upload-pack", "weak-token", 403, "access:services!service=git"),
        ("/ada/notes.git/info/refs?service=git-upload-pack", "service-token", 403, "belongs to a service"),
        ("/bob/notes.git/info/refs?service=git-upload-pack", "ada-token", 403, "does not reach"),
        ("/ada/notes.git/config", "ada-token", 404, "There is nothing at"),
        ("/ada/notes.git/objects/info/packs", "ada-token", 404, "There is nothing at"),
        ("/ada/..%2f..%2fetc.git/info/refs?service=git-upload-pack", "ada-token", 404, "not a possible repository"),
        ("/ada/.hooks.git/info/refs?service=git-upload-pack", "ada-token", 404, "not a possible repository"),
        ("/", "ada-token", 404, "There is nothing at"),
    ],
)
def test_what_is_refused_says_so_in_one_sentence(host, path, token, status, said):
    code, text = get(host.base + path, token)
    assert code == status
    assert said in text
    assert len(text.strip().splitlines()) == 1


def test_a_name_with_dots_stays_below_the_root(host):
    code, _ = get(f"{host.base}/..%2fada/x.git/info/refs?service=git-upload-pack", "odd-token")
    assert code == 200
    assert not (host.root.parent / "ada").exists()
    assert [entry.name for entry in host.root.iterdir() if entry.name != ".hooks"] == ["%2E%2E%2Fada"]


def test_raw_dots_in_the_path_reach_nothing(host):
    get(f"{host.base}/ada/notes.git/info/refs?service=git-upload-pack", "ada-token")
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=10)
    connection.putrequest("GET", "/services/git/ada/notes.git/../../../ada/notes.git/HEAD")
    connection.putheader("Authorization", "Bearer ada-token")
    connection.endheaders()
    assert connection.getresponse().status == 404
    connection.close()


def test_a_token_is_asked_for_once_a_minute_only(host, tokens):
    for _ in range(5):
        assert get(f"{host.base}/ada/notes.git/info/refs?service=git-upload-pack", "ada-token", basic=True)[0] == 200
    assert tokens.asked == 1


def test_a_damaged_object_is_refused(host, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main")
    tree = git(source, "hash-object", "-t", "tree", "-w", "/dev/null").strip()
    (tmp_path / "bad").write_text(f"tree {tree}\nauthor nobody\ncommitter nobody\n\nbad\n")
    bad = git(source, "hash-object", "-t", "commit", "-w", "--literally", str(tmp_path / "bad")).strip()
    git(source, "update-ref", "refs/heads/main", bad)
    assert git(source, "push", "-q", address(host, "/ada/bad.git"), "main", check=False) == ""
    assert git(host.repository(name="bad"), "for-each-ref") == ""


def make_commits(folder):
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    git(folder, "commit", "-q", "--allow-empty", "-m", "two")


def test_an_older_generation_may_not_write_but_may_be_deleted(host, tmp_path):
    source = tmp_path / "source"
    make_commits(source)
    url = address(host, "/ada/workspaces.git")
    git(source, "push", "-q", url, "HEAD:refs/ni/default/9/snap")
    git(source, "push", "-q", url, "HEAD:refs/ni/default/10/claim")
    git(source, "push", "-q", url, "HEAD:refs/ni/other/1/snap")
    repository = host.repository()
    before = git(repository, "for-each-ref")
    git(source, "push", "-q", "-f", url, "HEAD~:refs/ni/default/9/snap", check=False)
    git(source, "push", "-q", url, "HEAD:refs/ni/default/8/snap", check=False)
    git(source, "push", "-q", url, "HEAD:refs/ni/default/new/snap", check=False)
    git(source, "push", "-q", url, "HEAD:refs/ni/default", check=False)
    assert git(repository, "for-each-ref") == before
    git(source, "push", "-q", url, ":refs/ni/default/9/snap")
    assert "default/9/snap" not in git(repository, "for-each-ref")


def test_snapshot_refs_stay_out_of_clones(host, tmp_path):
    source = tmp_path / "source"
    make_commits(source)
    url = address(host, "/ada/workspaces.git")
    git(source, "push", "-q", url, "HEAD~:refs/heads/main", "HEAD:refs/ni/default/1/snap")
    git(tmp_path, "clone", "-q", url, "copy")
    assert "refs/ni" not in git(tmp_path / "copy", "for-each-ref")
    assert "two" not in git(tmp_path / "copy", "log", "--all", "--format=%s")


def test_a_new_repository_has_every_setting_wherever_it_lies(tmp_path):
    repositories = Repositories(tmp_path / 'odd "name\\')
    repositories.prepare()
    path = asyncio.run(repositories.open("ada", "notes"))
    settings = git(path, "config", "--local", "--list")
    for expected in ("receive.fsckobjects=true", "uploadpack.allowfilter=true", "core.bare=true"):
        assert expected in settings
    assert Path(git(path, "config", "core.hooksPath").strip(), "pre-receive").is_file()


def test_an_unusable_root_is_said_in_one_sentence(tmp_path):
    import subprocess
    import sys

    (tmp_path / "file").write_text("")
    env = dict(os.environ) | {
        "NEURALINVERSE_GIT_ROOT": str(tmp_path / "file" / "root"),
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "neuralinverse_hub.githost"], env=env, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "cannot be kept in" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_hub_alone_reaches_nobodys_repositories_and_any_user_name_will_do(host, tokens):
    tokens.tokens["hub"] = {"kind": "service", "name": "regions", "scopes": ["access:services!service=git"]}
    refs = f"{host.base}/ada/workspaces.git/info/refs?service=git-upload-pack"
    status, said = get(refs, "hub", basic=True)
    assert status == 403 and "belongs to a service" in said
    assert get(refs, "ada-token", basic=True)[0] == 200
