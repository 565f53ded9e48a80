"""What self-hosting by compose promises, as far as it can be seen without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SECRETS = re.findall(r"^([A-Z_]+)=$", (ROOT / ".env.example").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text()))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("compose-env", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make_env(checkout: Path) -> dict[str, str]:
    subprocess.run(["./compose-env"], cwd=checkout, check=True, capture_output=True)
    lines = (checkout / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_one_command_makes_every_secret_and_keeps_them_private(checkout: Path) -> None:
    made = make_env(checkout)
    assert SECRETS and all(re.fullmatch(r"[0-9a-f]{64}", made[name]) for name in SECRETS)
    assert len({made[name] for name in SECRETS}) == len(SECRETS)
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600


def test_running_it_again_changes_nothing_that_is_there(checkout: Path) -> None:
    (checkout / ".env").write_text(
        "NEURALINVERSE_DOMAIN=hub.example.org\nGITEA_SECRET_KEY=mine\nOWN_EMPTY=\nJUPYTERHUB_CRYPT_KEY=\n"
    )
    first = make_env(checkout)
    assert first["NEURALINVERSE_DOMAIN"] == "hub.example.org" and first["GITEA_SECRET_KEY"] == "mine"
    assert first["OWN_EMPTY"] == "" and len(first["JUPYTERHUB_CRYPT_KEY"]) == 64
    assert make_env(checkout) == first


def test_what_a_newer_version_asks_for_is_added(checkout: Path) -> None:
    before = make_env(checkout)
    with (checkout / ".env.example").open("a") as example:
        example.write("NEURALINVERSE_NEW_SECRET=\n")
    after = make_env(checkout)
    assert re.fullmatch(r"[0-9a-f]{64}", after.pop("NEURALINVERSE_NEW_SECRET"))
    assert after == before


def test_without_the_profile_the_hub_waits_for_no_gitea(compose: dict[str, Any]) -> None:
    gitea = {name for name, each in compose["services"].items() if each.get("profiles") == ["gitea"]}
    assert gitea == {"git", "git-admin"}
    for name, each in compose["services"].items():
        if name not in gitea:
            assert all(
                not given.get("required", True) for other, given in each.get("depends_on", {}).items() if other in gitea
            )


def test_every_secret_that_compose_asks_for_is_made(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert set(re.findall(r"\${([A-Z_]+):\?", text)) == {*SECRETS, "NEURALINVERSE_DOMAIN"}


def test_each_part_that_stays_says_whether_it_is_well(compose: dict[str, Any]) -> None:
    staying = {name: each for name, each in compose["services"].items() if each.get("restart") != "on-failure"}
    assert {"hub", "gateway", "git", "database", "proxy"} <= staying.keys()
    assert all("healthcheck" in each for each in staying.values())


def test_workspaces_reach_neither_the_database_nor_the_engine(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert [name for name, each in services.items() if "workspaces" in each["networks"]] == ["hub", "gateway", "git"]
    sockets = [name for name, each in services.items() if any("docker.sock" in str(v) for v in each.get("volumes", []))]
    assert sockets == ["docker"] and services["docker"]["networks"] == ["docker"]
    assert compose["networks"]["docker"]["internal"] and compose["networks"]["data"]["internal"]


def test_the_gateway_has_none_of_the_other_secrets(compose: dict[str, Any]) -> None:
    environment = compose["services"]["gateway"]["environment"]
    hidden = set(SECRETS) - {"NEURALINVERSE_GATEWAY_TOKEN"}
    assert {name for name in hidden if environment.get(name) == ""} == hidden


def test_everything_that_has_to_survive_is_in_a_named_volume(compose: dict[str, Any]) -> None:
    named = {
        str(v).split(":")[0]
        for each in compose["services"].values()
        for v in each.get("volumes", [])
        if v[0] not in "./$"
    }
    assert named == set(compose["volumes"])
