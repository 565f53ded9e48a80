"""The git host that a mirror copies from: what a repository there has, and bringing that into a copy.

The mirror signs in as its region, with the token of its own service, which no person and no workspace ever has. The token
goes into a header and into git's environment, never onto a command line, into a file or into a log.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from . import git
from .errors import GitHostError, NoSuchRepository, PrimaryAway

__all__ = ["Primary", "refs_in"]

_FETCH_S: Final = 600.0
"""One fetch takes so long at most, in seconds; one that stands still is given up sooner."""
_STALL: Final = {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "20"}
"""Less than 1000 bytes a second for 20 s is standing still."""
_REF: Final = re.compile(rb"([0-9a-f]{40}) (refs/[^\0\n]+)")


class Primary:
    """The git host at ``url``, as the mirror of ``region`` sees it. ``token`` is the mirror's own; see `identity`."""

    def __init__(self, url: str, region: str, token: str, *, timeout_s: float = 10.0) -> None:
        self.url = url.rstrip("/")
        self._header = "Basic " + base64.b64encode(f"{region}:{token}".encode()).decode()
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2)
        self._session: aiohttp.ClientSession | None = None

    def address(self, person: str, name: str) -> str:
        """Where the person's repository is."""
        return f"{self.url}/{quote(person, safe='')}/{name}.git"

    async def refs(self, person: str, name: str) -> dict[str, str]:
        """All refs of the person's repository, and the ids of the objects they name.

        Raises:
            NoSuchRepository: the primary has none of that name.
            PrimaryAway: it does not say.
        """
        if self._session is None:
            # What the operating system says about proxies and certificates holds, as it does for git.
            self._session = aiohttp.ClientSession(timeout=self._timeout, trust_env=True)
        url = URL(f"{self.address(person, name)}/info/refs?service=git-upload-pack", encoded=True)
        try:
            async with self._session.get(url, headers={"Authorization": self._header}, allow_redirects=False) as answer:
                said = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PrimaryAway(
                f"The primary Git host at {self.url} does not answer: {str(error) or type(error).__name__}."
            ) from error
        if answer.status == 404:
            raise NoSuchRepository(f"The primary Git host has no repository {name!r} of {person}.")
        if answer.status != 200:
            first = said[:200].decode(errors="replace").strip() or answer.reason
            raise PrimaryAway(
                f"The primary Git host at {self.url} does not let this mirror read: {answer.status}, {first}"
            )
        return {
            ref.decode(errors="surrogateescape"): oid.decode()
            for oid, ref in _REF.findall(said)
            if not ref.endswith(b"^{}")
        }

    async def fetch(self, person: str, name: str, into: Path) -> None:
        """Make the repository ``into`` have what the person's repository has: every ref, all objects, nothing else.

        Raises:
            GitHostError: the primary did not give it, or ``into`` did not take it.
        """
        settings: Mapping[str, str] = {
            "http.extraHeader": f"Authorization: {self._header}",
            "http.followRedirects": "false",
            "credential.helper": "",
            # What arrives damaged is refused.
            "fetch.fsckObjects": "true",
            "gc.auto": "0",
        }
        await git.run(
            "fetch",
            *("--quiet", "--prune", "--no-tags", "--force", "--no-write-fetch-head"),
            *(self.address(person, name), "+refs/*:refs/*"),
            git_dir=into,
            settings=settings,
            env=_STALL,
            within_s=_FETCH_S,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


async def refs_in(repository: Path) -> dict[str, str] | None:
    """All refs of a repository here, and the ids of the objects they name; None when it is none, or cannot be read."""
    try:
        listing = await git.run("for-each-ref", "--format=%(objectname) %(refname)", git_dir=repository, within_s=60)
    except GitHostError:
        return None
    return {ref: oid for oid, _, ref in (line.partition(" ") for line in listing.splitlines())}
