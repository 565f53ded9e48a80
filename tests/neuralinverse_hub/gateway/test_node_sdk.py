"""The official openai SDK for Node, unmodified, as a contract. ``make test`` installs it into tests/node."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from neuralinverse_hub.local import node
from tests.neuralinverse_hub.gateway.azure import Azure
from tests.neuralinverse_hub.gateway.conftest import Running

NODE = Path(__file__).parents[2] / "node"


async def test_the_node_sdk_gets_answers_streams_models_and_errors(gateway: Running, azure: Azure) -> None:
    if not (NODE / "node_modules" / "openai").is_dir():
        pytest.skip("the Node SDK is not installed: run `npm ci --ignore-scripts` in tests/node")
    environment = {**os.environ, "OPENAI_BASE_URL": gateway.url, "OPENAI_API_KEY": "ada-token"}
    process = await asyncio.create_subprocess_exec(
        str(node.find().binary),
        str(NODE / "sdk.mjs"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    saw = json.loads(said)
    assert saw["answer"] == saw["response"] == "Hello from the model."
    assert saw["pieces"] == azure.pieces
    assert saw["tokens"] > 0 and saw["streamedTokens"] > 0
    assert {"auto", "reasoning", "coding", "general", "deepseek-r1", "llama-4", "mistral-large"} <= set(saw["models"])
    assert saw["unknown"]["kind"] == "NotFoundError" and saw["unknown"]["status"] == 404
    assert "no-such-model" in saw["unknown"]["message"]
    assert {record.person for record in gateway.records} == {"ada"}
