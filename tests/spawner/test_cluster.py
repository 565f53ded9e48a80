"""Workspaces as pods, on a real cluster with the real image: the warm pool, and what happens when things are killed."""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.cluster import IMAGE, Cluster, ClusterHub, needs_cluster
from tests.e2e import pages
from tests.one_machine import eventually

pytestmark = needs_cluster

STATE = "neuralinverse.io/pool"
POOL = 'c.NeuralInverseSpawner.pool = {{"small": {{"min": {min}, "max": {max}}}}}'


def pool(low: int, high: int | None = None) -> str:
    return POOL.format(min=low, max=high or low)


def test_a_warm_pod_becomes_a_persons_workspace_and_a_killed_one_comes_back_whole(
    cluster: Cluster, proxy: list[str], tmp_path: Path, page: Any
) -> None:
    with ClusterHub(cluster, tmp_path, proxy, pool(1)).running() as hub:
        (warm,) = eventually("a warm pod", cluster.ready, 120)
        # What anybody who may look at pods sees of it is of no use to them.
        described = cluster.kubectl("get", "pod", warm["metadata"]["name"], "--output=yaml")
        assert re.search(r"NEURALINVERSE_CLAIM_SHA256\n +value: [0-9a-f]{64}", described)
        assert "JUPYTERHUB_API_TOKEN" not in described

        page.goto(hub.url)
        page.fill("#username_input", "ada")
        page.fill("#password_input", "any")
        page.click("#login_submit")
        page.click("form button[type=submit]:has-text('Start')")
        pages.explorer_shows(page, "WELCOME.md")
        assert hub.pod_of("ada") == warm["metadata"]["name"]
        # The editor was loaded before anybody knew whose it would be; its terminals are ada's all the same.
        pages.run_command(page, "Terminal: Create New Terminal")
        expect(page.locator(".terminal.xterm.focus, .terminal.xterm").first).to_be_visible(timeout=60_000)
        page.locator(".terminal.xterm").first.click()
        page.keyboard.type("echo $JUPYTERHUB_USER:$OPENAI_BASE_URL > who.txt\n")
        eventually("the terminal's words", lambda: "ada:http" in in_work(cluster, hub, "who.txt"), 30)
        page.screenshot(path=Path(__file__).parents[1] / "output" / "cluster-terminal.png")
        assert hub.metric("neuralinverse_pool_claims_total", size="small") == 1
        hub.answers("ada")
        hub.answers("ada", "lab")
        pod = hub.pod_of("ada")
        assert cluster.inside(pod, "id", "-u").strip() == "1000"
        cluster.inside(pod, "sh", "-c", "echo 'saved' > ~/work/notes.txt")
        # Enough that bringing them back takes longer than the start of a warm workspace's server.
        cluster.inside(
            pod, "sh", "-c", "mkdir ~/work/many; cd ~/work/many; for n in $(seq 20000); do echo $n > $n; done"
        )
        eventually("the words on the Git host", lambda: hub.on_host("ada", "notes.txt", b"saved"), 60)
        eventually("the last file there", lambda: hub.on_host("ada", "many/20000", b"20000"), 60)

        # The node kills it, as when memory runs out.
        cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
        eventually("the hub noticing", lambda: not hub.state("ada").get("ready"), 120)
        eventually("a warm pod again", cluster.ready, 120)
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(hub.begin, "ada")
            eventually("the start", lambda: hub.state("ada").get("pending") == "spawn", 30)
            said = hub.progress("ada")
            asked.result()
        assert any(re.fullmatch(r"Restor(ing|ed) 20,0\d\d files", each) for each in said), said
        assert (
            "Took a workspace that was ready" in said and "Found a machine with room for the workspace" not in said
        ), said
        hub.wait_ready("ada")
        assert hub.metric("neuralinverse_restores_total", size="small", outcome="restored") == 1
        assert hub.metric("neuralinverse_restore_seconds_count", size="small") == 1
        assert hub.pod_of("ada") != pod
        hub.await_back("ada", "notes.txt", "saved")
        hub.end("ada")


def in_work(cluster: Cluster, hub: ClusterHub, name: str) -> str:
    return cluster.inside(hub.pod_of("ada"), "sh", "-c", f"cat ~/work/{name} 2>/dev/null || true")


# -- claims, with pods that wait and do nothing else: twenty of the real ones do not fit on a small node ------------------

WAITING = """
import asyncio, os
from neuralinverse_hub.workspace.standby import Standby

async def main():
    standby = Standby(os.environ["NEURALINVERSE_CLAIM_SHA256"], lambda: True)
    standby.listen(8888)
    await standby.claimed()
    await asyncio.Event().wait()

asyncio.run(main())
"""
LIGHT = f"""
c.NeuralInverseSpawner.cmd = ["python", "-c", {WAITING!r}]
c.NeuralInverseSpawner.sizes = {{
    "small": {{"cpu": "0.02", "memory": "100M"}},
    "other": {{"cpu": "0.03", "memory": "100M"}},
}}
c.NeuralInverseSpawner.start_timeout = 60
c.NeuralInverseSpawner.http_timeout = 3
"""


