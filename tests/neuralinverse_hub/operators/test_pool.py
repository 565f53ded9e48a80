"""``neuralinverse-hub pool`` and the API behind it, on a real hub whose cluster does not answer: nobody's right depends on it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.cli import main
from neuralinverse_hub.operators import hub_api
from tests.neuralinverse_hub.operators.small_hub import SmallHub

pytest.importorskip("kubespawner", reason="needs jupyterhub-kubespawner: pip install 'neuralinverse-hub[kubernetes]'")
pytestmark = pytest.mark.hub

POOL = {"small": {"min": 1, "max": 5}, "medium": {"min": 0, "max": 2}}
PATH = "neuralinverse/pool"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHub]:
    with SmallHub.pooled(tmp_path_factory.mktemp("hub"), POOL) as made:
        yield made


@pytest.fixture
def operator(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> SmallHub:
    monkeypatch.setenv(hub_api.ENV_API_URL, f"{hub.url}/hub/api")
    monkeypatch.setenv(wire.ENV_TOKEN, hub.token)
    return hub


def test_an_operator_pauses_a_pool_and_fixes_its_size(operator: SmallHub, capsys: pytest.CaptureFixture[str]) -> None:
    def rule(*command: str) -> str:
        assert main(["pool", *command]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("small"))

    assert rule("show").endswith("1 to 5")
    assert rule("pause", "small").endswith("1 to 5, paused")
    assert rule("fix", "small", "3").endswith("fixed at 3, paused")
    assert rule("resume", "small").endswith("fixed at 3")
    assert rule("follow", "small").endswith("1 to 5")
    assert main(["pool", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["medium"]["max"] == 2


@pytest.mark.parametrize(
    ("wishes", "status", "said"),
    [
        ({"tiny": {"paused": True}}, 404, "No pool of size 'tiny'; there is one of small, medium"),
        ({"small": {"fixed": 6}}, 400, "allows 5 at most"),
        ({"small": {"fixed": -1}}, 400, "a whole number"),
        ({"small": {"fixed": True}}, 400, "a whole number"),
        ({"small": {"paused": "yes"}}, 400, "write true or false"),
        ({"small": {"min": 3}}, 400, "is no change"),
        ({"small": {"paused": True}, "medium": {}}, 400, "is no change"),
        ({}, 400, "Write"),
        ([], 400, "Write"),
    ],
)
def test_what_is_no_wish_changes_nothing(hub: SmallHub, wishes: object, status: int, said: str) -> None:
    before = hub.ask("GET", PATH).json()
    answer = hub.ask("PATCH", PATH, json=wishes)
    assert answer.status_code == status and said in answer.json()["message"]
    assert hub.ask("GET", PATH).json() == before


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("PATCH", PATH), ("POST", f"{PATH}/leave")])
def test_the_pool_is_nobodys_business_but_an_operators(hub: SmallHub, method: str, path: str) -> None:
    body = {"small": {"paused": True}, "node": "worker-1"}
    for token in (
        "",
        "wrong",
        hub.person("ada"),
        hub.person("root", ["admin:servers!user=ada"]),
        hub.person("root", ["read:servers", "servers", "delete:servers"]),
    ):
        assert hub.ask(method, path, token, json=body).status_code == 403, token
    assert not hub.ask("GET", PATH).json()["small"]["paused"]
    assert hub.ask(method, path, hub.person("root"), json={"small": {"paused": False}, "node": "x"}).status_code != 403


def test_a_node_cannot_be_left_while_the_cluster_is_away(hub: SmallHub) -> None:
    for body in ({}, {"node": ""}, {"node": 3}, []):
        assert hub.ask("POST", f"{PATH}/leave", json=body).status_code == 400
    answer = hub.ask("POST", f"{PATH}/leave", json={"node": "worker-1"})
    assert answer.status_code == 502 and "did not answer" in answer.json()["message"]


def test_a_start_says_that_the_cluster_is_away(hub: SmallHub) -> None:
    hub.person("bob")
    answer = hub.ask("POST", "users/bob/server", json={"size": "small"})
    assert answer.status_code == 500
    assert "The cluster does not answer at the moment" in answer.json()["message"]
