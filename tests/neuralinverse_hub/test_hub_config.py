"""What configure(c) writes. That a hub runs with it is shown by tests/neuralinverse_hub/test_hub.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from traitlets.config import Config

from neuralinverse_hub import wire
from neuralinverse_hub.hub_config import ENV_SYNC_SECRET, configure
from neuralinverse_hub.local.handover import ENV_HANDOVER, Handover
from neuralinverse_hub.regions.errors import BadCatalogue
from neuralinverse_hub.settings import SettingError, UnknownSetting


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start at the hub's working folder, where a secret is made."""
    monkeypatch.chdir(tmp_path)


SECRET = "azure-key-that-nobody-else-may-see"


def one_machine(folder: Path) -> dict[str, str]:
    password = folder / "password"
    password.write_text("correct horse\n")
    handover = Handover(
        data_dir=str(folder),
        port=8000,
        hub_port=8081,
        proxy_api_port=8001,
        user="ada",
        password_file=str(password),
        node="/cache/node",
        code_server_entry="/cache/code-server/entry.js",
        proxy_command=["/cache/node", "/cache/proxy"],
        workspaces_dir=str(folder / "workspaces"),
        git_root=str(folder / "git"),
    )
    handover.write(folder / "handover.json")
    return {ENV_HANDOVER: str(folder / "handover.json"), "AZURE_AI_API_KEY": SECRET, "HOME": "/root"}


def test_one_machine_mode_listens_on_loopback_only(tmp_path: Path) -> None:
    c = Config()
    configure(c, one_machine(tmp_path))
    assert c.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert c.JupyterHub.hub_bind_url == "http://127.0.0.1:8081"
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8001"
    assert c.SharedPasswordAuthenticator.user_password == "correct horse"


def test_upstream_keys_reach_the_gateway_and_nothing_else(tmp_path: Path) -> None:
    c = Config()
    configure(c, one_machine(tmp_path))
    services = {service["name"]: service for service in c.JupyterHub.services}
    assert services["ai-gateway"]["environment"]["AZURE_AI_API_KEY"] == SECRET
    assert "HOME" not in services["ai-gateway"]["environment"]
    del services["ai-gateway"]
    assert SECRET not in repr(services)
    assert SECRET not in repr(c.LocalWorkspaceSpawner)


def test_a_workspace_token_may_call_the_services_and_report_activity_and_no_more(tmp_path: Path) -> None:
    c = Config()
    configure(c, one_machine(tmp_path))
    assert set(c.Spawner.server_token_scopes) == {
        "users:activity!user",
        "access:servers!server",
        "access:services!service=ai-gateway",
        "access:services!service=git",
    }


def test_a_user_role_of_the_operator_is_kept_and_extended(tmp_path: Path) -> None:
    c = Config()
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "shares!user"]}, {"name": "culler", "scopes": []}]
    c.JupyterHub.services = [{"name": "culler"}]
    configure(c, one_machine(tmp_path))
    roles = {role["name"]: role["scopes"] for role in c.JupyterHub.load_roles}
    assert roles["user"] == [
        "self",
        "shares!user",
        "access:services!service=ai-gateway",
        "access:services!service=git",
    ]
    assert "culler" in roles
    assert [service["name"] for service in c.JupyterHub.services] == [
        "culler",
        "ai-gateway",
        "git",
        "economics",
        "workspace-hours",
    ]


@pytest.mark.parametrize(
    ("bind_url", "expected"),
    [
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/services/git"),
        ("http://:8000", "http://127.0.0.1:8000/services/git"),
        ("http://0.0.0.0:8123/hub-below", "http://127.0.0.1:8123/hub-below/services/git"),
        ("https://hub.example.org", "https://hub.example.org/services/git"),
    ],
)
def test_workspaces_find_the_services_below_the_hubs_address(bind_url: str, expected: str) -> None:
    c = Config()
    c.JupyterHub.bind_url = bind_url
    configure(c, {})
    assert c.LocalWorkspaceSpawner.git_url == expected


