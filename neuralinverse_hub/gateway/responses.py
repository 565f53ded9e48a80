"""The Responses API on top of chat/completions: a request in, a response or its stream of events out. Pure.

The subset that the official SDKs use by default: text and image input, instructions, function tools and their results,
reasoning, structured output, streaming. Nothing is stored here, so a request that refers to an earlier one is refused.
"""

from __future__ import annotations

import json
from typing import Any, Final

from neuralinverse_hub.gateway import codec, sse
from neuralinverse_hub.gateway.errors import BadRequest, Incapable

__all__ = ["ResponseStream", "chat_body", "response_of"]

_PASSED: Final = (
    "model",
    "temperature",
    "top_p",
    "stream",
    "user",
    "service_tier",
)
_ECHOED: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}


def chat_body(body: dict[str, Any]) -> dict[str, Any]:
    """The chat/completions body that asks the same. Raises `BadRequest` or `Incapable` for what cannot be asked here."""
    for name in ("previous_response_id", "conversation", "background"):
        if body.get(name):
            raise Incapable(
                f"'{name}' is not possible: nothing is stored here; send the whole conversation", param=name
            )
    chat = {name: body[name] for name in _PASSED if body.get(name) is not None}
    chat["messages"] = [*_instructions(body), *_messages(body.get("input"))]
    if (limit := body.get("max_output_tokens")) is not None:
        chat["max_completion_tokens"] = limit
    if tools := body.get("tools"):
        chat["tools"] = _tools(tools)
        # Upstreams refuse it where there is no tool, and the official SDKs' users set it once for all.
        if (parallel := body.get("parallel_tool_calls")) is not None:
            chat["parallel_tool_calls"] = parallel
        choice = body.get("tool_choice")
        if isinstance(choice, dict):
            if (kind := choice.get("type")) != "function":
                raise Incapable(
                    f"'tool_choice' of type {str(kind)[:60]!r} is not possible; only functions are", param="tool_choice"
                )
            choice = {"type": "function", "function": {"name": choice.get("name")}}
        if choice is not None:
            chat["tool_choice"] = choice
    format_ = (body.get("text") or {}).get("format") if isinstance(body.get("text"), dict) else None
    if isinstance(format_, dict) and format_.get("type") not in (None, "text"):
        schema = {name: value for name, value in format_.items() if name != "type"}
        chat["response_format"] = {"type": format_["type"], **({"json_schema": schema} if schema else {})}
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort"):
        chat["reasoning_effort"] = reasoning["effort"]
    return chat


