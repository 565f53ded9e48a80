"""The hub's REST API as operators use it: paged, with errors that say what to do.

Source: https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html
"""

from __future__ import annotations

import argparse
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

from neuralinverse_hub import wire
from neuralinverse_hub.local.errors import LocalError

__all__ = ["ENV_API_URL", "HubApi", "HubError", "arguments", "connect"]

ENV_API_URL: Final = "JUPYTERHUB_API_URL"
_TIMEOUT_S: Final = 60.0
_PAGE: Final = 200


class HubError(LocalError):
    """The hub did not do what was asked. ``status`` is its HTTP status; 0 when it did not answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def arguments(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The options that say which hub, for ``parser`` and as parents for its actions: people write them before or after."""
    again = argparse.ArgumentParser(add_help=False)
    for each, default in ((parser, None), (again, argparse.SUPPRESS)):
        each.add_argument(
            "--hub",
            metavar="URL",
            default=default,
            help=f"where the hub is, e.g. https://hub.example.org (default: {ENV_API_URL}). "
            f"The token is taken from {wire.ENV_TOKEN}",
        )
    return [again]


def connect(options: argparse.Namespace) -> HubApi:
    """The hub that the options, or else the environment, name. Raises `HubError`."""
    url = f"{options.hub.rstrip('/').removesuffix('/hub')}/hub/api" if options.hub else os.environ.get(ENV_API_URL, "")
    if not url:
        raise HubError(f"which hub? Give --hub https://hub.example.org, or set {ENV_API_URL}")
    if urlsplit(url).scheme not in ("http", "https"):
        raise HubError(f"{options.hub or url!r} is no address of a hub; write it like https://hub.example.org")
    token = os.environ.get(wire.ENV_TOKEN, "")
    if not token:
        page = f"{url.removesuffix('/api')}/token"
        raise HubError(f"set {wire.ENV_TOKEN} to a token of an administrator; {page} makes one")
    return HubApi(url, token)


class HubApi:
    """One hub, and a token for it. Raises `HubError` whatever goes wrong."""

    def __init__(self, url: str, token: str) -> None:
        """``url`` ends in ``/hub/api``."""
        self._url = url.rstrip("/")
        self._token = token

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer, None where there is none. ``path`` is relative to the API, and quoted."""
        request = urllib.request.Request(
            f"{self._url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"token {self._token}",
                "Accept": "application/jupyterhub-pagination+json, application/json",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise HubError(self._words(error), error.code) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise HubError(f"the hub at {self._url} does not answer: {reason}") from error
        try:
            return json.loads(content) if content else None
        except ValueError:
            raise HubError(f"{self._url} does not answer as a hub does; is the address right?") from None

    def servers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(person, the hub's model of their server) of all servers that run, start or stop."""
        offset: int | None = 0
        while offset is not None:
            page = self.ask("GET", f"users?state=active&limit={_PAGE}&offset={offset}")
            for user in page["items"]:
                for server in user.get("servers", {}).values():
                    yield str(user["name"]), server
            following = page["_pagination"]["next"]
            offset = following["offset"] if following else None

    def servers_of(self, person: str) -> dict[str, dict[str, Any]]:
        """By name, those of ``person`` that run, start or stop; none when there is no such person."""
        try:
            return dict(self.ask("GET", f"users/{quote(person, safe='')}").get("servers", {}))
        except HubError as error:
            if error.status == 404:
                return {}
            raise

    def stop(self, person: str, server: str) -> None:
        """Ask the hub to stop it; it may still be at it when this returns."""
        path = f"users/{quote(person, safe='')}/server"
        self.ask("DELETE", f"{path}s/{quote(server, safe='')}" if server else path)

    def _words(self, error: urllib.error.HTTPError) -> str:
        try:
            said = str(json.loads(error.read())["message"])
        except (ValueError, KeyError, TypeError):
            said = str(error.reason)
        if error.code in (401, 403):
            return f"the hub refuses ({said}): the token in {wire.ENV_TOKEN} is not an administrator's, or has ended"
        return f"the hub says {error.code}: {said}"
