"""Whole server-sent events out of bytes at any chunking, and back. Pure; knows nothing of what events say.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

from typing import Final

__all__ = ["DONE", "Splitter", "comment", "data_of", "event"]

DONE: Final = b"data: [DONE]\n\n"

MAX_EVENT: Final = 16 * 1024 * 1024
"""Bytes an event may have: an upstream that never ends one must not fill the memory."""


class Splitter:
    """Collects chunks and gives back the events that are whole.

    Guarantee: the concatenation of all blocks does not depend on how the bytes were cut into chunks, and every block
    ends at the blank line that ends an event. Line ends become ``\\n``; a byte order mark at the start is dropped.
    """

    def __init__(self) -> None:
        self._held = b""
        self._started = False

    def feed(self, chunk: bytes) -> bytes:
        """The whole events among the bytes so far, as one block; empty when none became whole."""
        if self._held:
            chunk = self._held + chunk
        if not self._started:
            if len(chunk) < 3 and b"\xef\xbb\xbf".startswith(chunk):
                self._held = chunk
                return b""
            chunk = chunk.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        if b"\r" in chunk:
            # A carriage return at the end may be half of a line end.
            tail = b"\r" if chunk.endswith(b"\r") else b""
            chunk = chunk.removesuffix(tail).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail
        end = chunk.rfind(b"\n\n") + 2
        if end == 1:
            end = 0
        self._held = chunk[end:]
        if len(self._held) > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT} bytes")
        return chunk[:end]

    @property
    def rest(self) -> bytes:
        """The bytes of an event that never ended."""
        return self._held


def data_of(event: bytes) -> bytes | None:
    """The data of one event (without its blank line), its lines joined; None when it has none (a comment)."""
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:") or line == b"data"]
    return b"\n".join(lines) if lines else None


def event(data: bytes) -> bytes:
    """One event of one line of data."""
    return b"data: " + data + b"\n\n"


def comment(text: str) -> bytes:
    """A comment: every client ignores it, and it keeps the connection alive."""
    return b": " + " ".join(text.split()).encode() + b"\n\n"
