"""Microsoft Entra ID tokens for Azure upstreams, fetched ahead of need. No SDK; three flows, chosen by the environment.

- client secret: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET
- workload identity: the same with AZURE_FEDERATED_TOKEN_FILE instead of the secret (set by Azure's webhook on AKS)
- managed identity: none of these; the machine's own identity, AZURE_CLIENT_ID choosing among several

Sources: learn.microsoft.com, "OAuth 2.0 client credentials flow" and "How to use managed identities to get an access token".
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import aiohttp

from neuralinverse_hub.gateway.errors import ConfigurationError

__all__ = ["SCOPE", "EntraIdentity", "EntraRefused", "identity_from"]

SCOPE: Final = "https://ai.azure.com/.default"
AUTHORITY: Final = "https://login.microsoftonline.com"
MANAGED_IDENTITY: Final = "http://169.254.169.254/metadata/identity/oauth2/token"
AHEAD_S: Final = 300.0
"""A token is replaced in the background this long before it ends."""

log = logging.getLogger(__name__)


class EntraRefused(Exception):
    """Entra ID gave no token; the sentence says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Where to ask for a token and with what."""

    name: str
    url: str
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    assertion_file: str | None = None
    """Read anew for each token: the platform replaces it."""


def identity_from(env: Mapping[str, str]) -> Flow:
    """The flow that ``env`` asks for. Raises `ConfigurationError` when it is half set."""
    scope = env.get("AZURE_AI_SCOPE") or SCOPE
    tenant, client = env.get("AZURE_TENANT_ID"), env.get("AZURE_CLIENT_ID")
    secret, federated = env.get("AZURE_CLIENT_SECRET"), env.get("AZURE_FEDERATED_TOKEN_FILE")
    if not secret and not federated:
        query = {"api-version": "2018-02-01", "resource": scope.removesuffix("/.default")}
        if client:
            query["client_id"] = client
        endpoint = env.get("AZURE_MANAGED_IDENTITY_ENDPOINT") or MANAGED_IDENTITY
        return Flow("managed identity", f"{endpoint}?{urlencode(query)}")
    missing = [name for name, value in (("AZURE_TENANT_ID", tenant), ("AZURE_CLIENT_ID", client)) if not value]
    if missing:
        raise ConfigurationError(f"Entra ID needs {' and '.join(missing)} beside the secret or the federated token")
    form = {"grant_type": "client_credentials", "client_id": client or "", "scope": scope}
    authority = (env.get("AZURE_AUTHORITY_HOST") or AUTHORITY).rstrip("/")
    url = f"{authority}/{tenant}/oauth2/v2.0/token"
    if secret:
        return Flow("client secret", url, {**form, "client_secret": secret})
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return Flow("workload identity", url, {**form, "client_assertion_type": kind}, federated)


class EntraIdentity:
    """The current token of the flow that the environment asks for; simultaneous callers share one request."""

    def __init__(
        self, session: aiohttp.ClientSession, env: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._env = env
        self._clock = clock
        self._token = ""
        self._ends = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """A token that is still good. Raises `EntraRefused`."""
        left = self._ends - self._clock()
        if left < AHEAD_S and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_noted)
        if left <= 0:
            assert self._asking is not None
            await asyncio.shield(self._asking)
        return self._token

    async def close(self) -> None:
        """End a request under way."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            flow = identity_from(self._env)
        except ConfigurationError as error:
            raise EntraRefused(f"gets no token: {error}") from error
        asked = self._clock()
        form = dict(flow.form)
        try:
            if flow.assertion_file:
                form["client_assertion"] = (await asyncio.to_thread(Path(flow.assertion_file).read_text)).strip()
            timeout = aiohttp.ClientTimeout(total=20)
            request = (
                self._session.post(flow.url, data=form, timeout=timeout)
                if form
                else self._session.get(flow.url, headers={"Metadata": "true"}, timeout=timeout)
            )
            async with request as response:
                answer = await response.json(content_type=None)
                if response.status != 200:
                    code = answer.get("error") if isinstance(answer, dict) else None
                    raise EntraRefused(
                        f"gets no token from Entra ID by {flow.name}: {response.status} {code or ''}".rstrip()
                    )
            self._token = str(answer["access_token"])
            self._ends = asked + float(answer["expires_in"])
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise EntraRefused(f"gets no token from Entra ID by {flow.name}: {type(error).__name__}") from error


def _noted(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.warning("an Azure upstream %s", error)
