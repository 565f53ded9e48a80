"""Self-hosting with Docker as its user does it: a clone, one command for `.env`, `docker compose up -d`, and then work.

Runs against a real engine (``make e2e-compose``), with images that are there already; stand-ins/README.md says how. Published
ports answer at ``NEURALINVERSE_COMPOSE_ADDRESS`` (127.0.0.1 by default). Gitea's place is taken by the hub's own
Git host; ``docs/self-hosting.md`` calls that "without Gitea".
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from neuralinverse_hub import wire
from tests.chromium import launch
from tests.e2e import pages
from tests.one_machine import eventually

pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not os.environ.get("NEURALINVERSE_E2E_COMPOSE"), reason="needs an engine: make e2e-compose"),
]

ROOT = Path(__file__).parents[2]
DOMAIN = "workspaces.local"
ADDRESS = os.environ.get("NEURALINVERSE_COMPOSE_ADDRESS", "127.0.0.1")
ANSWER = "A word from the stand-in model"
PERSON = "ada"
WORKSPACE = "jupyter-ada"

# The model is a container beside the others. Compose reads this file by itself.
OVERRIDE = """
services:
  model:
    image: neuralinverse/compose:dev
    command: [python, /model.py]
    volumes: ["{model}:/model.py:ro"]
    networks: [workspaces]
"""

MODEL = """
import json, tornado.web, tornado.ioloop