def response_of(answer: dict[str, Any], body: dict[str, Any], response_id: str, created: int) -> dict[str, Any]:
    """The response object of a whole chat completion."""
    choice = (answer.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    output: list[dict[str, Any]] = []
    if thought := message.get("reasoning_content"):
        output.append(_reasoning_item(f"rs_{response_id}", thought))
    if (text := message.get("content")) or not message.get("tool_calls"):
        output.append(_message_item(f"msg_{response_id}", text or "", "completed"))
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") or {}
        output.append(
            _call_item(
                f"fc_{response_id}_{index}",
                call.get("id"),
                function.get("name"),
                function.get("arguments"),
                "completed",
            )
        )
    head = _head(body, response_id, created, answer.get("model"))
    return {**head, **_ending(choice.get("finish_reason")), "output": output, "usage": _usage(answer.get("usage"))}


class ResponseStream:
    """Turns the events of a chat stream into those of a response."""

    def __init__(self, body: dict[str, Any], response_id: str, created: int) -> None:
        self._body = body
        self._id = response_id
        self._created = created
        self._model: str | None = None
        self._number = 0
        self._items: list[dict[str, Any]] = []
        self._open: dict[str, int] = {}
        self._reason: str | None = None
        self._usage: Any = None
        self._splitter = sse.Splitter()
        self._begun = False

    def feed(self, piece: bytes) -> bytes:
        """The response's events for some of the chat's."""
        out: list[bytes] = []
        for raw in self._splitter.feed(piece).split(b"\n\n"):
            data = sse.data_of(raw)
            if data is None:
                if raw:
                    out.append(raw + b"\n\n")
            elif data != b"[DONE]":
                self._chunk(codec.read(data), out)
            else:
                self._end(out)
        return b"".join(out)

    def _chunk(self, chunk: dict[str, Any], out: list[bytes]) -> None:
        if error := chunk.get("error"):
            self._begin(out)
            failed = {"code": "server_error", "message": error.get("message")}
            out.append(self._event("response.failed", response=self._response("failed", error=failed)))
            return
        self._model = self._model or chunk.get("model")
        self._usage = chunk.get("usage") or self._usage
        self._begin(out)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content"):
                self._text("reasoning", thought, out)
            if text := delta.get("content"):
                self._close("reasoning", out)
                self._text("message", text, out)
            for call in delta.get("tool_calls") or ():
                self._close("reasoning", out)
                self._close("message", out)
                self._call(call, out)
            self._reason = choice.get("finish_reason") or self._reason

    def _begin(self, out: list[bytes]) -> None:
        if not self._begun:
            self._begun = True
            for name in ("response.created", "response.in_progress"):
                out.append(self._event(name, response=self._response("in_progress")))

    def _text(self, kind: str, text: str, out: list[bytes]) -> None:
        index = self._open.get(kind)
        if index is None:
            item_id = f"{'rs' if kind == 'reasoning' else 'msg'}_{self._id}_{len(self._items)}"
            item = _reasoning_item(item_id, "") if kind == "reasoning" else _message_item(item_id, "", "in_progress")
            index = self._add(kind, item, out)
            if kind == "message":
                part = {"type": "output_text", "text": "", "annotations": []}
                out.append(self._at("response.content_part.added", index, content_index=0, part=part))
        item = self._items[index]
        item["content"][0]["text"] += text
        name = "response.reasoning_text.delta" if kind == "reasoning" else "response.output_text.delta"
        more: dict[str, Any] = {} if kind == "reasoning" else {"logprobs": []}
        out.append(self._at(name, index, content_index=0, delta=text, **more))

    def _call(self, call: dict[str, Any], out: list[bytes]) -> None:
        key = f"call {call.get('index', 0)}"
        function = call.get("function") or {}
        index = self._open.get(key)
        if index is None:
            item_id = f"fc_{self._id}_{len(self._items)}"
            item = _call_item(item_id, call.get("id"), function.get("name"), "", "in_progress")
            index = self._add(key, item, out)
        if arguments := function.get("arguments"):
            self._items[index]["arguments"] += arguments
            out.append(self._at("response.function_call_arguments.delta", index, delta=arguments))

    def _add(self, key: str, item: dict[str, Any], out: list[bytes]) -> int:
        index = self._open[key] = len(self._items)
        self._items.append(item)
        # A message is empty when it is added; its part comes with the next event.
        shown = {**item, "content": []} if item["type"] == "message" else item
        out.append(self._event("response.output_item.added", output_index=index, item=shown))
        return index

    def _close(self, key: str, out: list[bytes]) -> None:
        index = self._open.pop(key, None)
        if index is None:
            return
        item = self._items[index]
        if item["type"] == "message":
            item["status"] = "completed"
            part = item["content"][0]
            out.append(self._at("response.output_text.done", index, content_index=0, text=part["text"], logprobs=[]))
            out.append(self._at("response.content_part.done", index, content_index=0, part=part))
        elif item["type"] == "reasoning":
            out.append(
                self._at("response.reasoning_text.done", index, content_index=0, text=item["content"][0]["text"])
            )
        else:
            item["status"] = "completed"
            done = {"arguments": item["arguments"], "name": item["name"]}
            out.append(self._at("response.function_call_arguments.done", index, **done))
        out.append(self._event("response.output_item.done", output_index=index, item=item))

    def _end(self, out: list[bytes]) -> None:
        self._begin(out)
        for key in list(self._open):
            self._close(key, out)
        ending = _ending(self._reason)
        name = "response.completed" if ending["status"] == "completed" else "response.incomplete"
        out.append(self._event(name, response=self._response(**ending)))

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        head = _head(self._body, self._id, self._created, self._model)
        finished = status not in {"in_progress"}
        items = list(self._items) if finished else []
        return {**head, "status": status, **more, "output": items, "usage": _usage(self._usage) if finished else None}

    def _at(self, event_name: str, index: int, **more: Any) -> bytes:
        return self._event(event_name, item_id=self._items[index]["id"], output_index=index, **more)

    def _event(self, event_name: str, **members: Any) -> bytes:
        data = {"type": event_name, "sequence_number": self._number, **members}
        self._number += 1
        return b"event: " + event_name.encode() + b"\n" + sse.event(codec.compact(data))


def _instructions(body: dict[str, Any]) -> list[dict[str, Any]]:
    text = body.get("instructions")
    if text is None:
        return []
    if not isinstance(text, str):
        raise BadRequest("'instructions' must be a string", param="instructions")
    return [{"role": "system", "content": text}]


def _messages(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise BadRequest("'input' must be a string or a list of items", param="input")
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(value):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            raise BadRequest(f"'{where}' must be an object", param=where)
        match item.get("type", "message"):
            case "message":
                messages.append({"role": item.get("role", "user"), "content": _content(item.get("content"), where)})
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments")}
                call = {"id": item.get("call_id"), "type": "function", "function": function}
                if messages and messages[-1]["role"] == "assistant" and messages[-1].get("tool_calls"):
                    messages[-1]["tool_calls"].append(call)
                else:
                    messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            case "function_call_output":
                said = item.get("output")
                said = said if isinstance(said, str) else json.dumps(said)
                messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": said})
            case "reasoning":
                # What a model thought before is not sent to it again: chat models expect to be without it.
                continue
            case other:
                raise Incapable(f"'{where}' of type {str(other)[:60]!r} is not possible here", param=where)
    return messages


def _content(content: Any, where: str) -> Any:
    if not isinstance(content, list):
        return content
    parts: list[dict[str, Any]] = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("input_text", "output_text", "text"):
            parts.append({"type": "text", "text": part.get("text")})
        elif kind == "input_image" and part.get("image_url"):
            image = {"url": part["image_url"], **({"detail": part["detail"]} if part.get("detail") else {})}
            parts.append({"type": "image_url", "image_url": image})
        elif kind == "refusal":
            parts.append({"type": "text", "text": part.get("refusal")})
        else:
            raise Incapable(f"'{where}.content[{index}]' of type {str(kind)[:60]!r} is not possible here", param=where)
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _tools(tools: Any) -> list[dict[str, Any]]:
    if not isinstance(tools, list):
        raise BadRequest("'tools' must be a list", param="tools")
    functions = []
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind != "function":
            raise Incapable(
                f"'tools[{index}]' of type {str(kind)[:60]!r} is not possible; only functions are", param="tools"
            )
        wanted = {
            name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name) is not None
        }
        functions.append({"type": "function", "function": wanted})
    return functions


def _head(body: dict[str, Any], response_id: str, created: int, model: Any) -> dict[str, Any]:
    echoed = {name: body.get(name) if body.get(name) is not None else usual for name, usual in _ECHOED.items()}
    return {
        "id": f"resp_{response_id}",
        "object": "response",
        "created_at": created,
        "model": model or body.get("model") or "auto",
        "error": None,
        "incomplete_details": None,
        "previous_response_id": None,
        "store": False,
        **echoed,
    }


def _ending(reason: str | None) -> dict[str, Any]:
    if reason in {"length", "content_filter"}:
        cause = "max_output_tokens" if reason == "length" else "content_filter"
        return {"status": "incomplete", "incomplete_details": {"reason": cause}}
    return {"status": "completed"}


def _usage(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    input_, output = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": input_,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_ + output,
    }


def _message_item(item_id: str, text: str, status: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def _reasoning_item(item_id: str, text: str) -> dict[str, Any]:
    return {"id": item_id, "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


def _call_item(item_id: str, call_id: Any, name: Any, arguments: Any, status: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments or "",
        "status": status,
    }
