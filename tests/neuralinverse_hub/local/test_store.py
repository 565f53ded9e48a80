"""The cache: whole or absent, and one installation at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralinverse_hub.local import store
from neuralinverse_hub.local.errors import InstallError
from tests.one_machine import eventually

names = st.text("abc.", min_size=1, max_size=4).filter(lambda name: name.strip(".") != "")
trees = st.dictionaries(
    st.tuples(st.sampled_from(["", "d", "d/e"]), names), st.binary(max_size=8), min_size=1, max_size=6
)


def plant(folder: Path, tree: dict[tuple[str, str], bytes]) -> list[Path]:
    planted = []
    for (below, name), content in tree.items():
        path = folder / below / f"f{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        planted.append(path)
    return planted


@settings(max_examples=40, deadline=None)
@given(trees, st.data())
def test_a_sealed_folder_is_whole_until_any_file_changes_its_size_or_goes(
    tree: dict[tuple[str, str], bytes], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "component"
        folder.mkdir()
        paths = plant(folder, tree)
        store.seal(folder)
        assert store.damage(folder) is None
        victim = data.draw(st.sampled_from(paths))
        if data.draw(st.booleans()):
            victim.unlink()
        else:
            victim.write_bytes(victim.read_bytes() + b"x")
        problem = store.damage(folder)
        assert problem is not None and victim.name in problem


@pytest.mark.parametrize("stamp", ["", "{", "[]", '{"files": 3}', '{"files": {"a": "b"}}', "\x00\xff"])
def test_a_folder_with_an_unreadable_stamp_is_damaged(tmp_path: Path, stamp: str) -> None:
    (tmp_path / store.STAMP).write_text(stamp, encoding="latin-1")
    assert store.damage(tmp_path) is not None


def test_a_folder_appears_only_when_its_filling_ended_well(tmp_path: Path) -> None:
    cache = store.Store(tmp_path)
    with pytest.raises(ZeroDivisionError), cache.stage("part") as partial:
        (partial / "file").write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with cache.stage("part") as partial:
        (partial / "file").write_text("whole")
        assert not (tmp_path / "part").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["part"]
    assert store.damage(tmp_path / "part") is None


def test_staging_again_replaces_what_was_there(tmp_path: Path) -> None:
    cache = store.Store(tmp_path)
    for content in ("old", "new"):
        with cache.stage("part") as partial:
            (partial / content).write_text(content)
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == [store.STAMP, "new"]


def test_one_installation_at_a_time_and_the_next_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    script = (
        "import sys, signal; from pathlib import Path; from neuralinverse_hub.local.store import Store\n"
        "cache = Store(Path(sys.argv[1]))\n"
        "with cache.locked(print), cache.stage('part') as partial:\n"
        "    (partial / 'file').write_text('half'); print('holding', flush=True); signal.pause()"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"holding\n"
    waiter_script = (
        "import sys; from pathlib import Path; from neuralinverse_hub.local.store import Store\n"
        "said = lambda sentence: print(sentence, flush=True)\n"
        "with Store(Path(sys.argv[1])).locked(said): said('in')"
    )
    waiter = subprocess.Popen([sys.executable, "-c", waiter_script, str(tmp_path)], stdout=subprocess.PIPE)
    assert waiter.stdout is not None
    assert b"waiting for it to finish" in waiter.stdout.readline()
    assert any(path.name.startswith(".partial-") for path in tmp_path.iterdir())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert waiter.stdout.readline() == b"in\n"
    assert waiter.wait(10) == 0
    holder.stdout.close()
    waiter.stdout.close()
    eventually(
        "the partial folder going", lambda: not any(path.name.startswith(".partial-") for path in tmp_path.iterdir())
    )


def test_a_linked_tree_shares_its_files_and_can_be_added_to(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "tool").write_text("tool")
    (source / "link").symlink_to("bin/tool")
    store.seal(source)
    store.link_tree(source, target)
    (target / "bin" / "more").write_text("more")
    assert os.path.samefile(source / "bin" / "tool", target / "bin" / "tool")
    assert (target / "link").is_symlink()
    assert not (target / store.STAMP).exists()
    assert store.damage(source) is None


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InstallError, match="NEURALINVERSE_CACHE"),
        store.Store(tmp_path / "file" / "cache").locked(print),
    ):
        pass


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURALINVERSE_CACHE", str(tmp_path))
    assert store.default_cache() == tmp_path
    monkeypatch.delenv("NEURALINVERSE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert tmp_path in store.default_cache().parents