class Chat(tornado.web.RequestHandler):
    async def post(self):
        body = json.loads(self.request.body)
        pieces = [{"role": "assistant", "content": ""}] + [{"content": word + " "} for word in "ANSWER".split()]
        if not body.get("stream"):
            text = "".join(piece["content"] for piece in pieces)
            return self.write({"id": "1", "object": "chat.completion", "model": body["model"], "created": 1,
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
        self.set_header("content-type", "text/event-stream")
        for piece in pieces:
            self.write("data: " + json.dumps({"id": "1", "object": "chat.completion.chunk", "model": body["model"], "created": 1,
                "choices": [{"index": 0, "delta": piece, "finish_reason": None}]}) + "\\n\\n")
            await self.flush()
        self.write("data: " + json.dumps({"id": "1", "object": "chat.completion.chunk", "model": body["model"], "created": 1,
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + "\\n\\ndata: [DONE]\\n\\n")

class Models(tornado.web.RequestHandler):
    def get(self):
        self.write({"object": "list", "data": [{"id": "stand-in", "object": "model", "created": 1, "owned_by": "tests"}]})

tornado.web.Application([("/v1/chat/completions", Chat), ("/v1/models", Models)]).listen(9000, "0.0.0.0")
tornado.ioloop.IOLoop.current().start()
""".replace("ANSWER", ANSWER)


@dataclass
class Deployment:
    """A checkout with its containers."""

    folder: Path

    def run(self, *command: str, stdin: bytes | None = None, timeout_s: float = 300) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, input=stdin, timeout=timeout_s)
        assert done.returncode == 0, (command, done.stdout.decode()[-2000:], done.stderr.decode()[-4000:])
        return done.stdout.decode()

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        return self.run("docker", "compose", *arguments, timeout_s=timeout_s)

    def up(self) -> None:
        """Start what is not running and return when all of it is well."""
        self.compose("up", "--detach", "--no-build", "--pull", "never")
        eventually("every container healthy", lambda: set(self.health().values()) == {"healthy"}, 180)

    def health(self) -> dict[str, str]:
        """Service → what its health check says; ``model``, which is ours, is left out."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {each["Service"]: each["Health"] for each in map(json.loads, lines) if each["Service"] != "model"}

    def secret(self, name: str) -> str:
        (found,) = re.findall(rf"^{name}=(.*)$", (self.folder / ".env").read_text(), re.MULTILINE)
        return str(found)

    def set(self, name: str, value: str) -> None:
        env = self.folder / ".env"
        kept = re.sub(rf"^#?{name}=.*\n", "", env.read_text(), flags=re.MULTILINE)
        env.write_text(f"{kept}\n{name}={value}\n")

    def follow(self, heading: str, timeout_s: float = 600) -> str:
        """Do what ``docs/self-hosting.md`` says under ``heading``, as an admin would copy it into a shell."""
        text = (ROOT / "docs" / "self-hosting.md").read_text()
        section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
        commands = "\n".join(re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL))
        assert commands, heading
        return self.run("bash", "-euo", "pipefail", "-c", commands, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("compose")
    checkout = folder / "neuralinverse-hub"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    made = Deployment(checkout)
    made.run("./compose-env")
    (folder / "model.py").write_text(MODEL)
    (checkout / "compose.override.yaml").write_text(OVERRIDE.format(model=folder / "model.py"))
    env = checkout / ".env"
    env.write_text(env.read_text().replace("COMPOSE_PROFILES=gitea\n", ""))
    made.set("NEURALINVERSE_DOMAIN", DOMAIN)
    made.set("NEURALINVERSE_TAG", "dev")
    made.set("OPENAI_UPSTREAM_URL", "http://model:9000/v1")
    made.set("OPENAI_UPSTREAM_MODEL", "stand-in")
    if os.environ.get("DOCKER_HOST", "").startswith("unix://"):
        made.set("NEURALINVERSE_DOCKER_SOCKET", os.environ["DOCKER_HOST"].removeprefix("unix://"))
    try:
        made.up()
        yield made
    finally:
        output = ROOT / "tests" / "output"
        output.mkdir(exist_ok=True)
        with (output / "compose.log").open("wb") as log:
            subprocess.run(["docker", "compose", "logs"], cwd=checkout, stdout=log, stderr=log)
        subprocess.run(["docker", "rm", "--force", WORKSPACE], capture_output=True)
        subprocess.run(["docker", "compose", "down", "--volumes"], cwd=checkout, capture_output=True)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with (
        sync_playwright() as playwright,
        launch(playwright, f"--host-resolver-rules=MAP {DOMAIN} {ADDRESS}") as browser,
    ):
        yield browser


@pytest.fixture
def page(chrome: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = chrome.new_context(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
    page = context.new_page()
    yield page
    screenshot(page, request.node.name)
    context.close()


def come_in(page: Any, deployment: Deployment) -> None:
    """From the address alone to VS Code with its files."""
    page.goto(f"https://{DOMAIN}/")
    name = page.locator("#username_input")
    start = page.locator("form button[type=submit]:has-text('Start')")
    arrived = page.locator(".explorer-folders-view .monaco-list-row").first
    # Who is logged in already is not asked again; who has a workspace running is in it; the others choose a size.
    expect(name.or_(start).or_(arrived)).to_be_visible(timeout=60_000)
    if name.is_visible():
        name.fill(PERSON)
        page.fill("#password_input", deployment.secret("NEURALINVERSE_PASSWORD"))
        page.click("#login_submit")
        expect(start.or_(arrived)).to_be_visible(timeout=60_000)
    if start.is_visible():
        screenshot(page, "sizes")
        start.click()
    pages.explorer_shows(page, timeout_s=120)


def in_workspace(*command: str) -> str:
    """What ``command`` prints in ada's container."""
    done = subprocess.run(["docker", "exec", WORKSPACE, *command], capture_output=True, timeout=60)
    return done.stdout.decode()


def protected() -> bool:
    text = in_workspace("sh", "-c", f"cat ~/.neuralinverse/{wire.SYNC_STATUS_FILE}")
    return bool(text) and json.loads(text)["state"] == "protected" and json.loads(text)["pending"] == 0


def screenshot(page: Any, name: str) -> None:
    page.screenshot(path=ROOT / "tests" / "output" / f"compose-{name}.png")


def test_from_a_clone_to_ai_in_vs_code_and_nothing_lost_by_down_and_up(deployment: Deployment, page: Any) -> None:
    assert set(deployment.health()) == {"proxy", "hub", "gateway", "database", "docker"}
    assert "jupyter" not in deployment.run("docker", "ps", "--format", "{{.Names}}")

    come_in(page, deployment)
    expect(pages.chat(page, "say hello")).to_contain_text(ANSWER, timeout=120_000)
    screenshot(page, "answered")
    # The container has what a person may have and no more.
    inside = json.loads(deployment.run("docker", "inspect", WORKSPACE))[0]
    assert inside["HostConfig"]["CapDrop"] == ["ALL"] and not inside["HostConfig"]["Privileged"]
    hidden = {deployment.secret(name) for name in ("NEURALINVERSE_SYNC_SECRET", "NEURALINVERSE_GATEWAY_TOKEN")}
    assert not any(secret in json.dumps(inside) for secret in hidden)

    in_workspace("sh", "-c", "echo 'saved before down' > ~/work/notes.txt")
    eventually("the words protected", protected, 60)
    # Nobody told the workspace: it goes on, and its person finds it as it was.
    deployment.compose("down")
    deployment.up()
    come_in(page, deployment)
    pages.explorer_shows(page, "notes.txt")
    # Then it is lost too.
    subprocess.run(["docker", "rm", "--force", WORKSPACE], check=True, capture_output=True)
    deployment.compose("down")
    deployment.up()
    come_in(page, deployment)
    pages.explorer_shows(page, "notes.txt")
    assert in_workspace("cat", "/home/jovyan/work/notes.txt") == "saved before down\n"
    screenshot(page, "after-down-and-up")


def test_workspaces_go_on_while_the_rest_is_upgraded(deployment: Deployment, page: Any) -> None:
    come_in(page, deployment)
    before = in_workspace("cat", "/proc/1/stat").split()[21:22]
    for image in ("compose", "gateway", "workspace"):
        deployment.run("docker", "tag", f"neuralinverse/{image}:dev", f"neuralinverse/{image}:next")
    deployment.set("NEURALINVERSE_TAG", "next")
    deployment.up()
    image = ("docker", "inspect", "--format", "{{.Config.Image}}")
    assert deployment.run(*image, "neuralinverse-hub-hub-1").strip() == "neuralinverse/compose:next"
    assert in_workspace("cat", "/proc/1/stat").split()[21:22] == before != []
    page.reload()
    pages.explorer_shows(page, "notes.txt")
    expect(pages.chat(page, "say hello again")).to_contain_text(ANSWER, timeout=120_000)


def test_a_backup_brings_everything_back_on_an_empty_machine(deployment: Deployment, page: Any) -> None:
    come_in(page, deployment)
    in_workspace("sh", "-c", "echo 'in the backup' > ~/work/kept.txt; echo 'SECRET=kept' > ~/work/.env")
    eventually("the words protected", protected, 60)
    deployment.follow("Backup")
    # The machine is gone, and with it everything but the backup and the checkout.
    subprocess.run(["docker", "rm", "--force", WORKSPACE], check=True, capture_output=True)
    deployment.compose("down", "--volumes")
    (deployment.folder / ".env").unlink()
    deployment.follow("Restore")
    eventually("every container healthy", lambda: set(deployment.health().values()) == {"healthy"}, 180)
    come_in(page, deployment)
    pages.explorer_shows(page, "kept.txt")
    assert in_workspace("cat", "/home/jovyan/work/kept.txt") == "in the backup\n"
    assert in_workspace("cat", "/home/jovyan/work/.env") == "SECRET=kept\n"


def test_the_database_away_at_start_is_said_and_waited_for(deployment: Deployment, page: Any) -> None:
    deployment.compose("stop", "database")
    deployment.compose("restart", "hub")

    def said() -> bool:
        return "database" in deployment.compose("logs", "--since", "2m", "hub").lower()

    eventually("the hub saying what it misses", said, 120)
    deployment.compose("start", "database")
    eventually("every container healthy again", lambda: set(deployment.health().values()) == {"healthy"}, 180)
    come_in(page, deployment)


def test_who_is_not_let_in_sees_neither_hub_nor_other_parts(deployment: Deployment, page: Any) -> None:
    page.goto(f"https://{DOMAIN}/user/{PERSON}/lab")
    assert "/hub/login" in page.url
    page.goto(f"http://{DOMAIN}/hub/login")
    assert page.url.startswith("https://"), "plain HTTP has to lead to HTTPS"
    # From a workspace, what it has no business with does not answer.
    for host, port in (("database", 5432), ("docker", 2375)):
        code = f"import socket; socket.create_connection(('{host}', {port}), 3)"
        done = subprocess.run(["docker", "exec", WORKSPACE, "python", "-c", code], capture_output=True)
        assert done.returncode != 0, host