def claimed(cluster: Cluster) -> list[str]:
    return [pod["metadata"]["labels"]["hub.jupyter.org/username"] for pod in cluster.pods(**{STATE: "claimed"})]


def test_twenty_at_once_on_five_pods_get_one_each_and_nobody_anothers(
    cluster: Cluster, proxy: list[str], tmp_path: Path
) -> None:
    people = [f"p{n}" for n in range(20)]
    with ClusterHub(cluster, tmp_path, proxy, LIGHT + pool(5)).running() as hub:
        eventually("five warm pods", lambda: len(cluster.ready()) == 5, 120)
        hub.add(*people)
        with ThreadPoolExecutor(20) as threads:
            began = list(threads.map(hub.begin, people))
        assert {answer.status_code for answer in began} <= {201, 202, 500}
        eventually("claims and cold starts", lambda: started(hub) == 20, 60)
        assert hub.metric("neuralinverse_pool_claims_total", size="small") >= 5
        owners = claimed(cluster)
        assert len(owners) == len(set(owners)), "somebody has two"
        # These pods never become servers: the hub gives each up, and leaves none behind.
        eventually("every pod given up", lambda: not claimed(cluster), 120)
        eventually("five warm pods again", lambda: len(cluster.ready()) == 5, 120)


def started(hub: ClusterHub) -> int:
    return int(hub.metric("neuralinverse_pool_claims_total") + hub.metric("neuralinverse_cold_starts_total"))


def test_another_template_drains_the_old_pods_and_takes_no_claimed_one(
    cluster: Cluster, proxy: list[str], tmp_path: Path
) -> None:
    hub = ClusterHub(cluster, tmp_path, proxy, LIGHT + pool(3))
    with hub.running():
        before = {each["metadata"]["name"] for each in eventually("warm pods", lambda: all_ready(cluster, 3), 90)}
    hub.more += "\nc.KubeSpawner.environment = {}\nc.KubeSpawner.extra_annotations = {'version': '2'}"
    with hub.running():
        eventually(
            "all of them new",
            lambda: len(cluster.ready()) == 3 and not before & {pod["metadata"]["name"] for pod in cluster.ready()},
            90,
        )


def all_ready(cluster: Cluster, count: int) -> list[dict[str, Any]]:
    pods = cluster.ready()
    return pods if len(pods) == count else []


def test_a_hub_that_was_killed_keeps_the_stock_and_sweeps_what_nobody_knows(
    cluster: Cluster, proxy: list[str], tmp_path: Path
) -> None:
    hub = ClusterHub(cluster, tmp_path, proxy, LIGHT + pool(2) + "\nc.NeuralInverseSpawner.pool_grace_period = 3")
    hub.start()
    warm = {each["metadata"]["name"] for each in eventually("warm pods", lambda: all_ready(cluster, 2), 90)}
    # As a hub that died between its claim and everything else would leave it.
    lost = sorted(warm)[0]
    hub.kill()
    cluster.kubectl("label", "--overwrite", "pod", lost, f"{STATE}=claimed", "hub.jupyter.org/username=ada")
    with hub.running():
        eventually("the lost one swept", lambda: lost not in {p["metadata"]["name"] for p in cluster.pods()}, 60)
        assert sorted(warm)[1] in {pod["metadata"]["name"] for pod in cluster.ready()}
        eventually("the stock full again", lambda: all_ready(cluster, 2), 60)


def test_an_image_that_is_not_there_is_said_once_and_makes_no_storm(
    cluster: Cluster, proxy: list[str], tmp_path: Path
) -> None:
    bad = "\nc.KubeSpawner.image = 'neuralinverse/no-such-image:1'\n"
    with ClusterHub(cluster, tmp_path, proxy, LIGHT + pool(4) + bad).running() as hub:
        eventually("the failure said", lambda: "ErrImageNeverPull" in hub.log, 60)
        eventually("a second try", lambda: hub.metric("neuralinverse_pool_failures_total") >= 2, 60)
        assert len(cluster.pods()) <= 4
        assert hub.log.count("do not start: ErrImageNeverPull") == 1
        hub.add("ada")
        hub.begin("ada")
        said = " ".join(hub.progress("ada"))
        assert "image cannot be fetched" in said, said


def test_a_size_that_no_node_has_says_so_at_once(cluster: Cluster, proxy: list[str], tmp_path: Path) -> None:
    with ClusterHub(cluster, tmp_path, proxy).running() as hub:
        hub.add("ada")
        hub.begin("ada", "huge")
        with ThreadPoolExecutor(1) as threads:
            messages = threads.submit(hub.progress, "ada")
            eventually("the start given up", lambda: not hub.state("ada").get("pending"), 60)
            said = " ".join(messages.result(30))
        assert "No machine" in said and "smaller" in said, said


