"""What is sent to the stand-in, and what it answers, is what Azure's own OpenAPI document for v1 says.

So what passes here passes there. The document's short form is tried, too: each definition takes what is right, and
can say no.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from neuralinverse_hub.gateway.asks import chat_ask, embedding_ask
from neuralinverse_hub.gateway.responses import chat_body
from tests.neuralinverse_hub.gateway.azure import KEY, Azure, Fault, contract, standing_in
from tests.neuralinverse_hub.gateway.conftest import Running, prompt

DEFINITIONS = json.loads(Path(__file__).with_name("azure_v1.json").read_text("utf-8"))["$defs"]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {}}}
FLAT_TOOL = {"type": "function", "name": "weather", "parameters": {}, "strict": None}


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


# -- what is sent to it -------------------------------------------------------------------------------------------------


async def test_what_azure_would_not_take_fails_the_test_that_sends_it() -> None:
    with pytest.raises(AssertionError, match=r"embedding_request \$\.dimensions"):
        async with standing_in() as azure:
            await ask(azure, "embeddings", input="Hi", dimensions=0)


async def test_what_a_client_sends_passes_untouched(gateway: Running, azure: Azure) -> None:
    own = {"temperature": 3, "safety_identifier": "x"}
    async with gateway.post(prompt(**own)) as response:
        assert response.status == 200
    assert own.items() <= azure.seen[0].body.items()
    # Azure would refuse this one, and that is the client's to know.
    assert azure.violations.pop().startswith("chat_request $")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        {"input": "Hi", "instructions": "Be brief", "max_output_tokens": 50, "temperature": 0.5, "user": "u"},
        {
            "input": [
                {"role": "developer", "content": "Be kind"},
                {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "And this?"},
                        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                    ],
                },
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "sunny"}]},
                {"type": "function_call_output", "call_id": "c2", "output": "rain"},
            ]
        },
        {"input": "Hi", "tools": [FLAT_TOOL], "tool_choice": "required", "parallel_tool_calls": False},
        {"input": "Hi", "tools": [FLAT_TOOL], "tool_choice": {"type": "function", "name": "weather"}},
        {"input": "Hi", "text": {"format": {"type": "text"}}, "reasoning": {"effort": "low", "summary": "auto"}},
        {"input": "Hi", "text": {"format": {"type": "json_object"}}, "metadata": {"a": "b"}, "store": False},
        {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
        {"input": "Hi", "service_tier": "flex", "truncation": "auto"},
    ],
)
def test_what_a_response_is_asked_with_is_azures(body: dict[str, Any], stream: bool) -> None:
    check(chat_ask(chat_body({**body, "stream": stream})).upstream_body("my-r1"), "chat_request")


def test_what_says_nothing_without_something_else_is_not_sent_alone() -> None:
    body = {"input": "Hi", "parallel_tool_calls": True, "top_logprobs": 3}
    assert not {"parallel_tool_calls", "top_logprobs"} & chat_body(body).keys()
    assert chat_body({**body, "tools": [FLAT_TOOL]})["parallel_tool_calls"] is True


@pytest.mark.parametrize("input_", ["Hi", ["a", "b"], [1, 2], [[1], [2, 3]]])
def test_what_embeddings_are_asked_with_is_azures(input_: Any) -> None:
    body = {"model": "x", "input": input_, "stream": True, "stream_options": {"include_usage": True}, "user": "u"}
    sent = embedding_ask(body).upstream_body("my-embedder")
    check(sent, "embedding_request")
    assert sent == {"model": "my-embedder", "input": input_, "user": "u"}


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
USER = {"role": "user", "content": "Hi"}
CHAT = {"model": "m", "messages": [USER]}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
REFUSAL = {"type": "refusal", "refusal": "No."}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}


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
    "part": [PICTURE, REFUSAL, {"type": "text", "text": ""}, {"type": "file", "file": {"file_id": "f"}}],
    "text": ["", [{"type": "text", "text": "a"}]],
    "message": [
        {"role": "system", "content": "a", "name": "n"},
        {"role": "developer", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]},
        {"role": "assistant", "content": [REFUSAL]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "a", "tool_call_id": "c"},
        {"role": "function", "content": None, "name": "f"},
    ],
    "name": ["a-Z_9", "a" * 64],
    "tool": [TOOL, {"type": "function", "function": {"name": "f", "description": "d", "strict": None}}],
    "tool_choice": ["none", "auto", "required", {"type": "function", "function": {"name": "f"}}],
    "response_format": [{"type": "text"}, {"type": "json_object"}, SCHEMA],
    "chat_request": [
        CHAT,
        {**CHAT, "temperature": 2, "top_p": 0, "n": 128, "seed": -1, "stop": "a", "logit_bias": {"1": -100}},
        {**CHAT, "stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": None},
        {**CHAT, "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True, "reasoning_effort": "low"},
        {**CHAT, "response_format": SCHEMA, "logprobs": True, "top_logprobs": 20, "metadata": {"a": "b"}},
    ],
    "tokens": [[1, 2]],
    "embedding_request": [
        {"model": "m", "input": "a", "encoding_format": "base64", "dimensions": 1, "user": "u"},
        {"model": "m", "input": [[1], [2, 3]]},
    ],
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
    "part": [
        "a",
        {"type": "text"},
        {"type": "input_text", "text": "a"},
        {"type": "image_url", "image_url": "data:"},
        {**PICTURE, "image_url": {"url": "data:", "detail": "original"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "flac"}},
    ],
    "text": [None, [PICTURE], [REFUSAL], ["a"]],
    "message": [
        {"content": "a"},
        {"role": "person", "content": "a"},
        {"role": "system"},
        {"role": "developer", "content": [PICTURE]},
        {"role": "user", "content": None},
        {"role": "user", "content": [REFUSAL]},
        {"role": "assistant"},
        {"role": "assistant", "content": [PICTURE]},
        {"role": "assistant", "content": "a", "reasoning_content": "so"},
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": None}}]},
        {"role": "tool", "content": "a"},
        {"role": "function", "content": "a"},
    ],
    "name": ["", "a" * 65, "a.b"],
    "tool": [FLAT_TOOL, {"type": "web_search"}, {"type": "function", "function": {"name": "a b"}}],
    "tool_choice": ["any", {"type": "function", "name": "f"}, {"type": "mcp"}, None],
    "response_format": [
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"schema": {}}},
        {"type": "grammar"},
        {**SCHEMA, "type": "json_object"},
    ],
    "chat_request": [
        without(CHAT, "model"),
        without(CHAT, "messages"),
        *(
            {**CHAT, **wrong}
            for wrong in (
                {"messages": []},
                {"stream": "yes"},
                {"stream_options": {"include_obfuscation": False}},
                {"max_completion_tokens": 2**31},
                {"max_tokens": "5"},
                {"n": 0},
                {"n": 129},
                {"temperature": 2.1},
                {"top_p": -0.1},
                {"frequency_penalty": 3},
                {"presence_penalty": -3},
                {"seed": 0.5},
                {"stop": ["a"] * 5},
                {"logprobs": 1},
                {"top_logprobs": 21},
                {"top_logprobs": None},
                {"logit_bias": {"1": 101}},
                {"reasoning_effort": "minimal"},
                {"response_format": "json"},
                {"tools": [TOOL] * 129},
                {"tool_choice": "any"},
                {"parallel_tool_calls": None},
                {"functions": []},
                {"function_call": "required"},
                {"modalities": ["video"]},
                {"audio": {"voice": "a"}},
                {"prediction": {}},
                {"store": "no"},
                {"metadata": {"a": 1}},
                {"user": None},
                {"user_security_context": {"ip": "x"}},
                {"data_sources": [{"type": "web"}]},
                {"service_tier": "flex"},
            )
        ),
    ],
    "tokens": [[1.5], ["a"], [2**31], [1] * 2049],
    "embedding_request": [
        {"input": "a"},
        {"model": "m"},
        {"model": "m", "input": ""},
        {"model": "m", "input": ["a"] * 2049},
        {"model": "m", "input": "a", "dimensions": 0},
        {"model": "m", "input": "a", "encoding_format": "int8"},
        {"model": "m", "input": "a", "stream": None},
    ],
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_takes_what_is_right_and_can_say_no(name: str) -> None:
    for value in TAKES[name]:
        check(value, name)
    for value in REFUSES[name]:
        assert not contract(name).is_valid(value), value
