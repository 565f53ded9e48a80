"""What a body asks for, when any member of it is something else than it should be."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from neuralinverse_hub.gateway import codec
from neuralinverse_hub.gateway.asks import chat_ask, completion_ask, embedding_ask
from neuralinverse_hub.gateway.errors import GatewayError
from neuralinverse_hub.gateway.responses import ResponseStream, chat_body, response_of

CALL: Final = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT: Final[dict[str, Any]] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "functions": [],
    "response_format": {"type": "json_object"},
    "n": 1,
    "max_tokens": 5,
    "max_completion_tokens": 5,
    "service_tier": "flex",
}
COMPLETIONS: Final[dict[str, Any]] = {"model": "auto", "prompt": ["a", "b"], "suffix": "c", "n": 1, "max_tokens": 3}
EMBEDDINGS: Final[dict[str, Any]] = {"model": "auto", "input": [[1, 2], [3]], "encoding_format": "float"}
RESPONSES: Final[dict[str, Any]] = {
    "model": "auto",
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "image_url": "x", "detail": "low"},
            ],
        },
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": [1]},
        {"type": "reasoning"},
    ],
    "instructions": "Be kind",
    "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}},
    "reasoning": {"effort": "low"},
    "max_output_tokens": 4,
    "stream": True,
    "metadata": {},
}
ODD: Final = (
    *(None, True, 0, -1, 1.5, 10**30, "", " ", "x", "\ud800"),
    *([], {}, [1], ["a"], [[]], [None], [{}], {"a": 1}, {"type": "function"}, {"type": [1]}),
)
ANSWER: Final[dict[str, Any]] = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
EVENTS: Final = (
    b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)


def respond(body: dict[str, Any]) -> Any:
    ask = chat_ask(chat_body(body))
    json.dumps(response_of(ANSWER, body, "1", 1))
    ResponseStream(body, "1", 1).feed(EVENTS)
    return ask


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every member of a body."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield (*path, name)
        yield from places(member, (*path, name))


@pytest.mark.parametrize(
    ("body", "read"),
    [(CHAT, chat_ask), (COMPLETIONS, completion_ask), (EMBEDDINGS, embedding_ask), (RESPONSES, respond)],
    ids=["chat/completions", "completions", "embeddings", "responses"],
)
def test_whatever_a_member_is_the_body_is_an_ask_or_is_told_what_is_wrong(body: dict[str, Any], read: Any) -> None:
    assert codec.compact(read(body).upstream_body("a-deployment"))
    for *way, last in places(body):
        for odd in ODD:
            changed = copy.deepcopy(body)
            holder = changed
            for name in way:
                holder = holder[name]
            holder[last] = odd
            try:
                ask = read(changed)
            except GatewayError:
                continue
            assert codec.compact(ask.upstream_body("a-deployment")), (way, last, odd)
