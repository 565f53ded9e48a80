"""Whose token is this, and may it use the git host: the hub is asked, and its answer remembered briefly.

Where several regions share the git host, the user name says which region's hub a token is from, and that hub alone is
asked: no hub ever sees another one's tokens. Every hub of the catalogue is believed about every person.

People reach their own repositories. Services reach none, but for two of each hub of the catalogue, which sign in with
tokens that only they have: the hub itself, which keeps people's whereabouts, and a region's mirror of this host, which
reads everything and writes nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from neuralinverse_hub import wire

from .errors import HubAway, NotAllowed, NotSignedIn

__all__ = ["Caller", "Identity", "SignIn", "sign_in_of"]

_REMEMBER_S: Final = 60.0
_REMEMBER_REFUSAL_S: Final = 5.0
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a client signs in with."""

    user: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a token belongs to."""

    name: str
    kind: Literal["person", "hub", "mirror"] = "person"

    def reaches(self, owner: str, *, writes: bool) -> bool:
        """Whether the repositories of ``owner`` are open to it, for reading, or for writing as well."""
        match self.kind:
            case "person":
                return self.name == owner
            case "hub":
                return True
            case "mirror":
                return not writes


def sign_in_of(authorization: str | None) -> SignIn:
    """The hub token in an ``Authorization`` header: Basic with the token as password, or Bearer, or GitHub's ``token``.

    Raises:
        NotSignedIn: there is none.
    """
    kind, _, rest = (authorization or "").strip().partition(" ")
    if kind.lower() in ("bearer", "token") and rest.strip():
        return SignIn("", rest.strip())
    if kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = password = ""
        if password:
            return SignIn(user, password)
    raise NotSignedIn("Sign in with any user name and a JupyterHub token as the password.")


@dataclass(frozen=True, slots=True)
class _Answer:
    caller: Caller | None
    refusal: str
    until: float


class Identity:
    """Tokens to callers. A token's owner is remembered for 60 s, a refusal for 5 s; tokens are kept hashed only.

    ``hubs`` maps what may stand as user name to the API URL of the hub to ask; with the one key ``""`` every user name
    will do. ``services`` are those that are let in, by that user name and their own.
    """

    def __init__(
        self,
        hubs: Mapping[str, str],
        services: Mapping[tuple[str, str], Caller] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = {name: url.rstrip("/") + "/user" for name, url in hubs.items()}
        self._services = dict(services or {})
        self._clock = clock
        self._answers: dict[bytes, _Answer] = {}

    async def caller(self, sign_in: SignIn) -> Caller:
        """The token's owner.

        Raises:
            NotSignedIn: the hub does not know the token, or it is not clear which hub to ask.
            NotAllowed: the token may not use the git host.
            HubAway: the hub does not answer.
        """
        hub = "" if "" in self._urls else sign_in.user
        url = self._urls.get(hub)
        if url is None:
            raise NotSignedIn(
                f"Sign in with the region that the token is from as user name: {', '.join(sorted(self._urls))}."
            )
        key = hashlib.sha256(f"{url} {sign_in.token}".encode()).digest()
        answer = self._answers.get(key)
        if answer is None or answer.until < self._clock():
            answer = await self._ask(hub, url, sign_in.token)
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[key] = answer
        if answer.caller is not None:
            return answer.caller
        if answer.refusal:
            raise NotAllowed(answer.refusal)
        raise NotSignedIn("The hub does not know this token; make a new one on the hub's Token page.")

    async def _ask(self, hub: str, url: str, token: str) -> _Answer:
        request = HTTPRequest(url, headers={"Authorization": f"token {token}"}, connect_timeout=5, request_timeout=10)
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
        name, until = str(model.get("name")), self._clock() + _REMEMBER_S
        if model.get("kind") == "user":
            return _Answer(Caller(name), "", until)
        if model.get("kind") == "service" and (known := self._services.get((hub, name))):
            return _Answer(known, "", until)
        refusal = "Repositories belong to people; this token belongs to a service."
        return _Answer(None, refusal, self._clock() + _REMEMBER_REFUSAL_S)
