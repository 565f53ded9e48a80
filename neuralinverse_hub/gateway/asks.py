"""What a request asks for: the body checked, and what it needs of a model. Pure.

Checks what the gateway itself relies on; everything else is the upstream's to judge and passes through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from neuralinverse_hub.gateway import codec
from neuralinverse_hub.gateway.errors import BadRequest
from neuralinverse_hub.gateway.meter import estimate_tokens
from neuralinverse_hub.gateway.router import AUTO, Need

__all__ = ["Api", "Ask", "chat_ask", "completion_ask", "embedding_ask", "parse_json"]

Api = Literal["chat/completions", "completions", "embeddings"]

IMAGE_TOKENS: Final = 1_000
"""What an image is counted as before the upstream says: the middle of what the models we know charge."""
MAX_MESSAGES: Final = 20_000


class Ask(NamedTuple):
    """One request. ``body`` is the client's own, not yet changed for any upstream."""

    api: Api
    body: dict[str, Any]
    model: str
    stream: bool
    wants_usage: bool
    needs: frozenset[Need]
    prompt_tokens: int
    """Estimate."""
    answer_tokens: int
    """What the client allows at most; 0: it did not say."""
    choices: int
    batch: bool
    """Work that may come later than what a person waits for: ``service_tier`` is ``flex``."""
    question: str
    """The newest words of the person: what ``auto`` decides by."""
    context: str = ""
    """What was said before that, newest last, cut to what ``auto`` looks at."""

    def upstream_body(self, deployment: str) -> dict[str, Any]:
        """The body for an upstream that calls the model ``deployment``: usage is always asked for."""
        body = {**self.body, "model": deployment}
        if self.batch:
            # Ours to honour; few upstreams know the word.
            del body["service_tier"]
        if self.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        return body


def parse_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises `BadRequest` saying where it went wrong."""
    if not body.strip():
        raise BadRequest('the request has no body; send JSON, e.g. {"model": "auto", "messages": […]}')
    try:
        value = codec.read(body, constant=_not_json)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except RecursionError as error:
        raise BadRequest("the body is not JSON that can be read: it is nested too deeply") from error
    if not isinstance(value, dict):
        raise BadRequest(f"the body must be a JSON object, not {_kind(value)}")
    return value


def chat_ask(body: dict[str, Any]) -> Ask:
    """The ask of a chat/completions body. Raises `BadRequest` naming the member that is wrong."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest(
            f"'messages' must be a list with at least one message, not {_kind(messages)}", param="messages"
        )
    if len(messages) > MAX_MESSAGES:
        raise BadRequest(f"'messages' has {len(messages):,} messages; {MAX_MESSAGES:,} are possible", param="messages")
    needs: set[Need] = {"chat"}
    tokens = 0
    question = ""
    turns: list[str] = []
    blank = True
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadRequest(f"'messages[{index}]' must be an object, not {_kind(message)}", param=f"messages[{index}]")
        role = message.get("role")
        if not isinstance(role, str):
            raise BadRequest(
                f"'messages[{index}].role' must be a string like 'user', not {_kind(role)}",
                param=f"messages[{index}].role",
            )
        content = message.get("content")
        if isinstance(content, str):
            said = content
        else:
            words: list[str] = []
            for text, images in _parts(content, f"messages[{index}].content"):
                words.append(text)
                tokens += images * IMAGE_TOKENS
                if images:
                    needs.add("vision")
            said = "\n".join(words)
        tokens += estimate_tokens(said) + 3
        if said and role in {"user", "assistant"}:
            turns.append(said)
            question = said if role == "user" else question
        # What counts is the newest message: a system prompt before an empty question is still an empty question.
        blank = not (said.strip() or "vision" in needs or message.get("tool_calls") or role in {"tool", "function"})
    if blank:
        raise BadRequest("the prompt is empty; write a question or an instruction", param="messages")
    tools = _list(body, "tools") or _list(body, "functions")
    if tools:
        needs.add("tools")
        tokens += estimate_tokens(json.dumps(tools))
    format_ = body.get("response_format")
    if isinstance(format_, dict) and format_.get("type") in ("json_object", "json_schema"):
        needs.add("json")
    # Enough of what was said before to know what "make it faster" means.
    context = "\n".join(turn[:500] for turn in turns[-5:-1])
    return _ask("chat/completions", body, needs, tokens, question, context)


