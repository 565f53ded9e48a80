"""What an upstream's failure means: wait, go elsewhere, or tell the person. Pure: status, headers and body in.

Azure's rules: on 429 honour ``retry-after-ms``, then ``Retry-After``, else back off with jitter; a content filter's 400 is
the person's to know and never retried.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from neuralinverse_hub.gateway.errors import UpstreamRefused

__all__ = ["Failure", "failure_from", "retry_after"]

LONGEST_WAIT_S: Final = 120.0
"""No upstream makes us wait longer than this before we ask it again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a way did not answer.

    ``busy``: it will, later. ``broken``: it should have; others may. ``misconfigured``: it will not until an operator
    acts. ``refused``: the request itself is wrong, and ``refusal`` says how. ``too_long``: wrong for this window only.
    """

    kind: Literal["busy", "broken", "misconfigured", "refused", "too_long"]
    cause: str
    """A few words for people, without secrets: ``answered 500``."""
    retry_after_s: float | None = None
    refusal: UpstreamRefused | None = None


def failure_from(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Failure:
    """The failure in an answer that is not 2xx."""
    error = _error_in(body)
    code = str(error.get("code") or "")
    wait = retry_after(headers, now=now)
    if status == 429 and code == "insufficient_quota":
        # The account is out of money: waiting does not help.
        return Failure("misconfigured", "has no credit left (answered 429 insufficient_quota)")
    if status == 429:
        return Failure("busy", "is busy (429)", wait)
    if status in (408, 409) or status >= 500:
        return Failure("broken", f"answered {status}", wait)
    if status in (401, 403):
        return Failure("misconfigured", f"does not accept the gateway's key (answered {status})")
    if status in (404, 405, 410) or code in {"DeploymentNotFound", "model_not_found"}:
        return Failure("misconfigured", f"has no such deployment (answered {status}{f' {code}' if code else ''})")
    if 300 <= status < 400:
        return Failure("misconfigured", f"answered with a redirect ({status}); its URL is not an API")
    refusal = UpstreamRefused(
        status,
        str(error.get("message") or f"the model's server refused the request with status {status}")[:4000],
        type=_text(error.get("type")),
        param=_text(error.get("param")),
        code=code or None,
    )
    kind: Literal["refused", "too_long"] = "too_long" if code == "context_length_exceeded" else "refused"
    return Failure(kind, f"refused the request ({status})", refusal=refusal)


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds an upstream asks us to wait: ``retry-after-ms``, else ``Retry-After`` (seconds or a date); bounded."""
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        wait /= 1000
    elif (value := headers.get("Retry-After")) is not None:
        wait = _number(value)
        if wait is None:
            try:
                at = parsedate_to_datetime(value)
            except (ValueError, IndexError):
                return None
            wait = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return None if wait is None else min(max(wait, 0.0), LONGEST_WAIT_S)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is None or 0 <= number < float("inf") else None


def _error_in(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    if isinstance(answer, dict):
        error = answer.get("error", answer)
        if isinstance(error, dict):
            return error
        if isinstance(error, str):
            return {"message": error}
    return {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
