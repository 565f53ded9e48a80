"""The stand-in answers as Azure's own OpenAPI document for v1 says, so that what passes here passes there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from tests.neuralinverse_hub.gateway.azure import KEY, Azure, Fault

CONTRACT = json.loads(Path(__file__).with_name("azure_v1.json").read_text("utf-8"))
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def check(value: Any, name: str) -> None:
    jsonschema.validate(value, {**CONTRACT, "$ref": f"#/$defs/{name}"})


async def ask(azure: Azure, **body: Any) -> tuple[int, str]:
    asked = {"model": "my-r1", "messages": [{"role": "user", "content": "Hi"}], **body}
    async with aiohttp.ClientSession(headers={"api-key": KEY}) as session:
        async with session.post(f"{azure.url}/openai/v1/chat/completions", json=asked) as response:
            return response.status, await response.text()


@pytest.mark.parametrize("body", [{}, {"tools": [TOOL]}])
async def test_whole_answers_are_azures(azure: Azure, body: dict[str, Any]) -> None:
    azure.reasoning = ["so"]
    status, text = await ask(azure, **body)
    assert status == 200
    check(json.loads(text), "completion")


@pytest.mark.parametrize("body", [{}, {"tools": [TOOL]}, {"stream_options": {"include_usage": True}}])
async def test_every_chunk_is_azures(azure: Azure, body: dict[str, Any]) -> None:
    azure.reasoning = ["so"]
    _, text = await ask(azure, stream=True, **body)
    chunks = [line[6:] for line in text.split("\n\n") if line]
    assert chunks.pop() == "[DONE]" and len(chunks) >= 3
    for chunk in chunks:
        check(json.loads(chunk), "chunk")


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("500", 500), ("content_filter", 400)])
async def test_errors_are_azures(azure: Azure, kind: str, status: int) -> None:
    azure.faults = [Fault(kind)]
    seen, text = await ask(azure)
    assert seen == status
    check(json.loads(text), "error")


def test_the_contract_can_say_no() -> None:
    with pytest.raises(jsonschema.ValidationError):
        check({"id": "x", "choices": [{}], "created": 1, "model": "m", "object": "chat.completion"}, "completion")
