"""The pod that NeuralInverseSpawner asks Kubernetes for. No cluster is needed to look at it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import Config

from neuralinverse_hub import wire
from neuralinverse_hub.hub_config import configure
from tests.cluster import nowhere

kube = pytest.importorskip(
    "spawner.kube", reason="needs jupyterhub-kubespawner: pip install 'neuralinverse-hub[kubernetes]'"
)


def spawner(c: Config) -> Any:
    """A spawner for ``ada``, with what KubeSpawner reads of a user and of a hub."""
    user = SimpleNamespace(
        name="ada",
        id=1,
        url="/user/ada/",
        escaped_name="ada",
        authenticator=None,
        settings={},
        server=None,
        cookie_name="",
    )
    hub = SimpleNamespace(public_host="", base_url="/hub/", api_url="http://hub:8081/hub/api", server=None)
    made = kube.NeuralInverseSpawner(
        config=c,
        _mock=True,
        user=user,
        hub=hub,
        orm_spawner=SimpleNamespace(name="", server=None),
        namespace="workspaces",
    )
    made.api_token = "t0ken"
    return made


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """KubeSpawner reads how to reach a cluster when it is made; this one is never called."""
    kubeconfig = nowhere(tmp_path)
    location = "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(location, str(kubeconfig))


@pytest.fixture
def c(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Config:
    monkeypatch.chdir(tmp_path)
    config = Config()
    config.NeuralInverseHub.hub_url = "http://proxy-public"
    config.KubeSpawner.image = "workspace:1"
    configure(config, {})
    return config


async def test_the_pod_runs_our_agent_and_knows_where_the_services_are(c: Config) -> None:
    made = spawner(c)
    made.generation = 7
    pod = await made.get_pod_manifest()
    (container,) = pod.spec.containers
    environment = {variable.name: variable.value for variable in container.env}
    assert container.args == ["python", "-m", "neuralinverse_hub.workspace"]
    assert environment[wire.ENV_GATEWAY_URL] == "http://proxy-public/services/ai-gateway/v1"
    assert environment[wire.ENV_GIT_REMOTE] == "http://proxy-public/services/git/ada/workspaces.git"
    assert environment[wire.ENV_FOLDER] == "/home/jovyan/work"
    assert environment[wire.ENV_GENERATION] == "7"
    assert environment[wire.ENV_WORKSPACE] == "default"


async def test_a_pod_in_a_region_with_a_mirror_restores_from_there(c: Config) -> None:
    c.NeuralInverseSpawner.git_mirror = "http://git-host:8080/services/git/"
    environment = spawner(c).workspace_environment()
    assert environment[wire.ENV_GIT_REMOTE] == "http://proxy-public/services/git/ada/workspaces.git"
    assert environment[wire.ENV_GIT_MIRROR] == "http://git-host:8080/services/git/ada/workspaces.git"


async def test_a_mirror_of_gitea_has_the_account_and_the_repository_that_gitea_has(c: Config) -> None:
    c.NeuralInverseSpawner.git_mirror = "https://git.jp.example.org/copies"
    made = spawner(c)
    remote = "https://git.example.org/ada-0123456789/workspaces-neuralinverse.git"
    made._git_access = wire.GitAccess(remote, "ada-0123456789", "secret")
    environment = made.workspace_environment()
    assert environment[wire.ENV_GIT_REMOTE] == remote
    assert (
        environment[wire.ENV_GIT_MIRROR]
        == "https://git.jp.example.org/copies/ada-0123456789/workspaces-neuralinverse.git"
    )


async def test_without_a_git_host_there_is_no_mirror_of_it(c: Config) -> None:
    c.NeuralInverseSpawner.git_url = ""
    c.NeuralInverseSpawner.git_mirror = "https://git.jp.example.org"
    assert wire.ENV_GIT_MIRROR not in spawner(c).workspace_environment()


async def test_kubespawners_own_settings_keep_working(c: Config) -> None:
    c.NeuralInverseSpawner.image = "own:2"
    c.KubeSpawner.mem_guarantee = "1G"
    pod = await spawner(c).get_pod_manifest()
    assert pod.spec.containers[0].image == "own:2"
    assert str(pod.spec.containers[0].resources.requests["memory"]) == "1073741824"


async def test_the_hub_need_not_wait_for_a_probe_of_a_pod_behind_a_service(c: Config) -> None:
    for behind in ({"services_enabled": True}, {"internal_ssl": True}, {}):
        made = spawner(c)
        for name, value in behind.items():
            setattr(made, name, value)
        (container,) = (await made.get_pod_manifest()).spec.containers
        assert (container.readiness_probe is None) is bool(behind), behind


async def test_the_generation_survives_the_state_the_hub_keeps(c: Config) -> None:
    before, after = spawner(c), spawner(c)
    before.generation = 42
    before.clear_state()
    after.load_state(before.get_state())
    assert after.generation == 42


async def test_a_size_is_reserved_and_is_all_there_is(c: Config) -> None:
    c.NeuralInverseSpawner.sizes = {
        "gpu": {"cpu": 4, "memory": "8G", "gpu": 1},
        "plain": {"cpu": "0.5", "memory": "1G"},
    }
    c.KubeSpawner.extra_resource_limits = {"example.org/licence": "1"}
    made = spawner(c)
    made.user_options = {"size": "gpu"}
    made.apply_size(made.choose_size())
    resources = (await made.get_pod_manifest()).spec.containers[0].resources
    assert resources.limits["nvidia.com/gpu"] == resources.requests["nvidia.com/gpu"] == "1"
    assert float(resources.limits["cpu"]) == float(resources.requests["cpu"]) == 4
    assert int(resources.limits["memory"]) == int(resources.requests["memory"]) == 8 << 30
    made.user_options = {"size": "plain"}
    made.apply_size(made.choose_size())
    resources = (await made.get_pod_manifest()).spec.containers[0].resources
    assert "nvidia.com/gpu" not in resources.limits
    assert resources.limits["example.org/licence"] == "1"


async def test_a_chosen_size_is_remembered_until_it_is_no_longer_offered(c: Config) -> None:
    before = spawner(c)
    before.user_options = {"size": "medium"}
    before.apply_size(before.choose_size())
    before.clear_state()
    after = spawner(c)
    after.load_state(before.get_state())
    assert after.choose_size().name == "medium"
    assert await after.get_options_form() == ""
    c.NeuralInverseSpawner.sizes = {"tiny": {"cpu": 1, "memory": "1G"}, "big": {"cpu": 2, "memory": "1G"}}
    later = spawner(c)
    later.load_state(before.get_state())
    assert later.choose_size().name == "tiny"
    assert 'value="tiny" checked' in await later.get_options_form()


async def test_the_form_offers_every_size_with_its_price(c: Config) -> None:
    form = await spawner(c).get_options_form()
    assert form.count('type="radio"') == 3
    assert "$1.92 per hour" in form
    assert 'value="small" checked' in form


async def test_an_unknown_size_is_refused_before_anything_starts(c: Config) -> None:
    made = spawner(c)
    made.user_options = made.options_from_form({"size": ["gigantic<script>"]})
    with pytest.raises(Exception, match="choose one of: small, medium, large"):
        await made.start()
    assert made.generation == 0


async def test_a_start_is_known_to_its_progress_before_the_pod_is_asked_for(c: Config) -> None:
    made = spawner(c)
    asked = asyncio.Event()

    async def elsewhere(*_: Any) -> int:
        asked.set()
        await asyncio.sleep(0)
        raise PermissionError("the workspace runs in another region")

    made.generation_source = elsewhere
    # As JupyterHub does: called, and awaited later.
    started = made.start()
    assert made._start_future is started
    await asyncio.wait_for(asked.wait(), 5)
    with pytest.raises(PermissionError):
        await started
    assert made._start_future.done()


def test_a_wrong_size_stops_the_hub_with_its_value(c: Config) -> None:
    c.NeuralInverseSpawner.sizes = {"small": {"cpu": 2, "memory": "lots"}}
    with pytest.raises(Exception, match="memory is 'lots'"):
        spawner(c)
