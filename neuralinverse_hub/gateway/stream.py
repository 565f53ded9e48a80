"""An upstream's stream turned into the client's: the same events, normalised and metered on the way. Pure.

What changes: reasoning comes as ``reasoning_content`` however the upstream wrote it; ``model`` is the real name of who
answers; usage is taken out for metering and only passed on when the client asked. All else passes as it came.

Most events pass without being parsed: a block of whole events is searched for the few byte patterns that matter, none
of which can occur inside a JSON string, where every quote has a backslash before it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from neuralinverse_hub.gateway import codec, sse
from neuralinverse_hub.gateway.meter import Usage, usage_from
from neuralinverse_hub.gateway.reasoning import ThinkSplitter, split_thinking

__all__ = ["AnswerStream", "StreamError", "as_events", "normalise_answer"]

_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
_FINISH: Final = re.compile(rb'"finish_reason"\s*:\s*"')
_NULL_USAGE: Final = re.compile(rb',\s*"usage"\s*:\s*null')


class StreamError(Exception):
    """The upstream ended its stream wrongly; the sentence says how, ``error`` is its own error if it sent one."""

    def __init__(self, message: str, error: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.error = error


class AnswerStream:
    """One answer of chat/completions (or, with ``thinks=False``, completions) on its way to the client.

    ``label`` replaces the upstream's name for the model; None keeps it.
    """

    def __init__(self, *, label: str | None, wants_usage: bool, choices: int = 1, thinks: bool = True) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        """Whether every needed end was seen: a finish reason, or ``[DONE]``."""
        self.events = 0
        self._bytes = 0
        self._smallest = 1 << 30
        self._label = label
        self._wants_usage = wants_usage
        self._thinks = thinks
        self._splitter = sse.Splitter()
        self._choices: dict[int, ThinkSplitter] = {}
        self._settled = False
        self._done = self._ended = False
        self._wanted_choices = choices
        self._rename: tuple[re.Pattern[bytes], Any] | None = None

    def feed(self, chunk: bytes) -> bytes:
        """What to send to the client for a chunk of the upstream's. Raises `StreamError` on an error event."""
        try:
            block = self._splitter.feed(chunk)
        except ValueError as error:
            raise StreamError(str(error)) from error
        if not block:
            return b""
        if self._passes(block):
            return self._pass(block)
        # Event by event, so that what comes out does not depend on how the events were grouped.
        return b"".join(self._event(raw) for raw in block.split(b"\n\n") if raw)

    def end(self) -> bytes:
        """What is left to send when the upstream closed its stream. Raises `StreamError` if it was cut short."""
        if self._ended:
            return b""
        self._ended = True
        rest = self._splitter.rest
        tail = b""
        if rest.strip():
            # The last event of a stream may lack its blank line; half an event lacks more.
            data = sse.data_of(rest.rstrip(b"\r\n"))
            if data == b"[DONE]" or (data is not None and _is_json(data)):
                tail = self._event(rest.rstrip(b"\r\n"))
            else:
                raise StreamError("the model's answer broke off in the middle of an event")
        if not self.finished:
            raise StreamError("the model's answer broke off before its end")
        return tail if self._done else tail + sse.DONE

    def estimated_output(self) -> int:
        """About how many tokens were sent so far: for answers whose usage the upstream never told."""
        if not self.events:
            return 0
        text = self._bytes - self.events * max(self._smallest - 4, 0)
        return max(self.events, text // 4)

    def _passes(self, block: bytes) -> bool:
        return (
            self._settled
            and b"[DONE]" not in block
            and b'"error"' not in block
            and b'"reasoning"' not in block
            and not (b'"usage"' in block and _USAGE.search(block))
            and not _FINISH.search(block)
        )

    def _pass(self, block: bytes) -> bytes:
        count = block.count(b"\n\n")
        self.events += count
        self._bytes += len(block)
        self._smallest = min(self._smallest, len(block) // (count or 1))
        if self._rename:
            block = self._rename[0].sub(self._rename[1], block)
        if not self._wants_usage and b'"usage"' in block:
            block = _NULL_USAGE.sub(b"", block)
        return block

    def _event(self, raw: bytes) -> bytes:
        if self._passes(raw):
            return self._pass(raw + b"\n\n")
        data = sse.data_of(raw)
        if data is None:
            return raw + b"\n\n"
        if data == b"[DONE]":
            self.finished = self._done = True
            return sse.DONE
        try:
            chunk = codec.read(data)
        except ValueError as error:
            raise StreamError("the model's answer contained an event that is not JSON") from error
        if not isinstance(chunk, dict):
            raise StreamError("the model's answer contained an event that is not an object")
        if chunk.get("error"):
            error_ = chunk["error"]
            raise StreamError("the model stopped with an error", error_ if isinstance(error_, dict) else None)
        self.events += 1
        try:
            return self._chunk(chunk)
        except (AttributeError, TypeError) as error:
            # Some member is of another kind than it can be.
            raise StreamError("the model's answer contained an event that is no part of an answer") from error

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        if self.model is None and isinstance(chunk.get("model"), str) and chunk["model"]:
            self._learn_name(chunk["model"])
        if self._label is not None and "model" in chunk:
            chunk["model"] = self._label
        choices = [choice for choice in chunk.get("choices") or () if isinstance(choice, dict)]
        if (usage := usage_from(chunk.get("usage"))) is not None:
            self.usage = usage
        if not self._wants_usage:
            told = chunk.pop("usage", None)
            if told is not None and not choices:
                return b""
        held = False
        for choice in choices:
            if choice.get("finish_reason"):
                self.finished = True
            held |= self._choice(choice)
        if held and not any(_says_something(choice) for choice in choices):
            return b""
        if not self._thinks:
            self._settled = True
        elif len(self._choices) >= self._wanted_choices:
            self._settled = all(splitter.settled for splitter in self._choices.values())
        return sse.event(codec.compact(chunk))

    def _choice(self, choice: dict[str, Any]) -> bool:
        """Normalise one choice in place; whether text of it was held back."""
        delta = choice.get("delta")
        if not isinstance(delta, dict) or not self._thinks:
            return False
        thought = delta.pop("reasoning", None)
        if isinstance(thought, str) and not delta.get("reasoning_content"):
            delta["reasoning_content"] = thought
        text = delta.get("content")
        index = choice.get("index") or 0
        splitter = self._choices.get(index)
        if splitter is None:
            if not isinstance(text, str) and not delta.get("tool_calls"):
                return False
            splitter = self._choices[index] = ThinkSplitter()
        reasoning, content = splitter.feed(text) if isinstance(text, str) else ("", "")
        if choice.get("finish_reason") or delta.get("tool_calls"):
            last = splitter.end()
            reasoning, content = reasoning + last[0], content + last[1]
        if isinstance(text, str) or content or reasoning:
            if reasoning:
                delta["reasoning_content"] = (delta.get("reasoning_content") or "") + reasoning
            if content != text:
                delta["content"] = content
                if not content:
                    delta.pop("content")
                return True
        return False

    def _learn_name(self, name: str) -> None:
        self.model = name
        if self._label is not None and name != self._label:
            new = b'"model":' + json.dumps(self._label).encode()
            self._rename = re.compile(rb'"model"\s*:\s*' + re.escape(json.dumps(name).encode())), lambda _: new


def normalise_answer(answer: dict[str, Any], *, label: str | None) -> bool:
    """Normalise a whole chat or plain completion in place; whether that changed anything."""
    changed = False
    if label is not None and answer.get("model") != label:
        answer["model"] = label
        changed = True
    for choice in answer.get("choices") or ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            continue
        if "reasoning" in message:
            thought = message.pop("reasoning")
            changed = True
            if isinstance(thought, str) and not message.get("reasoning_content"):
                message["reasoning_content"] = thought
        text = message.get("content")
        if isinstance(text, str):
            reasoning, content = split_thinking(text)
            if reasoning or content != text:
                message["content"] = content
                message["reasoning_content"] = (message.get("reasoning_content") or "") + reasoning
                changed = True
    return changed


def as_events(answer: dict[str, Any], *, wants_usage: bool) -> bytes:
    """A whole chat completion as a stream of its own: for an upstream that was asked to stream and did not."""
    head: dict[str, Any] = {name: answer[name] for name in ("id", "created", "model") if name in answer}
    head["object"] = "chat.completion.chunk"
    choices = [
        {
            "index": choice.get("index", position),
            "delta": choice.get("message") or {},
            "finish_reason": choice.get("finish_reason") or "stop",
        }
        for position, choice in enumerate(answer.get("choices") or ())
    ]
    events = [sse.event(codec.compact({**head, "choices": choices}))]
    if wants_usage and answer.get("usage"):
        events.append(sse.event(codec.compact({**head, "choices": [], "usage": answer["usage"]})))
    return b"".join([*events, sse.DONE])


def _says_something(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    return bool(choice.get("finish_reason")) or (isinstance(delta, dict) and any(delta.values()))


def _is_json(data: bytes) -> bool:
    try:
        codec.read(data)
    except ValueError:
        return False
    return True
