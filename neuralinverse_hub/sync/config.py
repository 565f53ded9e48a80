"""What sync is told from outside: the environment of the workspace, and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from neuralinverse_hub import wire
from neuralinverse_hub.environment import needed

from .credentials import Credentials
from .errors import BadConfiguration
from .sealed import Sealer

__all__ = ["Config"]

_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True, slots=True)
class Config:
    """One workspace, its folder, and where its snapshots go. Secrets are never shown by ``repr``."""

    folder: Path
    state: Path
    remote: str
    workspace: str
    generation: int
    credentials: Credentials
    key: str = field(default="", repr=False)
    """The person's key for private files, 32 bytes in base64; empty: private files are not kept."""
    home: Path = Path("/nonexistent")
    mirror: str = ""
    """Address of a mirror of ``remote``; empty: there is none."""
    cache: Path | None = None
    """This person's folder for objects on the node; None: there is none."""

    @property
    def private(self) -> Path:
        """Sync's own folder below the workspace's state folder."""
        return self.state / "sync"

    @property
    def prefix(self) -> str:
        """``refs/ni/<workspace>/<generation>``: the only refs this configuration may write."""
        return wire.ref_prefix(self.workspace, self.generation)

    def sealer(self) -> Sealer | None:
        """What private files are encrypted with; None without a key.

        Raises:
            BadConfiguration: the key is not a key.
        """
        return Sealer.from_text(self.key, self.workspace, wire.ENV_SYNC_KEY) if self.key else None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Config:
        """Read the ``wire.ENV_*`` variables.

        Raises:
            BadConfiguration: names the variable, its value and what it should look like.
        """
        environ = os.environ if environ is None else environ

        def need(name: str, what: str) -> str:
            return needed(environ, name, what, BadConfiguration)

        folder = Path(need(wire.ENV_FOLDER, "the absolute path of the folder to protect"))
        state = Path(need(wire.ENV_STATE, "the absolute path of a private folder outside the protected one"))
        for name, path in ((wire.ENV_FOLDER, folder), (wire.ENV_STATE, state)):
            if not path.is_absolute():
                raise BadConfiguration(f"{name} is {str(path)!r}; it should be an absolute path.")
        if state == folder or folder in state.parents:
            raise BadConfiguration(
                f"{wire.ENV_STATE} ({str(state)!r}) lies inside {wire.ENV_FOLDER} ({str(folder)!r}); "
                "put it elsewhere, or sync would protect its own records."
            )
        remote = need(wire.ENV_GIT_REMOTE, "the HTTP address of the snapshot repository")
        mirror = environ.get(wire.ENV_GIT_MIRROR, "")
        for name, address in ((wire.ENV_GIT_REMOTE, remote), (wire.ENV_GIT_MIRROR, mirror or remote)):
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
                raise BadConfiguration(
                    f"{name} should be an http:// or https:// address without user name and password."
                )
        workspace = environ.get(wire.ENV_WORKSPACE) or wire.DEFAULT_WORKSPACE
        if not _WORKSPACE.fullmatch(workspace) or workspace.endswith(".lock"):
            raise BadConfiguration(
                f"{wire.ENV_WORKSPACE} is {workspace!r}; it should be letters, digits, '-' and '_' only."
            )
        raw = need(wire.ENV_GENERATION, "a number that grows with every start of the workspace")
        if not raw.isascii() or not raw.isdigit():
            raise BadConfiguration(f"{wire.ENV_GENERATION} is {raw!r}; it should be a whole number, 0 or more.")
        credentials = Credentials.from_env(environ)
        key = environ.get(wire.ENV_SYNC_KEY, "")
        home = Path(environ.get("HOME") or "/nonexistent")
        cache = Path(given) if (given := environ.get(wire.ENV_GIT_CACHE, "")) else None
        config = cls(
            folder,
            state,
            remote.rstrip("/"),
            workspace,
            int(raw),
            credentials,
            key,
            home,
            mirror=mirror.rstrip("/"),
            cache=cache,
        )
        config.sealer()
        return config
