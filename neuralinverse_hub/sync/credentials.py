"""Who we are to the git host: an account of the host's own where there is one, else the workspace's hub token.

They come from the environment and go into an HTTP header or a pipe, never onto a command line or into a log. Where they
have become worthless, because somebody deleted them on the host, the hub is asked for others; those lie in a private file,
so that the person's own ``git`` uses them too.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from neuralinverse_hub import wire

from .errors import BadConfiguration

__all__ = ["Credentials", "git_environment"]

_log = logging.getLogger(__name__)

_ANYBODY: Final = "workspace"
"""User name for hosts that look at the token alone."""

_RENEWED: Final = "git-access."
"""Beginning of the name of the file with renewed credentials, as git's credential helpers write them; the generation
follows, so that the next start does not take them for its own."""

_ANSWER: Final = (
    f'!f() {{ test "$1" != get || cat "${wire.ENV_STATE}/{_RENEWED}${wire.ENV_GENERATION}" 2>/dev/null || printf "username=%s\\npassword=%s\\n" '
    f'"${{{wire.ENV_GIT_USER}:-{_ANYBODY}}}" "${{{wire.ENV_GIT_TOKEN}:-${wire.ENV_TOKEN}}}"; }}; f'
)
"""A credential helper for git, as its configuration holds one: it names the variables, and nothing of what is in them."""


@dataclass(frozen=True, slots=True)
class _Renewal:
    """Where and as who to ask for other credentials, and the file for them."""

    url: str
    token: str = field(repr=False)
    generation: int
    file: Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and secret for HTTP's Basic authentication; ``repr`` does not show the secret."""

    user: str
    secret: str = field(repr=False)
    _renewal: _Renewal | None = None

    def renewed(self) -> Credentials | None:
        """Others in place of these, which the host does not accept; None when there are none to be had now."""
        renewal = self._renewal
        if renewal is None:
            return None
        # Another process of this workspace may have asked before.
        if (known := _read(renewal.file)) and known != (self.user, self.secret):
            return replace(self, user=known[0], secret=known[1])
        request = urllib.request.Request(
            renewal.url,
            data=json.dumps({"generation": renewal.generation}).encode(),
            headers={"Authorization": f"token {renewal.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                model = json.load(answer)
            _write(renewal.file, model["user"], model["token"])
        except (OSError, ValueError, KeyError) as error:
            _log.warning("the hub gives no other credentials for the git host: %s", error)
            return None
        return replace(self, user=model["user"], secret=model["token"])

    def as_they_are(self) -> Credentials:
        """The same, never renewed."""
        return replace(self, _renewal=None)

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Credentials:
        """The host's own credentials where they are set, else the hub token.

        Raises:
            BadConfiguration: there are none, or a user name without its token, or one that cannot be sent.
        """
        user = environ.get(wire.ENV_GIT_USER, "")
        secret = environ.get(wire.ENV_GIT_TOKEN, "")
        if user and not secret:
            raise BadConfiguration(
                f"{wire.ENV_GIT_USER} is {user!r}, but {wire.ENV_GIT_TOKEN} is not set; set both or neither."
            )
        if ":" in user:
            raise BadConfiguration(f"{wire.ENV_GIT_USER} is {user!r}; a user name has no ':' in it.")
        secret = secret or environ.get(wire.ENV_TOKEN, "")
        if not secret:
            raise BadConfiguration(f"{wire.ENV_TOKEN} is not set; it should hold the workspace's hub token.")
        renewal = _renewal(environ) if user else None
        if renewal and (known := _read(renewal.file)):
            user, secret = known
        return cls(user or _ANYBODY, secret, renewal)


def _renewal(environ: Mapping[str, str]) -> _Renewal | None:
    """None where the environment is not that of a workspace which a hub has started."""
    api, token, person = (environ.get(name) for name in ("JUPYTERHUB_API_URL", wire.ENV_TOKEN, "JUPYTERHUB_USER"))
    state, generation = environ.get(wire.ENV_STATE), environ.get(wire.ENV_GENERATION, "")
    if not (api and token and person and state and generation.isdigit()):
        return None
    server = environ.get("JUPYTERHUB_SERVER_NAME", "")
    url = f"{api.rstrip('/')}/{wire.GIT_ACCESS}/{quote(person, safe='@')}/{quote(server, safe='')}"
    return _Renewal(url, token, int(generation), Path(state, _RENEWED + generation))


def _read(file: Path) -> tuple[str, str] | None:
    try:
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines())
        return lines["username"], lines["password"]
    except (OSError, ValueError, KeyError):
        return None


def _write(file: Path, user: str, secret: str) -> None:
    for old in file.parent.glob(f"{_RENEWED}*"):
        with contextlib.suppress(OSError):
            old.unlink()
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with open(fresh, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        out.write(f"username={user}\npassword={secret}\n")
    fresh.replace(file)


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What to add to a workspace's environment so that the person's own ``git`` signs in on the git host by itself.

    It holds for that host only. Configuration that ``environ`` already brings along in this way is kept.
    """
    parts = urlsplit(environ.get(wire.ENV_GIT_REMOTE, ""))
    if not parts.netloc:
        return {}
    number = int(environ.get("GIT_CONFIG_COUNT") or 0)
    return {
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": f"credential.{parts.scheme}://{parts.netloc}.helper",
        f"GIT_CONFIG_VALUE_{number}": _ANSWER,
    }
