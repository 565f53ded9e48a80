"""What an answer used is handed to the ledger, once, and never on the way of a request."""

from __future__ import annotations

import json
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.app import Gateway
from neuralinverse_hub.spool import from_line
from tests.neuralinverse_hub.gateway.azure import Azure
from tests.neuralinverse_hub.gateway.conftest import Hub, azure_env, prompt, serving, until


async def test_the_gateway_hands_every_request_over_once(hub: Hub, azure: Azure, tmp_path: Path) -> None:
    taken: list[wire.UsageRecord] = []

    async def usage(request: web.Request) -> web.Response:
        taken.extend(from_line(wire.UsageRecord, line) for line in (await request.read()).splitlines())
        return web.json_response({"taken": len(taken)})

    application = web.Application()
    application.router.add_post("/records/usage", usage)
    async with TestServer(application) as server:
        settings = {"ledger_url": str(server.make_url("/records/usage")), "spool_dir": str(tmp_path / "spool")}
        async with serving(hub, azure_env(azure), **settings) as gateway:
            for stream in (False, True, False):
                names = {"User-Agent": "OpenAI/Python 2.14.0" if stream else "x" * 100}
                async with gateway.post(prompt(stream=stream), headers=names) as response:
                    await response.read()
            await until(lambda: len(taken) == 3)
    assert [each.client for each in taken] == ["x" * 64, "OpenAI/Python 2.14.0", "x" * 64]
    assert taken == gateway.records and len(taken) == 3


async def test_a_ledger_gets_records_over_http_and_its_answers_set_the_weights(
    hub: Hub, azure: Azure, tmp_path: Path
) -> None:
    taken: list[str] = []
    tokens: set[str | None] = set()
    before: list[dict[str, float]] = []
    """The weights that were in force when each batch came."""
    answers = iter([{"taken": 1, "weights": {"bob": 0.5}}, {"taken": 1}, {"taken": 1, "weights": {}}])
    gateways: list[Gateway] = []

    async def usage(request: web.Request) -> web.Response:
        tokens.add(request.headers.get("Authorization"))
        before.append(dict(gateways[0].parts.relay.weights))
        taken.extend(json.loads(line)["request_id"] for line in (await request.text()).splitlines())
        return web.json_response(next(answers))

    application = web.Application()
    application.router.add_post("/records/usage", usage)
    async with TestServer(application) as server:
        settings = {"ledger_url": str(server.make_url("/records/usage")), "spool_dir": str(tmp_path / "spool")}
        environment = {**azure_env(azure), wire.ENV_TOKEN: "the gateway's own"}
        async with serving(hub, environment, **settings) as gateway:
            gateways.append(gateway.gateway)
            for count in (1, 2, 3):
                async with gateway.post(prompt()) as response:
                    await response.read()
                await until(lambda count=count: len(taken) == count)
            await until(lambda: gateway.gateway.parts.relay.weights == {})
        assert taken == [each.request_id for each in gateway.records]
    # An answer that names no weights leaves them as they were.
    assert before == [{}, {"bob": 0.5}, {"bob": 0.5}]
    assert tokens == {"token the gateway's own"}
