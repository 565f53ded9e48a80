"""The stand-in answers as Azure's own OpenAPI document for v1 says, so that what passes here passes there.

The document's short form is tried, too: each definition takes what is right, and
can say no.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.neuralinverse_hub.gateway.azure import KEY, Azure, Fault, contract

DEFINITIONS = json.loads(Path(__file__).with_name("azure_v1.json").read_text("utf-8"))["$defs"]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def check(value: Any, name: str) -> None:
    contract(name).validate(value)


async def ask(azure: Azure, path: str = "chat/completions", **body: Any) -> tuple[int, str]:
    messages = {"messages": [{"role": "user", "content": "Hi"}]} if path == "chat/completions" else {}
    async with aiohttp.ClientSession(headers={"api-key": KEY}) as session:
        asked = {"model": "my-r1", **messages, **body}
        async with session.post(f"{azure.url}/openai/v1/{path}", json=asked) as response:
            return response.status, await response.text()


# -- what the stand-in answers ------------------------------------------------------------------------------------------


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
    answer = json.loads(text)
    check(answer, "error")
    assert {"code", "message"} <= set(answer["error"]), "the document requires neither; the gateway reads both"


@pytest.mark.parametrize("format_", ["float", "base64"])
async def test_embeddings_are_azures(azure: Azure, format_: str) -> None:
    status, text = await ask(azure, "embeddings", input=["a", "b"], encoding_format=format_)
    assert status == 200
    answer = json.loads(text)
    check(answer, "embeddings")
    vector = answer["data"][1]["embedding"]
    assert vector == ("AAAAPwAAgL4=" if format_ == "base64" else [0.5, -0.25])


async def test_the_list_of_models_is_azures(azure: Azure) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{azure.url}/openai/v1/models") as response:
        answer = await response.json()
    check(answer, "models")
    assert [row["id"] for row in answer["data"]] == list(azure.deployments)


# -- the short form of the document -------------------------------------------------------------------------------------

DETECTED = {"filtered": False, "detected": True}
BOTH = {"jailbreak": DETECTED, "indirect_attack": DETECTED}
PROBABLE = {"token": "a", "logprob": -0.5, "bytes": None}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"completion_tokens": 1, "prompt_tokens": 1, "total_tokens": 2}
CHOICE = {
    "index": 0,
    "finish_reason": "stop",
    "logprobs": None,
    "message": {"role": "assistant", "content": None, "refusal": None},
}
WHOLE = {"id": "x", "choices": [CHOICE], "created": 1, "model": "m", "object": "chat.completion", "usage": USAGE}
PIECE = {**WHOLE, "choices": [{"index": 0, "finish_reason": None, "delta": {}}], "object": "chat.completion.chunk"}
VECTOR = {"index": 0, "embedding": [0.5], "object": "embedding"}
VECTORS = {
    "data": [VECTOR],
    "model": "m",
    "object": "list",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
MODEL = {"id": "m", "created": 1, "object": "model", "owned_by": "o"}


def without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key != name}


def chosen(**members: Any) -> dict[str, Any]:
    return {**WHOLE, "choices": [{**CHOICE, **members}]}


TAKES: dict[str, list[Any]] = {
    "int32": [0, -(2**31), 2**31 - 1],
    "finish_reason": ["stop", "function_call"],
    "severity": [{"filtered": True, "severity": "high"}],
    "detection": [DETECTED],
    "filter": [{}, {"profanity": DETECTED, "custom_blocklists": {"filtered": True, "details": []}}],
    "choice_filter": [
        {},
        {
            "protected_material_code": {**DETECTED, "citation": {"license": "MIT"}},
            "ungrounded_material": {**DETECTED, "details": []},
            "personally_identifiable_information": DETECTED,
        },
    ],
    "attack_filter": [{}, BOTH],
    "prompt_filter": [
        {"prompt_index": 0, "content_filter_results": {"jailbreak": DETECTED}},
        {"prompt_index": 0, "content_filter_results": {"prompt_index": 0, "content_filter_results": BOTH}},
    ],
    "token": [PROBABLE, {**PROBABLE, "bytes": [97]}],
    "scored": [None, [{**PROBABLE, "top_logprobs": [PROBABLE]}]],
    "logprobs": [None, {"content": [], "refusal": None}],
    "usage": [USAGE, {**USAGE, "prompt_tokens_details": {"cached_tokens": 1}}],
    "called": [CALL["function"]],
    "tool_call": [CALL],
    "completion": [WHOLE, chosen(message={"role": "assistant", "content": "a", "refusal": None, "tool_calls": [CALL]})],
    "delta": [{}, {"role": "assistant", "content": None, "tool_calls": [{"index": 0}]}],
    "thoughtful_delta": [{"reasoning_content": "so"}],
    "chunk": [PIECE, {**PIECE, "usage": None, "choices": []}],
    "error": [{"error": {"code": "429", "message": "Wait.", "type": "error", "inner_error": {"any": 1}}}],
    "embeddings": [VECTORS, {**VECTORS, "data": [{**VECTOR, "embedding": "AAAAPw=="}]}],
    "models": [{"object": "list", "data": []}, {"object": "list", "data": [MODEL]}],
}

REFUSES: dict[str, list[Any]] = {
    "int32": [2**31, 0.5, "1", True],
    "finish_reason": ["end", None],
    "severity": [{"filtered": True}, {"filtered": True, "severity": "none"}, {"filtered": 1, "severity": "low"}],
    "detection": [{"filtered": False}, {"filtered": False, "detected": None}],
    "filter": [{"hate": DETECTED}, {"error": {"code": "1", "message": "m"}}, {"custom_topics": {"details": []}}],
    "choice_filter": [
        {"sexual": {}},
        {"ungrounded_material": DETECTED},
        {"personally_identifiable_information": {**DETECTED, "sub_categories": [DETECTED]}},
        {"protected_material_code": {"citation": {}}},
    ],
    "attack_filter": [{"jailbreak": {"filtered": False, "severity": "safe"}}],
    "prompt_filter": [
        {"content_filter_results": {}},
        {"prompt_index": 0},
        {"prompt_index": 0, "content_filter_results": {"hate": {}}},
        {"prompt_index": 0, "content_filter_results": {"content_filter_results": without(BOTH, "jailbreak")}},
    ],
    "token": [without(PROBABLE, "bytes"), {**PROBABLE, "logprob": "-1"}, {**PROBABLE, "bytes": "a"}],
    "scored": [[PROBABLE], {}],
    "logprobs": [{"content": []}, {"content": [PROBABLE], "refusal": None}],
    "usage": [
        without(USAGE, "total_tokens"),
        {**USAGE, "prompt_tokens": 1.5},
        {**USAGE, "prompt_tokens_details": None},
    ],
    "called": [{"name": "f"}, {"name": "f", "arguments": {}}],
    "tool_call": [without(CALL, "id"), {**CALL, "type": "custom"}, {**CALL, "function": {}}],
    "completion": [
        *(without(WHOLE, name) for name in ("id", "choices", "created", "model", "object")),
        {**WHOLE, "object": "chat.completion.chunk"},
        {**WHOLE, "usage": None},
        {**WHOLE, "system_fingerprint": None},
        {**WHOLE, "choices": [without(CHOICE, "logprobs")]},
        chosen(finish_reason=None),
        chosen(message={"role": "assistant", "content": "a"}),
        chosen(message={"role": "user", "content": "a", "refusal": None}),
        chosen(content_filter_results={"hate": {"filtered": False}}),
    ],
    "delta": [{"role": "model"}, {"content": []}, {"tool_calls": [{"id": "c"}]}],
    "thoughtful_delta": [{"reasoning_content": None}, {"role": "model"}],
    "chunk": [
        *(without(PIECE, name) for name in ("id", "choices", "created", "model", "object")),
        {**PIECE, "object": ""},
        {**PIECE, "usage": {}},
        {**PIECE, "choices": [{"index": 0, "delta": {}}]},
        {**PIECE, "choices": [{"index": 0, "delta": None, "finish_reason": None}]},
    ],
    "error": [{"error": "no"}, {"error": {"type": None}}, {"error": {"param": None}}, {"error": {"code": 429}}],
    "embeddings": [
        *(without(VECTORS, name) for name in VECTORS),
        {**VECTORS, "data": [without(VECTOR, "index")]},
        {**VECTORS, "data": [{**VECTOR, "embedding": ["0.5"]}]},
        {**VECTORS, "usage": {"prompt_tokens": 1}},
    ],
    "models": [
        {"data": []},
        {"object": "list", "data": ["m"]},
        *({"object": "list", "data": [without(MODEL, name)]} for name in MODEL),
    ],
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_takes_what_is_right_and_can_say_no(name: str) -> None:
    for value in TAKES[name]:
        check(value, name)
    for value in REFUSES[name]:
        assert not contract(name).is_valid(value), value
