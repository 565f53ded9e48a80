"""Bytes of a streamed chat completion → pieces of an answer. Pure: no sockets, no clock.

The wire format is the ``text/event-stream`` of https://html.spec.whatwg.org/multipage/server-sent-events.html, each event's
data one ``chat.completion.chunk`` of OpenAI's API, ended by ``data: [DONE]``. Bytes may be split anywhere, also inside a
UTF-8 sequence or between CR and LF: the pieces do not depend on it.

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import Cut

__all__ = ["Events", "Piece", "error_sentence", "piece", "waiting"]

WAITING = re.compile(r"busy, (.+?) position=\d+ wait_s=(\d+)\Z")


@dataclass(frozen=True)
class Piece:
    """What one event adds to the answer. ``model`` is the real name of who answers; ``finish`` ends the answer.

    ``waiting`` is said before the answer begins: whose turn it is first, in words, and for about how long.
    """

    text: str = ""
    reasoning: str = ""
    model: str | None = None
    finish: str | None = None
    waiting: str = ""


class Events:
    """Feed it bytes as they come; it gives the data of each event that is complete, and keeps the rest.

    ``comment`` is the latest comment: nothing of the answer, but the gateway says in it how long it will take.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._data: list[bytes] = []
        self._after_cr = False
        self.comment = ""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The data of every event that ``chunk`` completes."""
        if not chunk:
            return
        if self._after_cr and chunk.startswith(b"\n"):  # the second half of a CRLF that was split
            chunk = chunk[1:]
            self._after_cr = False
            if not chunk:
                return
        self._after_cr = chunk.endswith(b"\r")
        lines = (self._pending + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._pending = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                data, self._data = b"\n".join(self._data), []
                yield data.decode("utf-8", "replace")
            elif line.startswith(b":"):
                self.comment = line[1:].decode("utf-8", "replace").strip()
            # The fields event, id and retry say nothing about an answer.


def piece(data: str) -> Piece | None:
    """What the event adds; None for the end marker.

    Raises ``Cut`` when the event is an error of the server or is not a chunk of an answer.
    """
    if data.strip() == "[DONE]":
        return None
    try:
        chunk = json.loads(data)
    except ValueError:
        raise Cut(
            f"The answer broke off: the gateway sent something that is not JSON: {data[:60]!r}. Ask again."
        ) from None
    if not isinstance(chunk, dict):
        raise Cut(f"The answer broke off: the gateway sent {data[:60]!r} instead of a piece of an answer. Ask again.")
    if chunk.get("error"):
        raise Cut(f"The answer broke off: {error_sentence(chunk) or 'the gateway gave no reason'}")
    model = chunk.get("model")
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    # A gateway that could not stream sends the whole message where a delta would be.
    delta = choice.get("delta") or choice.get("message")
    delta = delta if isinstance(delta, dict) else {}
    finish = choice.get("finish_reason")
    return Piece(
        text=_text(delta.get("content")),
        reasoning=_text(delta.get("reasoning_content")),
        model=model if isinstance(model, str) and model else None,
        finish=finish if isinstance(finish, str) else None,
    )


def waiting(comment: str) -> str:
    """What a person is told of the gateway's comment: "2 before you, about 12 s"; empty when it says nothing of waiting."""
    found = WAITING.match(comment)
    return f"{found.group(1)}, about {found.group(2)} s" if found is not None else ""


def error_sentence(body: Any) -> str | None:
    """The server's own sentence out of an OpenAI-shaped error body; None when it has none."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message.strip() if isinstance(message, str) and message.strip() else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
