"""A real hub, and the Git host by itself, that are told something wrong about regions: they end at once and say what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.local.ports import free_port

TWO = '{"git": "https://git.example.org", "regions": {%s}}'
US, EUROPE = '"us": {"hub": "https://us.example.org"}', '"europe": {"hub": "https://eu.example.org"}'
SOUND = TWO % f"{US}, {EUROPE}"

WRONG = [
    pytest.param(SOUND, "eurpoe", "there is no region 'eurpoe'; did you mean 'europe'?", id="a region that is none"),
    pytest.param(SOUND, "mars", "there is no region 'mars'; known: us, europe", id="a region that is like none"),
    pytest.param(TWO % f"{US}, {EUROPE}, {US}", "us", "'us' is there twice; two regions", id="two of one name"),
    pytest.param(
        TWO % '"us": {"hub": "http://us.example.org"}', "us",
        "region 'us': 'hub' is 'http://us.example.org': over plain HTTP everybody on the way could read logins and tokens",
        id="plain HTTP",
    ),
    pytest.param("{", "us", "is not JSON", id="half a file"),
]  # fmt: skip


def ended(command: list[str], place: Path, env: dict[str, str]) -> tuple[int, str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTERHUB_", "NEURALINVERSE_"))}
    done = subprocess.run(command, cwd=place, env=keep | env, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.hub
@pytest.mark.parametrize(("catalogue", "region", "said"), WRONG)
def test_a_hub_with_a_wrong_catalogue_ends_and_says_why(tmp_path: Path, catalogue: str, region: str, said: str) -> None:
    (tmp_path / "regions.json").write_text(catalogue)
    config = tmp_path / "jupyterhub_config.py"
    config.write_text("from neuralinverse_hub.hub_config import configure\nconfigure(c)\n")
    env = {wire.ENV_REGIONS: str(tmp_path / "regions.json"), wire.ENV_REGION: region}
    code, text = ended([sys.executable, "-m", "jupyterhub", "-f", str(config)], tmp_path, env)
    assert code != 0
    assert said in text and str(tmp_path / "regions.json") in text


@pytest.mark.hub
def test_a_hub_that_is_not_told_which_of_several_it_is_names_them(tmp_path: Path) -> None:
    (tmp_path / "regions.json").write_text(SOUND)
    config = tmp_path / "jupyterhub_config.py"
    config.write_text("from neuralinverse_hub.hub_config import configure\nconfigure(c)\n")
    env = {wire.ENV_REGIONS: str(tmp_path / "regions.json")}
    code, text = ended([sys.executable, "-m", "jupyterhub", "-f", str(config)], tmp_path, env)
    assert code != 0 and "say which this hub is" in text and "one of us, europe" in text


@pytest.mark.parametrize(("catalogue", "region", "said"), WRONG)
def test_a_git_host_with_a_wrong_catalogue_ends_with_one_sentence(
    tmp_path: Path, catalogue: str, region: str, said: str
) -> None:
    (tmp_path / "regions.json").write_text(catalogue)
    env = {
        "NEURALINVERSE_GIT_ROOT": str(tmp_path / "git"),
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{free_port()}",
        wire.ENV_REGIONS: str(tmp_path / "regions.json"),
        wire.ENV_REGION: region,
    }
    code, text = ended([sys.executable, "-m", "neuralinverse_hub.githost"], tmp_path, env)
    assert code == 1 and said in text and len(text.strip().splitlines()) == 1


def test_a_mirror_without_a_token_of_its_own_says_what_it_lacks(tmp_path: Path) -> None:
    rows: dict[str, Any] = {
        "us": {"hub": "https://us.example.org"},
        "europe": {"hub": "https://eu.example.org", "git_mirror": "https://eu.example.org/services/git"},
    }
    (tmp_path / "regions.json").write_text(json.dumps({"git": "https://us.example.org/services/git", "regions": rows}))
    env = {
        "NEURALINVERSE_GIT_ROOT": str(tmp_path / "git"),
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{free_port()}",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        wire.ENV_REGIONS: str(tmp_path / "regions.json"),
        wire.ENV_REGION: "europe",
    }
    code, text = ended([sys.executable, "-m", "neuralinverse_hub.githost"], tmp_path, env)
    assert code == 1 and "JUPYTERHUB_API_TOKEN is not set" in text and "reads from the primary" in text
