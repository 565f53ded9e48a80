"""``neuralinverse-hub workspaces``: on a real hub, as an operator types it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.cli import main
from neuralinverse_hub.operators import hub_api
from neuralinverse_hub.operators.running import NoSuchWorkspace, ago, chosen, running
from tests.neuralinverse_hub.operators.small_hub import SmallHub

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LIST = ["workspaces", "list"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHub]:
    with SmallHub.simple(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.fixture
def operator(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> SmallHub:
    monkeypatch.setenv(hub_api.ENV_API_URL, f"{hub.url}/hub/api")
    monkeypatch.setenv(wire.ENV_TOKEN, hub.token)
    monkeypatch.setenv("COLUMNS", "200")
    return hub


@pytest.mark.hub
def test_an_operator_lists_workspaces_and_stops_them(
    operator: SmallHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(LIST) == 0
    assert capsys.readouterr().out == "No workspace runs.\n"
    for person, server in (("ada", ""), ("ada", "train"), ("bob", ""), ("cy", "")):
        operator.start(person, server)
    # More people than one page of the hub's answer.
    monkeypatch.setattr(hub_api, "_PAGE", 2)
    assert main(LIST) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["Workspace", "Size", "State"]
    assert [row.split()[0] for row in rows] == ["ada", "ada/train", "bob", "cy"]
    assert all(" ready " in row and " ago" in row for row in rows)
    assert main([*LIST, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert (first["name"], first["person"], first["server"], first["state"]) == ("ada", "ada", "", "ready")

    assert main(["workspaces", "stop", "ada/train", "bob"]) == 0
    said = capsys.readouterr().out
    assert "[2/2]" in said and "ada/train stopped in" in said and "bob stopped in" in said
    assert set(operator.servers("ada")) == {""}
    assert operator.servers("bob") == {}

    # Nobody is there to be asked, and so nothing is stopped.
    assert main(["workspaces", "stop", "--all"]) == 1
    assert "give --yes" in capsys.readouterr().err
    assert operator.servers("cy")
    assert main(["workspaces", "stop", "--all", "--yes"]) == 0
    assert operator.servers("cy") == operator.servers("ada") == {}
    assert main(["workspaces", "stop", "--all", "--yes"]) == 0


@pytest.mark.hub
def test_what_cannot_be_done_is_said_in_one_sentence(
    operator: SmallHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.start("dee", "train")
    for command, said in (
        (["workspaces", "stop", "dee"], "no workspace 'dee' runs; of the same person: dee/train"),
        (["workspaces", "stop"], "which workspaces?"),
        (["workspaces", "stop", "--all", "dee/train"], "which workspaces?"),
        (["workspaces", "--hub", "hub.example.org", "list"], "is no address of a hub"),
        (["workspaces", "--hub", "http://127.0.0.1:9", "list"], "does not answer"),
        (["workspaces", "list", "--hub", "http://127.0.0.1:9/hub/"], "http://127.0.0.1:9/hub/api does not answer"),
        (["pool", "show", "--hub", "http://127.0.0.1:9"], "does not answer"),
        (["pool", "show"], "the hub says 404"),
    ):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error and operator.token not in error
    operator.ask("DELETE", "users/dee/servers/train")

    # A person's own token sees nobody's workspace, and stops nobody's.
    operator.start("eve")
    monkeypatch.setenv(wire.ENV_TOKEN, operator.person("mallory"))
    assert main(["workspaces", "stop", "eve"]) == 1
    assert operator.servers("eve")
    monkeypatch.setenv(wire.ENV_TOKEN, "wrong")
    assert main(LIST) == 1
    assert "not an administrator's" in capsys.readouterr().err
    monkeypatch.delenv(wire.ENV_TOKEN)
    assert main(LIST) == 1
    assert f"{operator.url}/hub/token makes one" in capsys.readouterr().err
    monkeypatch.delenv(hub_api.ENV_API_URL)
    assert main(LIST) == 1
    assert "which hub?" in capsys.readouterr().err
    operator.ask("DELETE", "users/eve/server")


@pytest.mark.hub
def test_a_token_that_may_not_see_nodes_is_told_so_before_anything_is_stopped(
    operator: SmallHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.start("fay")
    monkeypatch.setenv(wire.ENV_TOKEN, operator.person("root", ["list:users", "servers", "read:servers"]))
    assert main(["workspaces", "drain", "worker-1", "--yes"]) == 1
    assert "admin:server_state" in capsys.readouterr().err
    assert operator.servers("fay")
    operator.ask("DELETE", "users/fay/server")


def test_a_workspace_is_named_as_the_list_shows_it() -> None:
    there = [running("ada", {"name": name, "ready": True}) for name in ("", "train")]
    assert [each.name for each in chosen(there, ["ada/train", "ada", "ada"])] == ["ada/train", "ada"]
    with pytest.raises(NoSuchWorkspace, match="ada/test"):
        chosen(there, ["ada", "ada/test"])


@pytest.mark.parametrize(
    ("model", "size", "state", "node"),
    [
        ({"ready": True, "state": {"size": "large", "node": "w1"}}, "large", "ready", "w1"),
        ({"ready": False, "pending": "spawn", "user_options": {"size": "small"}, "state": {}}, "small", "spawn", ""),
        ({"ready": False}, "", "stopped", None),
    ],
)
def test_what_the_hub_says_of_a_server(model: dict[str, object], size: str, state: str, node: str | None) -> None:
    seen = running("ada", model)
    assert (seen.size, seen.state, seen.node) == (size, state, node)


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=-3), "0 s ago"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=59), "59 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=3, hours=2), "3 d ago"),
    ],
)
def test_how_long_ago_in_a_persons_words(passed: timedelta, words: str) -> None:
    assert ago(NOW - passed, NOW) == words
    assert ago(None, NOW) == "-"
