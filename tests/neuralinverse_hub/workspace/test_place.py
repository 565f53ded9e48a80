from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.workspace import ide
from neuralinverse_hub.workspace.place import BadWorkspace, Place


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {
        "HOME": str(tmp_path / "home"),
        wire.ENV_FOLDER: str(tmp_path / "home" / "work"),
        wire.ENV_STATE: str(tmp_path / "home" / ".neuralinverse"),
        wire.ENV_GENERATION: "7",
        **more,
    }


def test_a_first_start_makes_private_folders_and_a_welcome_file(tmp_path: Path) -> None:
    place = Place.of(environ(tmp_path))
    place.prepare()
    place.welcome()
    assert [path.stat().st_mode & 0o777 for path in (place.home, place.folder, place.state)] == [0o700] * 3
    assert "Welcome" in (place.folder / "WELCOME.md").read_text()


def test_a_folder_with_work_in_it_gets_no_welcome_file(tmp_path: Path) -> None:
    place = Place.of(environ(tmp_path))
    place.prepare()
    (place.folder / ".hidden").touch()
    place.welcome()
    assert os.listdir(place.folder) == [".hidden"]


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(BadWorkspace, match="NEURALINVERSE_FOLDER and NEURALINVERSE_STATE not set"):
        Place.of({})


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder must be")
    with pytest.raises(BadWorkspace, match=r"cannot make .*home: File exists; make it writable"):
        Place.of(environ(tmp_path)).prepare()


def test_any_openai_client_finds_the_gateway(tmp_path: Path) -> None:
    given = environ(tmp_path, **{wire.ENV_GATEWAY_URL: "http://hub/v1", wire.ENV_TOKEN: "t0ken"})
    made = Place.of(given).environment(given, Path("/config"))
    assert (made["OPENAI_BASE_URL"], made["OPENAI_API_KEY"]) == ("http://hub/v1", "t0ken")


def test_jupyter_settings_of_the_operator_come_after_ours(tmp_path: Path) -> None:
    given = environ(tmp_path, JUPYTER_CONFIG_PATH="/theirs")
    made = Place.of(given).environment(given, Path("/ours"))
    assert made["JUPYTER_CONFIG_PATH"] == "/ours:/theirs"
    assert "OPENAI_API_KEY" not in made


def test_a_persons_own_editor_settings_are_never_touched(tmp_path: Path) -> None:
    ide.seed_settings(tmp_path)
    settings = ide.vscode_folder(tmp_path) / "User" / "settings.json"
    assert json.loads(settings.read_text())["workbench.secondarySideBar.defaultVisibility"] == "hidden"
    settings.write_text("{}")
    ide.seed_settings(tmp_path)
    assert settings.read_text() == "{}"


def test_code_server_listens_on_a_private_socket_and_on_no_port(tmp_path: Path) -> None:
    given = environ(tmp_path, **{wire.ENV_IDE_NODE: "/node", wire.ENV_IDE_ENTRY: "/entry.js"})
    arguments = ide.command(given, "/run/socket", "/user/ada/vscode/")
    assert arguments[:2] == ["/node", "/entry.js"]
    assert {"--socket=/run/socket", "--socket-mode=0600", "--abs-proxy-base-path=/user/ada/vscode"} <= set(arguments)
    assert not [a for a in arguments if a.startswith(("--bind-addr", "--port", "--host"))]
    assert arguments[-1] == given[wire.ENV_FOLDER]


def test_without_code_server_the_entry_shows_no_launcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (wire.ENV_IDE_NODE, wire.ENV_IDE_ENTRY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ide.server()["launcher_entry"] == {"enabled": False}


def test_the_editor_waits_for_this_starts_files_and_not_for_an_earlier_ones(tmp_path: Path) -> None:
    ready = tmp_path / ide.READY_FILE
    ready.write_text("6")
    with pytest.raises(TimeoutError, match="did not name generation 7"):
        ide.wait_until_ready(ready, "7", timeout_s=0.1)
    ready.write_text("7\n")
    ide.wait_until_ready(ready, "7", timeout_s=0.1)
