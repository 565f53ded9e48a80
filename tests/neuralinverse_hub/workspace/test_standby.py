"""A workspace that waits to be claimed: over real HTTP, and as the whole process with a real server in it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import jupyterhub
import psutil
import pytest

from neuralinverse_hub import wire
from neuralinverse_hub.workspace.standby import LARGEST_BODY, Standby, digest_of
from tests.one_machine import eventually

NONCE = "right-nonce"
GIVEN = {"environment": {"JUPYTERHUB_API_TOKEN": "t0ken"}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Waiting:
    def __init__(self) -> None:
        self.port = free_port()
        self.loaded = True
        self.standby = Standby(digest_of(NONCE), lambda: self.loaded, slowest_s=0.5)
        self.standby.listen(self.port, "127.0.0.1")
        self.claim = asyncio.create_task(self.standby.claimed())
        self.url = f"http://127.0.0.1:{self.port}"

    async def post(self, body: Any = GIVEN, nonce: str = NONCE) -> int:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {nonce}"}
        async with aiohttp.ClientSession() as session:
            async with session.post(self.url + wire.CLAIM_PATH, data=data, headers=headers) as answer:
                return answer.status


@pytest.fixture
async def waiting() -> AsyncIterator[Waiting]:
    made = Waiting()
    yield made
    made.claim.cancel()
    await asyncio.gather(made.claim, return_exceptions=True)


async def test_who_knows_the_nonce_gives_it_its_environment_and_frees_the_port(waiting: Waiting) -> None:
    assert await waiting.post() == 200
    assert await asyncio.wait_for(waiting.claim, 20) == GIVEN["environment"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", waiting.port))


@pytest.mark.parametrize("nonce", ["", "wrong", NONCE + "x", digest_of(NONCE), "ö"])
async def test_another_nonce_is_refused_and_changes_nothing(waiting: Waiting, nonce: str) -> None:
    assert await waiting.post(nonce=nonce) == 401
    assert not waiting.claim.done()
    assert await waiting.post() == 200


async def test_without_a_digest_nothing_is_right() -> None:
    assert not Standby("", lambda: True).accepts("Bearer ")


async def test_a_second_claim_is_refused(waiting: Waiting) -> None:
    assert waiting.standby.take({"A": "1"})
    assert not waiting.standby.take({"A": "2"})
    assert await waiting.claim == {"A": "1"}


async def test_of_twenty_claims_at_once_one_is_taken(waiting: Waiting) -> None:
    async def one(number: int) -> int:
        try:
            return await waiting.post({"environment": {"N": str(number)}})
        except (aiohttp.ClientError, ConnectionError):
            return 0

    answers = await asyncio.gather(*(one(number) for number in range(20)))
    assert answers.count(200) == 1
    assert (await waiting.claim)["N"] == str(answers.index(200))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", {"environment": []}, {"environment": {}}, {"environment": {"A": 1}},
     {"environment": {"A=B": "x"}}, {"environment": {"A": "x\0y"}}],
)  # fmt: skip
async def test_what_is_no_environment_is_refused(waiting: Waiting, body: Any) -> None:
    assert await waiting.post(body) == 400
    assert await waiting.post() == 200


async def test_one_that_still_loads_cannot_be_claimed(waiting: Waiting) -> None:
    waiting.loaded = False
    assert await waiting.post() == 503
    waiting.loaded = True
    assert await waiting.post() == 200


async def test_an_oversized_body_is_refused_and_the_next_is_served(waiting: Waiting) -> None:
    try:
        assert await waiting.post(b"x" * (LARGEST_BODY + 1)) in (400, 413)
    except (aiohttp.ClientError, ConnectionError):
        pass  # Closed while the client still wrote.
    assert not waiting.claim.done()
    assert await waiting.post() == 200


@pytest.mark.parametrize(
    "sent",
    [b"POST /claim HTT", f"POST /claim HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {NONCE}\r\nContent-Length: 99\r\n\r\n{{".encode()],
)  # fmt: skip
async def test_a_slow_request_is_ended_and_delays_nobody(waiting: Waiting, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", waiting.port)
    writer.write(sent)
    await writer.drain()
    assert await waiting.post(nonce="wrong") == 401
    await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert not waiting.claim.done()
    assert await waiting.post() == 200


class Process:
    """The whole workspace, unclaimed."""

    def __init__(self, home: Path, more: dict[str, str]) -> None:
        self.port, self.home = free_port(), home
        hub = ("JUPYTERHUB_", "NEURALINVERSE_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(hub)}
        environ |= {"HOME": str(home), wire.ENV_CLAIM: digest_of(NONCE), wire.ENV_STANDBY_PORT: str(self.port), **more}
        self.log = (home / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neuralinverse_hub.workspace"],
            env=environ, cwd=home, stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@pytest.fixture
def process(tmp_path: Path, installed: Any) -> Iterator[Process]:
    made = Process(
        tmp_path, {wire.ENV_IDE_NODE: str(installed.node), wire.ENV_IDE_ENTRY: str(installed.code_server_entry)}
    )
    yield made
    made.process.kill()
    made.process.wait()
    made.log.close()


class _Hub(BaseHTTPRequestHandler):
    """The little of a hub's API without which a server does not start."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps({"version": jupyterhub.__version__}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def hub_api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hub/api"
        server.shutdown()


def test_a_warm_process_becomes_the_persons_server(process: Process, hub_api: str) -> None:
    eventually("the workspace is warm", lambda: process.get(wire.STANDBY_PATH) == 200, 90)
    environment = {
        wire.ENV_FOLDER: str(process.home / "work"),
        wire.ENV_STATE: str(process.home / ".neuralinverse"),
        wire.ENV_GENERATION: "7",
        "JUPYTERHUB_API_TOKEN": "t0ken",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada",
        "JUPYTERHUB_API_URL": hub_api,
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{process.port}/user/ada/",
        "JUPYTERHUB_USER": "ada",
        "JUPYTERHUB_BASE_URL": "/",
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.port}{wire.CLAIM_PATH}",
        data=json.dumps({"environment": environment}).encode(),
        headers={"Authorization": f"Bearer {NONCE}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    # The same port is now the server's own, which lets nobody in whom the hub has not let in.
    eventually("the server of ada", lambda: process.get("/user/ada/api") == 200, 60)
    assert process.get("/user/ada/api/contents") == 403
    assert process.get(wire.STANDBY_PATH) == 404
    assert b"t0ken" not in (process.home / "log").read_bytes()
    assert (process.home / "work" / "WELCOME.md").exists()
    # The editor that was loaded before is the person's, with their environment and at their address.
    socket_path = process.home / ".neuralinverse" / "vscode.sock"
    page = eventually("VS Code's page", lambda: over_socket(socket_path, "/?folder=/"), 30)
    assert b"vscode-workbench-web-configuration" in page
    (editor,) = [
        each for each in psutil.Process(process.process.pid).children() if "warm_editor.cjs" in str(each.cmdline())
    ]
    assert not [each for each in editor.children() if "entry.js" in str(each.cmdline())], "it was started once more"


def over_socket(path: Path, address: str) -> bytes:
    """Body of a page that is served on a UNIX socket with status 200; empty while there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        try:
            connection.connect(str(path))
        except OSError:
            return b""
        connection.sendall(f"GET {address} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if b" 200 " in head.split(b"\r\n")[0] else b""


def test_an_unclaimed_workspace_ends_when_told_to(process: Process) -> None:
    eventually("the workspace is warm", lambda: process.get(wire.STANDBY_PATH) in (200, 503), 60)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0
