"""Everything that can go wrong between a person and an answer, each with one sentence that says what to do next.

::

    AiError                  what people see; ``str()`` is one sentence for them
    ├── BadInput             the question itself is at fault: nothing was sent
    ├── GatewayAway          not configured, not reachable, or silent before its first byte
    ├── Unauthorised         the gateway does not accept the workspace's token
    ├── Refused              the gateway said no, in its own sentence (``status``, ``code``)
    │   └── TooLong          more text than any model there reads at once
    ├── Cut                  the answer broke off; ``text`` is what came
    └── Interrupted          the person stopped it; ``text`` is what came

Runs in kernels of other virtual environments: standard library only, Python >= 3.9.
"""

from __future__ import annotations

__all__ = ["AiError", "BadInput", "Cut", "GatewayAway", "Interrupted", "Refused", "TooLong", "Unauthorised"]


class AiError(Exception):
    """Base of the room. In IPython it shows as its one sentence, without a traceback, and still fails the cell."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class BadInput(AiError):
    """The question itself is at fault; nothing was sent."""


class GatewayAway(AiError):
    """No gateway answered: not configured, not reachable, or silent before its first byte."""


class Unauthorised(AiError):
    """The gateway does not accept the workspace's token."""


class Refused(AiError):
    """The gateway said no; the sentence is its own. ``status`` is the HTTP status, ``code`` the API's error code."""

    def __init__(self, message: str, *, status: int, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class TooLong(Refused):
    """More text than any model there reads at once."""


class Cut(AiError):
    """The answer broke off before its end. ``text`` is what came until then."""

    def __init__(self, message: str, *, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class Interrupted(AiError):
    """The person stopped the answer. ``text`` is what came until then."""

    def __init__(self, message: str, *, text: str = "") -> None:
        super().__init__(message)
        self.text = text
