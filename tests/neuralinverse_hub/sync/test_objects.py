"""Object formats, against git itself."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.sync import objects
from neuralinverse_hub.sync.pack import ChangedWhileRead, Pack

file_names = st.binary(min_size=1, max_size=20).filter(
    lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b"..")
)


@given(file_names)
def test_a_stored_name_gives_its_real_name_back(name):
    assert objects.real_name(objects.stored_name(name)) == name


@given(file_names)
def test_no_name_is_stored_as_the_place_of_our_own(name):
    assert objects.stored_name(name) != objects.ESCAPE


@pytest.mark.parametrize(
    "name",
    [
        b".git",
        b".GIT",
        b".gitmodules",
        b".gitattributes",
        b".gitignore",
        b"git~1",
        b"GI7EBA~1",
        ".g\u200cit".encode(),
        "\ufeff.git".encode(),
        b".git ",
        b".git::$INDEX_ALLOCATION",
        b"=ni=",
        b"=ni=.git",
    ],
)
def test_git_accepts_a_tree_with_any_name(name, tmp_path):
    repository = tmp_path / "r.git"
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    blob = objects.object_id(objects.BLOB_TYPE, b"x")
    tree = objects.tree([(objects.FILE, objects.stored_name(name), blob)])
    with Pack(tmp_path) as pack:
        pack.add(objects.BLOB_TYPE, b"x")
        root = pack.add(objects.TREE_TYPE, tree)
        commit = pack.add(objects.COMMIT_TYPE, objects.commit(root, [], 0, "m"))
        body = b"".join(pack.stream()[1])
        assert pack.stream()[0] == len(body)
    subprocess.run(
        ["git", "--git-dir", repository, "index-pack", "--stdin", "--strict", "--fsck-objects"],
        input=body,
        check=True,
        capture_output=True,
    )
    subprocess.run(["git", "--git-dir", repository, "update-ref", "refs/heads/main", commit.hex()], check=True)
    found = subprocess.run(["git", "--git-dir", repository, "fsck", "--strict"], capture_output=True)
    assert found.returncode == 0, found.stderr


def test_a_file_that_changes_while_it_is_packed_leaves_the_pack_whole(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"before")
    with Pack(tmp_path) as pack, path.open("rb") as file:
        oid = objects.object_id(objects.BLOB_TYPE, b"before")
        path.write_bytes(b"after!")
        with pytest.raises(ChangedWhileRead):
            pack.add_file(file.fileno(), 6, oid)
        pack.add(objects.BLOB_TYPE, b"other")
        body = b"".join(pack.stream()[1])
    repository = tmp_path / "r.git"
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    subprocess.run(
        ["git", "--git-dir", repository, "index-pack", "--stdin"], input=body, check=True, capture_output=True
    )