def test_without_a_git_host_there_is_no_service_and_no_url() -> None:
    c = Config()
    c.NeuralInverseHub.git_host = "none"
    configure(c, {})
    assert [service["name"] for service in c.JupyterHub.services] == ["ai-gateway", "economics", "workspace-hours"]
    assert "git_url" not in c.LocalWorkspaceSpawner
    # The hub's home page does not promise what nobody keeps.
    assert c.JupyterHub.template_vars == {"work_is_kept": False}


def test_the_secret_behind_peoples_keys_is_made_once_and_private(tmp_path: Path) -> None:
    for _ in range(2):
        c = Config()
        configure(c, one_machine(tmp_path))
    file = Path(c.LocalWorkspaceSpawner.sync_secret_file)
    assert file == tmp_path / "sync_secret"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_text()
    configure(Config(), one_machine(tmp_path))
    assert file.read_text() == before
    assert len(before) == 64


@pytest.mark.parametrize(
    ("section", "name", "near"),
    [
        ("JupyterHub", "admin_acess", "admin_access"),
        ("KubeSpawner", "imge", "image"),
        ("NeuralInverseSpawner", "sizse", "sizes"),
        ("Authenticator", "alow_all", "allow_all"),
        ("SharedPasswordAuthenticator", "user_pasword", "user_password"),
    ],
)
def test_a_misspelt_setting_of_the_hubs_own_classes_is_refused_too(section: str, name: str, near: str) -> None:
    c = Config()
    c[section][name] = "x"
    with pytest.raises(UnknownSetting, match=rf"c\.{section}\.{name} does not exist; did you mean '{near}'"):
        configure(c, {})


def test_a_misspelt_spawner_section_is_refused() -> None:
    c = Config()
    c.NeuralInversSpawner.sizes = {}
    with pytest.raises(UnknownSetting, match="did you mean 'NeuralInverseSpawner'"):
        configure(c, {})


def chart() -> Config:
    """What the chart's own configuration has put together when it calls ``configure``."""
    c = Config()
    c.JupyterHub.spawner_class = "neuralinverse"
    c.JupyterHub.services = [
        {"name": "ai-gateway", "url": "http://ai-gateway:8080", "api_token": "of-the-gateway"},
        {"name": "git", "url": "http://git:8080/", "api_token": "of-the-git-host"},
    ]
    c.NeuralInverseHub.hub_url = "http://proxy-public"
    return c


def test_a_service_that_runs_elsewhere_is_not_started_and_keeps_its_address_and_token() -> None:
    c = chart()
    configure(c, {"AZURE_AI_API_KEY": SECRET})
    services = {service["name"]: service for service in c.JupyterHub.services}
    assert "command" not in services["ai-gateway"]
    assert services["ai-gateway"]["url"] == "http://ai-gateway:8080"
    assert services["ai-gateway"]["api_token"] == "of-the-gateway"
    assert "admin-ui" in services["ai-gateway"]["oauth_client_allowed_scopes"]
    assert SECRET not in repr(c)


def test_workspaces_reach_a_service_that_runs_elsewhere_without_a_way_round_the_proxy() -> None:
    c = chart()
    c.JupyterHub.base_url = "/lab/"
    configure(c, {})
    assert c.NeuralInverseSpawner.gateway_url == "http://ai-gateway:8080/lab/services/ai-gateway/v1"
    assert c.NeuralInverseSpawner.git_url == "http://git:8080/lab/services/git"


def test_a_git_host_that_is_not_used_is_no_service_of_the_hub() -> None:
    c = chart()
    c.NeuralInverseHub.git_host = "none"
    configure(c, {})
    assert [service["name"] for service in c.JupyterHub.services] == ["ai-gateway", "economics", "workspace-hours"]


def test_the_meter_of_what_workspaces_send_may_hand_records_in_and_nothing_else() -> None:
    def scopes(services: list[dict[str, object]]) -> list[str]:
        c = Config()
        c.JupyterHub.services = services
        configure(c, {})
        roles = [role for role in c.JupyterHub.load_roles if wire.TRAFFIC_SERVICE in role.get("services", [])]
        return [scope for role in roles for scope in role["scopes"]]

    # As traffic.yaml and the chart write it.
    assert scopes([{"name": "traffic", "api_token": "t" * 32, "display": False}]) == [
        "access:services!service=economics"
    ]
    assert scopes([]) == []


