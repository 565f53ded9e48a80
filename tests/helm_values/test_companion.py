"""Our own chart, rendered by a real Helm and checked against Kubernetes' own schemas."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.helm_values import layers
from tests.helm_values.helm import helm

VERSIONS = ("1.28", "1.33", kubernetes_validate.latest_version())
FULL = ("base", "azure", "production", "regions", "region-europe")


def command(*arguments: str, files: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    values = [part for name in files for part in ("-f", str(layers.FOLDER / f"{name}.yaml"))]
    return subprocess.run([str(helm()), *arguments, *values], capture_output=True, text=True, check=False, timeout=120)


def render(*files: str, extra: tuple[str, ...] = (), namespace: str = "ni") -> list[dict[str, Any]]:
    done = command("template", "neuralinverse", str(layers.COMPANION), "--namespace", namespace, *extra, files=files)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    return render(*FULL, extra=("--set", "custom.neuralinverse.gateway.table.models.mine.title=Mine"))


def test_helm_lint_finds_nothing() -> None:
    done = command("lint", "--strict", str(layers.COMPANION), files=FULL)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("files", [("base",), ("base", "kind"), ("base", "gitea"), (*FULL, "traffic")], ids="+".join)
def test_every_object_is_valid_for_kubernetes(files: tuple[str, ...], version: str) -> None:
    for each in render(*files):
        kubernetes_validate.validate(each, version, strict=True)


def test_with_gitea_there_is_no_git_host_of_our_own() -> None:
    assert not [each for each in render("base", "gitea") if each["metadata"]["name"] == "git-host"]


def test_the_pools_role_lets_the_hub_patch_pods_and_nothing_more(everything: list[dict[str, Any]]) -> None:
    roles = [each for each in everything if each["kind"] in ("Role", "ClusterRole")]
    stay = [role for role in roles if "helm.sh/hook" not in role["metadata"].get("annotations", {})]
    assert [role["rules"] for role in stay] == [[{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]]


def test_no_pod_of_ours_has_a_token_of_the_cluster_or_more_rights_than_it_needs(
    everything: list[dict[str, Any]],
) -> None:
    pods = [each["spec"]["template"]["spec"] for each in everything if each["kind"] == "Deployment"]
    assert len(pods) == 3
    for pod in [*pods, one(everything, "Pod", "neuralinverse-reachable")["spec"]]:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]


def test_the_meter_may_list_pods_here_and_read_statistics_of_nodes_and_nothing_more() -> None:
    objects = render("base", "traffic")
    role = one(objects, "Role", "neuralinverse-traffic")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    everywhere = one(objects, "ClusterRole", "ni-neuralinverse-traffic")
    assert everywhere["rules"] == [{"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]}]
    accounts = [
        (each["kind"], each["subjects"])
        for each in objects
        if each["kind"].endswith("Binding") and each["metadata"]["name"].endswith("-traffic")
    ]
    assert accounts == [
        (kind, [{"kind": "ServiceAccount", "name": "traffic", "namespace": "ni"}])
        for kind in ("ClusterRoleBinding", "RoleBinding")
    ]
    pod = one(objects, "Deployment", "traffic")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "traffic"
    (container,) = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "args" not in container
    (_, _, ledger) = one(objects, "NetworkPolicy", "traffic")["spec"]["egress"]
    assert ledger["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "economics"
    (ingress,) = one(objects, "NetworkPolicy", "economics")["spec"]["ingress"]
    assert "traffic" in ingress["from"][0]["podSelector"]["matchExpressions"][0]["values"]


def test_the_meter_is_off_unless_it_is_asked_for(everything: list[dict[str, Any]]) -> None:
    assert not [each for each in everything if each["metadata"]["name"].endswith("traffic")]


@pytest.mark.parametrize(
    ("value", "missing"),
    [("custom.neuralinverse.economics.enabled=false", "no ledger"), ("hub.services.traffic=null", "traffic.yaml")],
)
def test_a_meter_without_what_it_needs_is_refused(value: str, missing: str) -> None:
    done = command("template", "ni", str(layers.COMPANION), "--set", value, files=("base", "traffic"))
    assert done.returncode != 0
    assert missing in done.stderr


def test_secrets_are_referred_to_and_never_written_into_config_maps(everything: list[dict[str, Any]]) -> None:
    assert {each["metadata"]["name"] for each in everything if each["kind"] == "ConfigMap"} == {
        "ai-gateway-table",
        "neuralinverse-regions",
    }
    (container,) = one(everything, "Deployment", "ai-gateway")["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        if any(word in variable["name"] for word in ("TOKEN", "KEY", "SECRET", "PASSWORD")):
            assert set(variable) == {"name", "valueFrom"}


def test_a_key_in_the_plain_variables_of_the_gateway_is_refused() -> None:
    given = ("--set", "custom.neuralinverse.gateway.env.AZURE_AI_API_KEY=x")
    done = command("template", "ni", str(layers.COMPANION), *given, files=("base",))
    assert done.returncode != 0
    assert "AZURE_AI_API_KEY" in done.stderr


@pytest.mark.parametrize("name", ["custom.neuralinverse.gatway.replicas=2", "gateway.replicas=2"])
def test_a_misspelt_or_misplaced_value_is_refused(name: str) -> None:
    done = command("template", "ni", str(layers.COMPANION), "--set", name, files=("base",))
    assert done.returncode != 0
    assert name.split("=")[0].split(".")[-2] in done.stderr


def test_workspaces_reach_the_gateway_and_the_git_host(everything: list[dict[str, Any]]) -> None:
    policy = one(everything, "NetworkPolicy", "neuralinverse-workspaces")["spec"]
    (rule,) = policy["egress"]
    allowed = {each["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for each in rule["to"]}
    assert allowed == {"gateway", "git-host"}
    for name in ("ai-gateway", "git-host"):
        (ingress,) = one(everything, "NetworkPolicy", name)["spec"]["ingress"]
        (peer,) = ingress["from"]
        assert "singleuser-server" in peer["podSelector"]["matchExpressions"][0]["values"]


def test_services_answer_below_the_hubs_own_path() -> None:
    objects = render("base", extra=("--set", "hub.baseUrl=/lab"))
    (container,) = one(objects, "Deployment", "ai-gateway")["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["JUPYTERHUB_SERVICE_PREFIX"] == "/lab/services/ai-gateway/"
    assert env["JUPYTERHUB_API_URL"] == "http://hub:8081/lab/hub/api"
    assert container["readinessProbe"]["httpGet"]["path"] == "/lab/services/ai-gateway/readyz?without=upstream"


def test_the_gateway_scales_where_production_says_so(everything: list[dict[str, Any]]) -> None:
    assert "replicas" not in one(everything, "Deployment", "ai-gateway")["spec"]
    assert one(everything, "HorizontalPodAutoscaler", "ai-gateway")["spec"]["minReplicas"] == 2
    assert one(everything, "PodDisruptionBudget", "ai-gateway")["spec"]["maxUnavailable"] == 1


def test_peoples_work_outlives_an_uninstall(everything: list[dict[str, Any]]) -> None:
    for kind, name in (("PersistentVolumeClaim", "git-host"), ("Secret", "neuralinverse")):
        assert one(everything, kind, name)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_without_the_shared_files_it_says_what_is_missing() -> None:
    done = command("template", "ni", str(layers.COMPANION), files=())
    assert done.returncode != 0
    assert "base.yaml" in done.stderr


def test_the_doctor_runs_as_the_hub_and_its_further_rights_go_with_it(everything: list[dict[str, Any]]) -> None:
    pod = one(everything, "Job", "neuralinverse-doctor")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "hub"
    (container,) = pod["containers"]
    assert container["args"] == ["--namespace=ni", "--image=neuralinverse/workspace:dev"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    role = one(everything, "Role", "neuralinverse-doctor")
    assert role["rules"] == [
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["create", "delete"]}
    ]
    assert "hook-failed" in role["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_the_ledger_is_a_volume_of_its_own_or_a_database(everything: list[dict[str, Any]]) -> None:
    def env(objects: list[dict[str, Any]], deployment: str) -> dict[str, Any]:
        (container,) = one(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
        return {each["name"]: each.get("value") or each["valueFrom"] for each in container["env"]}

    assert env(everything, "economics")["NEURALINVERSE_LEDGER"].startswith("sqlite:////var/lib/neuralinverse/")
    assert one(everything, "PersistentVolumeClaim", "economics")["metadata"]["annotations"]
    url = env(everything, "ai-gateway")["NEURALINVERSE_LEDGER_URL"]
    assert url == "http://economics:8080/services/economics/records/usage"
    extra = ("--set", "custom.neuralinverse.economics.ledgerSecret=ledger")
    extra += ("--set", "custom.neuralinverse.economics.prices.currency=USD")
    other = render(*FULL, extra=extra)
    assert env(other, "economics")["NEURALINVERSE_LEDGER"] == {"secretKeyRef": {"name": "ledger", "key": "url"}}
    assert env(other, "economics")["NEURALINVERSE_PRICES"] == "/etc/neuralinverse/economics/prices.json"
    claims = [each["metadata"]["name"] for each in other if each["kind"] == "PersistentVolumeClaim"]
    assert claims == ["git-host"]
    for each in other:
        if each["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
    # Workspaces have no way to it.
    (rule, *_) = one(other, "NetworkPolicy", "economics")["spec"]["ingress"]
    (among,) = rule["from"][0]["podSelector"]["matchExpressions"]
    assert "singleuser-server" not in among["values"] and "gateway" in among["values"]
    without = render("base", extra=("--set", "custom.neuralinverse.economics.enabled=false"))
    assert not [each for each in without if each["metadata"]["name"].startswith("economics")]
    assert "NEURALINVERSE_LEDGER_URL" not in env(without, "ai-gateway")
