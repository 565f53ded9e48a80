"""Streams: at any chunking the client gets the same bytes, reasoning is told apart, usage never gets lost."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.gateway import sse
from neuralinverse_hub.gateway.reasoning import ThinkSplitter, split_thinking
from neuralinverse_hub.gateway.stream import AnswerStream, StreamError, as_events, normalise_answer

TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["<think>", "</think>", "<th", "ink>", "</thi", "nk>", "\n", "\n\n", "<", " ", '"usage":{', "[DONE]"]
        ),
        st.text(max_size=6),
    ),
    max_size=12,
)
CUTS = st.lists(st.integers(0, 4000), max_size=30)


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place for place in at if place < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "model": "real", "choices": [choice], **more}


USAGE = {"prompt_tokens": 3, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}


def upstream(texts: Sequence[str], *, spaced: bool = False, newline: str = "\n", done: bool = True) -> bytes:
    chunks = [
        chunk({"role": "assistant", "content": ""}, usage=None),
        *(chunk({"content": text}, usage=None) for text in texts),
        chunk({}, "stop", usage=None),
        {"id": "c", "object": "chat.completion.chunk", "model": "real", "choices": [], "usage": USAGE},
    ]
    separators = (", ", ": ") if spaced else (",", ":")
    events = [f"data: {json.dumps(each, separators=separators)}" for each in chunks]
    events.insert(1, ": a comment")
    if done:
        events.append("data: [DONE]")
    return "".join(event + newline * 2 for event in events).encode()


def through(pieces: Sequence[bytes], **settings: Any) -> tuple[bytes, AnswerStream]:
    stream = AnswerStream(**{"label": None, "wants_usage": False, **settings})
    out = b"".join([*(stream.feed(piece) for piece in pieces), stream.end()])
    return out, stream


def events_in(out: bytes) -> list[dict[str, Any]]:
    found = [sse.data_of(raw) for raw in out.split(b"\n\n") if raw]
    return [json.loads(data) for data in found if data and data != b"[DONE]"]


@given(
    TEXTS, CUTS, st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.sampled_from([None, "shown"])
)
def test_what_the_client_gets_does_not_depend_on_how_bytes_were_cut(
    texts: list[str], cuts: list[int], spaced: bool, newline: str, wants_usage: bool, label: str | None
) -> None:
    data = upstream(texts, spaced=spaced, newline=newline)
    settings = {"label": label, "wants_usage": wants_usage}
    whole, _ = through([data], **settings)
    pieces, stream = through(cut(data, cuts), **settings)
    assert pieces == whole
    assert whole.endswith(b"data: [DONE]\n\n") and stream.finished
    deltas = [event["choices"][0]["delta"] for event in events_in(whole) if event["choices"]]
    said = "".join(delta.get("content") or "" for delta in deltas)
    thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    assert (thought, said) == split_thinking("".join(texts))
    assert {event["model"] for event in events_in(whole)} == {label or "real"}
    assert stream.usage is not None and (stream.usage.output, stream.usage.reasoning) == (9, 4)
    told = [event for event in events_in(whole) if event.get("usage")]
    assert len(told) == int(wants_usage)


@given(TEXTS, st.lists(st.integers(1, 5), max_size=20))
def test_tags_are_found_however_the_text_is_cut(texts: list[str], _: list[int]) -> None:
    splitter = ThinkSplitter()
    parts = [splitter.feed(text) for text in texts] + [splitter.end()]
    joined = "".join(part[0] for part in parts), "".join(part[1] for part in parts)
    assert joined == split_thinking("".join(texts))


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("plain", "", "plain"),
        ("<think>why\n</think>\n\nbecause", "why", "because"),
        ("\n<think>\nwhy</think>because", "why", "because"),
        ("<think></think>because", "", "because"),
        ("<think>never ends", "never ends", ""),
        ("text about <think> tags </think>", "", "text about <think> tags </think>"),
        ("<thinking>", "", "<thinking>"),
        ("  indented", "", "  indented"),
    ],
)
def test_only_a_leading_tag_is_reasoning(text: str, reasoning: str, content: str) -> None:
    assert split_thinking(text) == (reasoning, content)


@given(st.binary(max_size=200), CUTS)
def test_whole_events_come_out_whole(data: bytes, cuts: list[int]) -> None:
    splitter = sse.Splitter()
    blocks = [splitter.feed(piece) for piece in cut(data, cuts)]
    assert all(block == b"" or block.endswith(b"\n\n") for block in blocks)
    once = sse.Splitter()
    assert b"".join(blocks) == once.feed(data)


def test_a_stream_without_done_gets_one_and_only_one() -> None:
    out, _ = through([upstream(["hi"], done=False)])
    assert out.count(b"[DONE]") == 1


@pytest.mark.parametrize("missing", [5, 40, 200])
def test_a_stream_cut_short_is_an_error_and_not_an_end(missing: int) -> None:
    data = upstream(["hi " * 100], done=False)
    end = data.index(b'"finish_reason":"stop"') - missing
    stream = AnswerStream(label=None, wants_usage=False)
    stream.feed(data[:end])
    with pytest.raises(StreamError, match="broke off"):
        stream.end()


def test_an_error_event_is_an_error() -> None:
    stream = AnswerStream(label=None, wants_usage=False)
    with pytest.raises(StreamError) as caught:
        stream.feed(b'data: {"error": {"message": "out of memory", "code": "oom"}}\n\n')
    assert caught.value.error == {"message": "out of memory", "code": "oom"}


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": 7},
        {"choices": [{"index": [1], "delta": {"content": "x"}}]},
        {"choices": [{"delta": {"reasoning_content": 7, "content": "<think>a</think>b"}}]},
    ],
)
def test_an_event_that_is_no_part_of_an_answer_is_an_error(chunk: dict[str, Any]) -> None:
    stream = AnswerStream(label=None, wants_usage=False)
    with pytest.raises(StreamError, match="no part of an answer"):
        stream.feed(sse.event(json.dumps(chunk).encode()))


def test_reasoning_in_ollamas_spelling_is_reasoning_content() -> None:
    data = b"".join(
        b"data: " + json.dumps(each).encode() + b"\n\n"
        for each in [chunk({"reasoning": "hm"}), chunk({"content": "yes"}), chunk({}, "stop")]
    )
    deltas = [event["choices"][0]["delta"] for event in events_in(through([data])[0])]
    assert deltas[0] == {"reasoning_content": "hm"} and deltas[1] == {"content": "yes"}


def test_tool_calls_pass_as_they_came() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":'}}
    more = {"index": 0, "function": {"arguments": " 1}"}}
    events = [chunk({"role": "assistant", "content": None, "tool_calls": [call]}), chunk({"tool_calls": [more]})]
    data = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in [*events, chunk({}, "tool_calls")])
    assert events_in(through([data])[0])[:2] == events


def test_every_choice_has_its_own_tags() -> None:
    def piece(index: int, text: str, reason: str | None = None) -> dict[str, Any]:
        return {"model": "real", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}

    parts = [piece(0, "a"), piece(0, "b"), piece(1, "<think>x</think>c"), piece(0, "", "stop"), piece(1, "", "stop")]
    data = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in parts)
    out = events_in(through([data], choices=2)[0])
    assert [event["choices"][0]["delta"].get("reasoning_content") for event in out] == [None, None, "x", None, None]


def test_a_broken_off_answer_is_metered_by_what_was_seen() -> None:
    data = upstream(["word "] * 500)
    stream = AnswerStream(label=None, wants_usage=False)
    stream.feed(data[: len(data) // 2])
    assert 200 <= stream.estimated_output() <= 600


def test_a_whole_answer_becomes_a_stream() -> None:
    whole = {
        "id": "c",
        "model": "real",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "<think>a</think>b"}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    }
    assert normalise_answer(whole, label="shown")
    assert not normalise_answer(whole, label="shown"), "nothing is left to change"
    events = events_in(as_events(whole, wants_usage=True))
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": "b", "reasoning_content": "a"}
    assert events[0]["model"] == "shown" and events[1]["usage"] == USAGE