def completion_ask(body: dict[str, Any]) -> Ask:
    """The ask of a completions body: plain text to continue. Raises `BadRequest` naming the member that is wrong."""
    texts = _texts(body, "prompt")
    question = "\n".join(texts)
    if not question.strip():
        raise BadRequest("the prompt is empty; send the text to continue", param="prompt")
    suffix = body.get("suffix")
    if suffix is not None and not isinstance(suffix, str):
        raise BadRequest(f"'suffix' must be a string, not {_kind(suffix)}", param="suffix")
    tokens = sum(estimate_tokens(text) for text in [*texts, suffix or ""])
    return _ask("completions", body, {"completions"}, tokens, question)


def embedding_ask(body: dict[str, Any]) -> Ask:
    """The ask of an embeddings body. Raises `BadRequest` naming the member that is wrong."""
    # Numbers do not come in pieces, and an upstream may refuse words that only chats have.
    body = {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}
    value = body.get("input")
    if isinstance(value, list) and value and all(isinstance(each, int | list) for each in value):
        # Already tokens: one list of them, or several.
        lists = value if isinstance(value[0], list) else [value]
        if not all(
            isinstance(token, int) for tokens in lists for token in (tokens if isinstance(tokens, list) else [""])
        ):
            raise BadRequest("'input' must be a string, a list of strings, or lists of tokens", param="input")
        return _ask("embeddings", body, {"embeddings"}, sum(map(len, lists)), "")
    texts = _texts(body, "input")
    if not all(text.strip() for text in texts):
        raise BadRequest("'input' contains an empty text; leave it out", param="input")
    return _ask("embeddings", body, {"embeddings"}, sum(map(estimate_tokens, texts)), "")


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest(f"'{name}' must be a string or a list of strings, not {_kind(value)}", param=name)
    return texts


def _ask(api: Api, body: dict[str, Any], needs: set[Need], tokens: int, question: str, context: str = "") -> Ask:
    model = body.get("model", AUTO)
    if not isinstance(model, str) or not model.strip():
        raise BadRequest(f"'model' must be a string like 'auto', not {_kind(model)}", param="model")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest(f"'stream' must be true or false, not {_kind(stream)}", param="stream")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadRequest(f"'stream_options' must be an object, not {_kind(options)}", param="stream_options")
    if options and not stream:
        raise BadRequest("'stream_options' is only possible with 'stream': true", param="stream_options")
    choices = _whole(body, "n", least=1) or 1
    if choices > 1:
        needs.add("choices")
    limit = _whole(body, "max_completion_tokens", least=1) or _whole(body, "max_tokens", least=1) or 0
    return Ask(
        api=api,
        body=body,
        model=model.strip(),
        stream=bool(stream),
        wants_usage=bool(options and options.get("include_usage")),
        needs=frozenset(needs),
        prompt_tokens=tokens,
        answer_tokens=limit,
        choices=choices,
        batch=body.get("service_tier") == "flex",
        question=question,
        context=context,
    )


def _parts(content: Any, where: str) -> Iterator[tuple[str, int]]:
    """``(text, images)`` of each part of a message's content that is not plain text."""
    if content is None:
        return
    if not isinstance(content, list):
        raise BadRequest(f"'{where}' must be a string or a list of parts, not {_kind(content)}", param=where)
    for index, part in enumerate(content):
        if isinstance(part, str):
            yield part, 0
        elif not isinstance(part, dict):
            raise BadRequest(f"'{where}[{index}]' must be an object, not {_kind(part)}", param=f"{where}[{index}]")
        elif part.get("type") in ("image_url", "input_image"):
            yield "", 1
        else:
            text = part.get("text")
            if text is not None and not isinstance(text, str):
                raise BadRequest(
                    f"'{where}[{index}].text' must be a string, not {_kind(text)}", param=f"{where}[{index}].text"
                )
            yield text or "", 0


def _list(body: dict[str, Any], name: str) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRequest(f"'{name}' must be a list, not {_kind(value)}", param=name)
    return value


def _whole(body: dict[str, Any], name: str, *, least: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        shown = value if isinstance(value, int | float) else _kind(value)
        raise BadRequest(f"'{name}' must be a whole number from {least} on, not {shown}", param=name)
    return value


def _not_json(name: str) -> Any:
    raise BadRequest(f"the body is not JSON: {name} is not a JSON number")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string" if value.strip() else "an empty string"
        case list():
            return "a list" if value else "an empty list"
        case _:
            return "an object"
