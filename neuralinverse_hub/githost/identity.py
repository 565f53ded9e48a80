"""Whose token is this, and may it use the git host: the hub is asked, and its answer remembered briefly."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from neuralinverse_hub import wire

from .errors import HubAway, NotAllowed, NotSignedIn

__all__ = ["Identity", "token_of"]

_REMEMBER_S: Final = 60.0
_REMEMBER_REFUSAL_S: Final = 5.0
_REMEMBERED: Final = 10_000


def token_of(authorization: str | None) -> str:
    """The hub token in an ``Authorization`` header: Basic with the token as password, or Bearer, or GitHub's ``token``.

    Raises:
        NotSignedIn: there is none.
    """
    kind, _, rest = (authorization or "").strip().partition(" ")
    if kind.lower() in ("bearer", "token") and rest.strip():
        return rest.strip()
    if kind.lower() == "basic":
        try:
            password = base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            password = ""
        if password:
            return password
    raise NotSignedIn("Sign in with any user name and a JupyterHub token as the password.")


@dataclass(frozen=True, slots=True)
class _Answer:
    person: str | None
    refusal: str
    until: float


class Identity:
    """Tokens to people. A token's owner is remembered for 60 s, a refusal for 5 s; tokens are kept hashed only."""

    def __init__(self, api_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = api_url.rstrip("/") + "/user"
        self._clock = clock
        self._answers: dict[bytes, _Answer] = {}

    async def person(self, token: str) -> str:
        """The name of the token's owner.

        Raises:
            NotSignedIn: the hub does not know the token.
            NotAllowed: the token may not use the git host.
            HubAway: the hub does not answer.
        """
        key = hashlib.sha256(token.encode()).digest()
        answer = self._answers.get(key)
        if answer is None or answer.until < self._clock():
            answer = await self._ask(token)
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[key] = answer
        if answer.person is not None:
            return answer.person
        if answer.refusal:
            raise NotAllowed(answer.refusal)
        raise NotSignedIn("The hub does not know this token; make a new one on the hub's Token page.")

    async def _ask(self, token: str) -> _Answer:
        request = HTTPRequest(
            self._url, headers={"Authorization": f"token {token}"}, connect_timeout=5, request_timeout=10
        )
        try:
            response = await AsyncHTTPClient().fetch(request)
            model = json.loads(response.body)
        except HTTPClientError as error:
            if error.code in (401, 403):
                return _Answer(None, "", self._clock() + _REMEMBER_REFUSAL_S)
            raise HubAway(
                f"The hub could not say whose token this is ({error.code}); try again in a moment."
            ) from error
        except (OSError, ValueError) as error:
            raise HubAway("The hub does not answer, so nobody can be recognised; try again in a moment.") from error
        scopes = set(model.get("scopes") or ())
        if not scopes & {wire.service_scope(wire.GIT_SERVICE), "access:services"}:
            refusal = f"This token lacks the scope {wire.service_scope(wire.GIT_SERVICE)}; make one that has it."
            return _Answer(None, refusal, self._clock() + _REMEMBER_REFUSAL_S)
        if model.get("kind") != "user":
            refusal = "Repositories belong to people; this token belongs to a service."
            return _Answer(None, refusal, self._clock() + _REMEMBER_REFUSAL_S)
        return _Answer(str(model["name"]), "", self._clock() + _REMEMBER_S)