def test_a_quota_that_is_used_up_is_said_to_the_person(cluster: Cluster, proxy: list[str], tmp_path: Path) -> None:
    cluster.kubectl("create", "quota", "team", "--hard=pods=1")
    with ClusterHub(cluster, tmp_path, proxy, LIGHT + pool(3)).running() as hub:
        eventually("one warm pod", lambda: all_ready(cluster, 1), 60)
        eventually("the reason said", lambda: "exceeded quota" in hub.log, 60)
        hub.add("ada")
        refused = hub.begin("ada", "other")
        assert refused.status_code >= 400
        assert "quota" in refused.text.lower(), refused.text


async def test_two_hubs_that_want_one_pod_agree_on_who_has_it(cluster: Cluster) -> None:
    from kubernetes_asyncio import client, config

    from spawner import pods
    from spawner.pool import Bounds
    from spawner.warm import NoWarmPod, WarmPool

    secret = b"shared by both"
    body = {
        "metadata": {"labels": {}, "annotations": {}},
        "spec": {
            "containers": [
                {
                    "name": "notebook",
                    "image": IMAGE,
                    "imagePullPolicy": "Never",
                    "args": ["python", "-c", WAITING],
                    "ports": [{"name": "notebook-port", "containerPort": 8888}],
                }
            ]
        },
    }

    async def template(size: str) -> pods.Template:
        return pods.template_of(body, secret)

    await config.load_kube_config()
    async with client.ApiClient() as api_client:
        api, log = client.CoreV1Api(api_client), logging.getLogger("tests")
        first, second = (
            WarmPool(api, cluster.namespace, {"small": Bounds(min=5, max=5)}, template, set, secret, log)
            for _ in range(2)
        )
        await first.round()
        await asyncio.to_thread(eventually, "five warm pods", lambda: len(cluster.ready()) == 5, 120)
        mine = pods.template_of(body, secret)
        asked = [
            hub.claim(
                "small", replace(mine, environment={"PERSON": f"p{n}"}, labels={"hub.jupyter.org/username": f"p{n}"})
            )
            for n in range(10)
            for hub in (first, second)
        ]
        given = await asyncio.gather(*asked, return_exceptions=True)
        names = [each["metadata"]["name"] for each in given if isinstance(each, dict)]
        assert len(names) == len(set(names)) == 5
        assert all(isinstance(each, NoWarmPod) for each in given if not isinstance(each, dict)), given
        for pool in (first, second):
            await pool.close()


VOLUME = """
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "100M"
c.KubeSpawner.pvc_name_template = "claim-{username}"
c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-{username}"}}]
c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
c.KubeSpawner.fs_gid = 1000
c.KubeSpawner.poll_interval = 2
"""


def test_a_workspace_with_a_volume_of_its_own_keeps_what_git_does_not(
    cluster: Cluster, proxy: list[str], tmp_path: Path
) -> None:
    with ClusterHub(cluster, tmp_path, proxy, pool(1) + VOLUME).running() as hub:
        assert "The pool is of no use and is not kept: the workspace has a volume of its own" in hub.log
        hub.add("ada")
        hub.begin("ada")
        hub.wait_ready("ada")
        pod = hub.pod_of("ada")
        cluster.inside(pod, "sh", "-c", "cd ~/work && echo saved > notes.txt && mkdir .venv && echo big > .venv/lib.so")
        eventually("the words on the Git host", lambda: hub.on_host("ada", "notes.txt", b"saved"), 60)
        cluster.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
        eventually("the hub noticing", lambda: not hub.state("ada").get("ready"), 60)
        hub.begin("ada")
        hub.wait_ready("ada")
        hub.answers("ada")
        assert (
            cluster.inside(hub.pod_of("ada"), "sh", "-c", "cat ~/work/notes.txt ~/work/.venv/lib.so") == "saved\nbig\n"
        )
        assert "unhandled user_options" not in hub.log
        hub.end("ada")


def test_a_person_with_an_odd_name_gets_a_warm_pod_too(cluster: Cluster, proxy: list[str], tmp_path: Path) -> None:
    person = "zoë o'neil@example.org"
    with ClusterHub(cluster, tmp_path, proxy, pool(1)).running() as hub:
        (warm,) = eventually("a warm pod", cluster.ready, 120)
        hub.add(person)
        hub.begin(person)
        hub.wait_ready(person)
        # As the hub writes it in an address.
        hub.answers(hub.state(person)["url"].removeprefix("/user/").rstrip("/"))
        (claimed_pod,) = cluster.pods(**{STATE: "claimed"})
        assert claimed_pod["metadata"]["name"] == warm["metadata"]["name"]
        assert hub.metric("neuralinverse_pool_claims_total", size="small") == 1
        hub.ask("DELETE", f"users/{person}/server")
        eventually("its pod gone", lambda: not cluster.pods(**{STATE: "claimed"}), 90)
