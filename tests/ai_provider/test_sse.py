from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_provider.errors import Cut
from ai_provider.sse import Events, Piece, piece

LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6),
    end=LINE_ENDS,
    cuts=st.lists(st.integers(min_value=1, max_value=40), max_size=60),
)
def test_the_events_do_not_depend_on_where_the_bytes_are_split(texts: list[str], end: str, cuts: list[int]) -> None:
    payloads = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    raw = "".join(f": wait{end}data: {payload}{end}{end}" for payload in payloads).encode()
    events = Events()
    seen: list[str] = []
    for size in cuts:
        seen += events.feed(raw[:size])
        raw = raw[size:]
    seen += events.feed(raw)
    assert seen == payloads


def test_data_of_several_lines_is_joined_and_an_unfinished_event_is_kept_back() -> None:
    events = Events()
    assert list(events.feed(b"event: x\ndata: a\ndata:b\n\ndata: c\n")) == ["a\nb"]
    assert list(events.feed(b"\n")) == ["c"]


def test_a_piece_names_text_reasoning_model_and_end() -> None:
    chunk = {"model": "m", "choices": [{"delta": {"content": "t", "reasoning_content": "r"}, "finish_reason": "stop"}]}
    assert piece(json.dumps(chunk)) == Piece(text="t", reasoning="r", model="m", finish="stop")
    assert piece("[DONE]") is None
    assert piece('{"choices": [], "usage": {}}') == Piece()


@pytest.mark.parametrize("data", ["{", "[]", '{"error": {"message": "gone"}}', '{"error": "gone"}'])
def test_what_is_not_a_piece_of_an_answer_cuts_it(data: str) -> None:
    with pytest.raises(Cut, match="The answer broke off"):
        piece(data)