def test_the_secret_behind_peoples_keys_may_come_with_the_environment_and_cannot_change(tmp_path: Path) -> None:
    configure(chart(), {ENV_SYNC_SECRET: "from-the-cluster"})
    assert (tmp_path / "sync_secret").read_text() == "from-the-cluster"
    configure(chart(), {ENV_SYNC_SECRET: "from-the-cluster"})
    with pytest.raises(SettingError, match="cannot change"):
        configure(chart(), {ENV_SYNC_SECRET: "another"})


def one_of_several(tmp_path: Path, region: str) -> Config:
    """The Git host in the United States, a mirror of it in Europe, a foreign one in Japan, none in Singapore."""
    rows = {
        "us": {"hub": "https://us.example.org"},
        "europe": {"hub": "https://eu.example.org", "git_mirror": "https://eu.example.org/services/git"},
        "japan": {"hub": "https://jp.example.org", "git_mirror": "https://git.jp.example.org/copies"},
        "singapore": {"hub": "https://sg.example.org"},
    }
    file = tmp_path / "regions.json"
    file.write_text(json.dumps({"git": "https://us.example.org/services/git", "regions": rows}))
    c = Config()
    c.JupyterHub.bind_url = "http://127.0.0.1:8000"
    c.NeuralInverseHub.regions_file = str(file)
    c.NeuralInverseHub.region = region
    return c


@pytest.mark.parametrize(
    ("region", "runs_git", "mirror"),
    [
        ("us", True, ""),
        ("europe", True, "http://127.0.0.1:8000/services/git"),
        ("japan", False, "https://git.jp.example.org/copies"),
        ("singapore", False, ""),
    ],
)
def test_of_several_hubs_one_runs_the_shared_git_host_and_others_its_mirrors(
    tmp_path: Path, region: str, runs_git: bool, mirror: str
) -> None:
    c = one_of_several(tmp_path, region)
    configure(c, {})
    started = {each["name"] for each in c.JupyterHub.services if "command" in each}
    assert ("git" in started) is runs_git
    for spawner in (c.LocalWorkspaceSpawner, c.NeuralInverseDockerSpawner, c.NeuralInverseSpawner):
        assert spawner.git_url == "https://us.example.org/services/git"
        assert spawner.get("git_mirror", "") == mirror
        assert spawner.environment[wire.ENV_GIT_USER] == region


def test_the_mirror_of_a_region_reads_with_a_token_of_its_own_and_no_workspace_has_it(tmp_path: Path) -> None:
    c = one_of_several(tmp_path, "europe")
    configure(c, {})
    service = next(each for each in c.JupyterHub.services if each["name"] == "git")
    # The hub makes it one at each start, as for every service that it manages.
    assert "api_token" not in service and service["environment"][wire.ENV_REGION] == "europe"
    role = next(each for each in c.JupyterHub.load_roles if each["name"] == wire.REGIONS_SERVICE)
    assert role["services"] == [wire.REGIONS_SERVICE, "git"] and role["scopes"] == ["access:services!service=git"]


def test_a_mirror_of_ours_cannot_follow_gitea(tmp_path: Path) -> None:
    c = one_of_several(tmp_path, "europe")
    c.NeuralInverseHub.git_host = "gitea"
    with pytest.raises(BadCatalogue, match=r"regions\.json: region 'europe'.*not from Gitea"):
        configure(c, {})


def test_people_have_several_workspaces_unless_the_operator_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    c = Config()
    configure(c, {})
    assert c.JupyterHub.allow_named_servers is True
    assert c.JupyterHub.named_server_limit_per_user == 5
    c = Config()
    c.JupyterHub.allow_named_servers = False
    c.JupyterHub.named_server_limit_per_user = 2
    c.JupyterHub.template_paths = ["/operators/own"]
    configure(c, {})
    assert c.JupyterHub.allow_named_servers is False
    assert c.JupyterHub.named_server_limit_per_user == 2
    assert c.JupyterHub.template_paths[0] == "/operators/own"
