"""Two gateways behind one door: one leaves in the middle of a stream, and nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from neuralinverse_hub import wire
from tests.neuralinverse_hub.gateway.azure import Azure, Fault
from tests.neuralinverse_hub.gateway.conftest import Hub, azure_env, prompt, until


@contextlib.asynccontextmanager
async def replica(env: dict[str, str], spool: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway's process and the URL of its API."""
    command = ["-m", "neuralinverse_hub.gateway", f"--Gateway.spool_dir={spool}"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, env=env, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        line = ""
        while "serves " not in line:
            line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
            assert line, "the gateway did not start"
        yield process, line.rpartition("serves ")[2].strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_replica_that_leaves_loses_no_stream_no_request_and_no_record(
    hub: Hub, azure: Azure, tmp_path: Path
) -> None:
    taken: list[str] = []

    async def usage(request: web.Request) -> web.Response:
        taken.extend(json.loads(line)["request_id"] for line in (await request.text()).splitlines())
        return web.json_response({})

    ledger = web.Application()
    ledger.router.add_post("/records/usage", usage)
    table = tmp_path / "table.json"
    table.write_text("{}")
    async with TestServer(ledger) as server, contextlib.AsyncExitStack() as stack:
        env = {**os.environ, **azure_env(azure), "JUPYTERHUB_API_URL": hub.api, "PYTHONPATH": os.getcwd()}
        env |= {"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0", "NEURALINVERSE_GATEWAY_TABLE": str(table)}
        env |= {wire.ENV_LEDGER_URL: str(server.make_url("/records/usage")), wire.ENV_TOKEN: "the gateway's own"}
        first, url = await stack.enter_async_context(replica(env, tmp_path / "first"))
        _, other = await stack.enter_async_context(replica(env, tmp_path / "second"))
        session = await stack.enter_async_context(aiohttp.ClientSession(headers={"Authorization": "Bearer ada-token"}))
        turns = 0
        answered: list[str] = []

        async def ask() -> str:
            """The URL that answered: round robin over those that are ready, as a Service does it."""
            nonlocal turns
            while True:
                turns += 1
                base = (url, other)[turns % 2]
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with session.get(base.removesuffix("v1") + "readyz") as ready:
                        if ready.status != 200:
                            continue
                    async with session.post(f"{base}/chat/completions", json=prompt()) as response:
                        if response.status == 503 and (await response.json())["error"]["code"] == "shutting_down":
                            continue
                        assert response.status == 200, await response.text()
                        answered.append(response.headers["x-request-id"])
                        return base

        assert {await ask() for _ in range(4)} == {url, other}
        azure.faults = [Fault("hang-within")]
        async with session.post(f"{url}/chat/completions", json=prompt(stream=True)) as stream:
            answered.append(stream.headers["x-request-id"])
            await stream.content.readany()
            # A table that is read again and a process that is told to end: the stream goes on through both.
            table.write_text('{"tasks": {"general": ["llama-4"]}}')
            first.send_signal(signal.SIGHUP)
            model = ""
            while model != "llama-4":
                async with session.post(f"{url}/chat/completions", json=prompt()) as response:
                    answered.append(response.headers["x-request-id"])
                    model = response.headers[wire.HEADER_MODEL]
            first.send_signal(signal.SIGTERM)
            await until(lambda: refuses(url), within_s=30)
            assert {await ask() for _ in range(4)} == {other}
            assert first.returncode is None
            azure.gate.set()
            assert (await stream.text()).endswith("data: [DONE]\n\n")
        assert await asyncio.wait_for(first.wait(), 60) == 0
        await until(lambda: len(taken) >= len(answered), within_s=30)
    assert sorted(taken) == sorted(answered), "a record was lost or counted twice"


async def refuses(url: str) -> bool:
    """Whether nothing new is taken there."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url.removesuffix("v1") + "readyz") as response:
            return response.status == 503
    except aiohttp.ClientConnectionError:
        return True
