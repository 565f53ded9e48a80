"""The hub as an OAuth application on Gitea, so that one account serves both: registered once, checked at each start."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from .errors import GiteaAway
from .gitea import Admin, Gitea

__all__ = ["Client", "ensure"]

_log = logging.getLogger(__name__)
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True)
class Client:
    """What the hub shows to the host as its own."""

    number: int
    id: str
    secret: str = field(repr=False)
    redirect_uri: str


def ensure(url: str, admin: Admin, redirect_uri: str, kept: Path, *, patience_s: float = _PATIENCE_S) -> Client:
    """The hub's registration: the one in the file ``kept``, or a new one when that does not hold any more.

    Blocks, since a hub cannot let anybody in before it has this. A host that starts beside the hub is waited for.

    Raises:
        ProvisioningError: the host did not answer for ``patience_s``, or refused. A hub that is started again recovers.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            # JupyterHub reads its configuration inside its event loop, which cannot run another.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, _ensure(url, admin, redirect_uri, kept)).result()
        except GiteaAway as error:
            if time.monotonic() > deadline:
                raise
            _log.warning("%s Waiting for it, to register the hub there.", error)
            time.sleep(1)


async def _ensure(url: str, admin: Admin, redirect_uri: str, kept: Path) -> Client:
    async with Gitea(url, admin) as gitea:
        known = await asyncio.to_thread(_read, kept)
        if known and known.redirect_uri == redirect_uri and await gitea.application(known.number):
            return known
        client = Client(*await gitea.create_application("NeuralInverse hub", redirect_uri), redirect_uri)
        await asyncio.to_thread(_write, kept, client)
        _log.info("registered the hub at %s, for %s", url, redirect_uri)
        return client


def _read(path: Path) -> Client | None:
    try:
        return Client(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write(path: Path, client: Client) -> None:
    private: Callable[[str, int], int] = lambda name, flags: os.open(name, flags, 0o600)  # noqa: E731
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "w", opener=private) as file:
        json.dump(asdict(client), file)
    fresh.replace(path)
