"""Whose token is this. Asks the hub, remembers the answer briefly, and knows nothing of models or requests.

Guarantees, each with a test:
- a token without the gateway's scope is never let in;
- a revoked token stops working at most ``MUST_ASK_S`` seconds after it was last verified, on every replica;
- many simultaneous requests with one token cost the hub one call;
- tokens are kept as digests only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from neuralinverse_hub import wire
from neuralinverse_hub.gateway.errors import GatewayError, HubUnavailable, NotAllowed, NotAuthenticated

__all__ = ["Caller", "HubIdentity", "bearer", "caller_from"]

REFRESH_S: Final = 20.0
"""Older than this, an answer is still used while a new one is fetched in the background."""
MUST_ASK_S: Final = 50.0
"""Older than this, an answer is no longer used. Under the promised 60 s with room for the call itself."""
REFUSED_S: Final = 5.0
"""How long a refusal is remembered: spares the hub a client that loops with a dead token."""
REMEMBERED: Final = 20_000
"""Tokens remembered at most; the least recently used go first."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the hub's user (or service) name, the workspace the token belongs to, and whether they see what operators see."""

    person: str
    workspace: str
    admin: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    at: float
    caller: Caller | None
    refusal: GatewayError | None

    def verdict(self) -> Caller:
        if self.caller is not None:
            return self.caller
        assert self.refusal is not None
        raise self.refusal.with_traceback(None)


def bearer(header: str | None) -> str:
    """The token of an ``Authorization`` header (``Bearer …``, or the hub's ``token …``).

    Raises `NotAuthenticated` when there is none.
    """
    scheme, _, token = (header or "").partition(" ")
    token = token.strip()
    if scheme.lower() not in {"bearer", "token"} or not token:
        raise NotAuthenticated(
            "no token: send 'Authorization: Bearer <hub token>'; in a workspace it is in JUPYTERHUB_API_TOKEN"
        )
    if len(token) > 4096 or not token.isascii() or not token.isprintable():
        raise NotAuthenticated("the token is not one that the hub could have made")
    return token


def caller_from(user: dict[str, Any], service: str) -> Caller:
    """The caller in the hub's answer to ``GET /user``. Raises `NotAllowed` without the scope for ``service``."""
    scopes = {str(scope) for scope in user.get("scopes") or ()}
    wanted = wire.service_scope(service)
    if not scopes & {wanted, "access:services"}:
        raise NotAllowed(
            f"this token may not use the AI gateway: it lacks the scope {wanted!r}; "
            "use your workspace's own token, or request one with that scope on the hub's token page"
        )
    servers = sorted(scope.partition("=")[2] for scope in scopes if scope.startswith("access:servers!server="))
    workspace = servers[0].partition("/")[2] if len(servers) == 1 else ""
    # A service's token was made by whoever runs the hub: their monitoring, for one.
    admin = bool(user.get("admin")) or user.get("kind") == "service" or bool(scopes & {"admin-ui", "admin:users"})
    return Caller(str(user.get("name") or "unknown"), workspace or wire.DEFAULT_WORKSPACE, admin)


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=16).digest()


class HubIdentity:
    """Callers by token. ``hub_api`` is the hub's API URL; ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        hub_api: str,
        *,
        service: str = wire.GATEWAY_SERVICE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._url = hub_api.rstrip("/") + "/user"
        self._service = service
        self._clock = clock
        self._known: OrderedDict[bytes, _Answer] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Answer]] = {}

    async def caller(self, token: str) -> Caller:
        """Who the token belongs to. Raises `NotAuthenticated`, `NotAllowed` or `HubUnavailable`."""
        return self.known(token) or (await asyncio.shield(self._ask(_digest(token), token))).verdict()

    def known(self, token: str) -> Caller | None:
        """Who the token belongs to, as far as that is known without asking; None: `caller` asks.

        Raises `NotAuthenticated` or `NotAllowed` when that is known.
        """
        key = _digest(token)
        answer = self._known.get(key)
        if answer is None:
            return None
        age = self._clock() - answer.at
        if age >= (MUST_ASK_S if answer.caller else REFUSED_S):
            return None
        if answer.caller and age >= REFRESH_S:
            self._ask(key, token)
            self._known.move_to_end(key)
        return answer.verdict()

    async def close(self) -> None:
        """End the questions still under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, key: bytes, token: str) -> asyncio.Task[_Answer]:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._verify(key, token))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    async def _verify(self, key: bytes, token: str) -> _Answer:
        # The time before the question: what the hub says cannot be older than that.
        at = self._clock()
        caller: Caller | None = None
        refusal: GatewayError | None = None
        try:
            caller = caller_from(await self._user(token), self._service)
        except HubUnavailable as error:
            # Not remembered: an answer we already have stays good until it is too old.
            return _Answer(at, None, error)
        except GatewayError as error:
            refusal = error
        answer = self._known[key] = _Answer(at, caller, refusal)
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return answer

    async def _user(self, token: str) -> dict[str, Any]:
        try:
            async with self._session.get(
                self._url,
                headers={"Authorization": f"token {token}"},
                timeout=aiohttp.ClientTimeout(total=10),
                allow_redirects=False,
            ) as response:
                if response.status in (401, 403):
                    raise NotAuthenticated(
                        "the hub does not know this token: it was revoked, has expired or is mistyped"
                    )
                if response.status != 200:
                    raise HubUnavailable(
                        f"the hub answered {response.status} when asked whose token this is; try again"
                    )
                user = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("hub at %s did not answer: %s", self._url, type(error).__name__)
            raise HubUnavailable("the hub does not answer, so nobody can be identified; try again shortly") from error
        if not isinstance(user, dict):
            raise HubUnavailable("the hub's answer about this token was not understood; try again")
        return user
