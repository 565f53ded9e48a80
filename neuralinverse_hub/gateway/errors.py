"""Everything that can go wrong in the gateway, and the HTTP answer each becomes. Knows nothing of HTTP servers.

GatewayError                      what a client sees: status, OpenAI ``type`` and ``code``, one sentence
├── BadRequest             400    the request itself is wrong
│   ├── UnknownModel       404    no task, model or deployment of that name
│   ├── PromptTooLong      400    longer than every window there is
│   ├── Incapable          400    needs what no configured model can do
│   └── TooLarge           413    more bytes than a body may have
├── NotAuthenticated       401    no token, or the hub does not know it
├── NotAllowed             403    a token without the gateway's scope
├── HubUnavailable         503    the hub did not say who this is
├── NoUpstream             503    nothing is configured that could answer
├── UpstreamsFailed        503    every way was tried and is broken
├── ShuttingDown           503    this replica is draining
└── UpstreamRefused     as sent   the upstream found the request itself wrong (a content filter, a bad schema)
ConfigurationError                the operator's settings cannot work; raised at start and at reload only
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "BadRequest",
    "ConfigurationError",
    "GatewayError",
    "HubUnavailable",
    "Incapable",
    "NoUpstream",
    "NotAllowed",
    "NotAuthenticated",
    "PromptTooLong",
    "ShuttingDown",
    "TooLarge",
    "UnknownModel",
    "UpstreamRefused",
    "UpstreamsFailed",
]


class GatewayError(Exception):
    """A failure with an OpenAI-shaped answer. ``retry`` tells the official SDKs whether trying again can help."""

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    retry: ClassVar[bool] = True

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code

    def body(self) -> dict[str, Any]:
        """The JSON answer: ``{"error": {"message", "type", "param", "code"}}``."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    retry = False


class UnknownModel(BadRequest):
    status = 404
    code = "model_not_found"


class PromptTooLong(BadRequest):
    code = "context_length_exceeded"


class Incapable(BadRequest):
    code = "unsupported_value"


class TooLarge(BadRequest):
    status = 413
    code = "request_too_large"


class NotAuthenticated(GatewayError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"
    retry = False


class NotAllowed(GatewayError):
    status = 403
    type = "invalid_request_error"
    code = "insufficient_scope"
    retry = False


class HubUnavailable(GatewayError):
    status = 503
    code = "hub_unavailable"


class NoUpstream(GatewayError):
    status = 503
    code = "no_upstream"
    retry = False


class UpstreamsFailed(GatewayError):
    status = 503
    code = "upstreams_failed"


class ShuttingDown(GatewayError):
    status = 503
    code = "shutting_down"


class UpstreamRefused(GatewayError):
    """The upstream's own answer about the request (4xx), passed on with its status, type and code."""

    type = "invalid_request_error"
    retry = False

    def __init__(self, status: int, message: str, *, type: str | None, param: str | None, code: str | None) -> None:
        super().__init__(message, param=param, code=code)
        self.status = status
        self.type = type or "invalid_request_error"


class ConfigurationError(Exception):
    """The operator's settings cannot work. The sentence names the setting, its value and a right one."""
