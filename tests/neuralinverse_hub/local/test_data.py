"""The data folder: private, one password, one ``up`` at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from neuralinverse_hub.local.data import DataFolder
from neuralinverse_hub.local.errors import NotReady


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "deep" / "data")
    folder.prepare()
    return folder


def test_all_that_is_made_is_for_this_user_only(data: DataFolder) -> None:
    previous = os.umask(0)
    try:
        data.password()
    finally:
        os.umask(previous)
    assert mode(data.root) == 0o700
    assert mode(data.password_file) == 0o600
    assert {mode(folder) for folder in (data.workspaces, data.git, data.hub_log.parent)} == {0o700}


def test_the_password_is_made_once_and_differs_between_folders(data: DataFolder, tmp_path: Path) -> None:
    first = data.password()
    assert len(first) >= 16
    assert data.password() == first == data.password_file.read_text().strip()
    other = DataFolder(tmp_path / "other")
    other.prepare()
    assert other.password() != first


def test_an_empty_password_file_is_no_password(data: DataFolder) -> None:
    data.password_file.write_text("\n")
    assert len(data.password()) >= 16


def test_a_persons_own_password_is_kept_and_hidden_from_others(data: DataFolder) -> None:
    data.password_file.write_text("correct horse battery\n")
    data.password_file.chmod(0o644)
    assert data.password() == "correct horse battery"
    assert mode(data.password_file) == 0o600


def test_a_folder_that_somebody_filled_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tmp_path.chmod(0o755)
    DataFolder(tmp_path).prepare()
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("where", ["/proc/neuralinverse", "file/data"])
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotReady, match=r"Cannot write to the data folder .*--data-dir"):
        DataFolder(tmp_path / where).prepare()


@pytest.mark.skipif(os.geteuid() == 0, reason="an administrator may write everywhere")
def test_a_read_only_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tmp_path.chmod(0o500)
    with pytest.raises(NotReady, match="--data-dir"):
        DataFolder(tmp_path).prepare()


def test_the_second_claim_names_the_first(data: DataFolder) -> None:
    with data.claimed("http://127.0.0.1:8000"):
        with pytest.raises(NotReady, match=rf"process {os.getpid()}, at http://127.0.0.1:8000"), data.claimed("x"):
            pass
    with data.claimed("again"):
        pass


def test_a_killed_holder_holds_nothing(data: DataFolder) -> None:
    script = (
        "import os, sys; from pathlib import Path; from neuralinverse_hub.local.data import DataFolder\n"
        "with DataFolder(Path(sys.argv[1])).claimed('x'): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(data.root)]).returncode == -9
    with data.claimed("mine"):
        pass
