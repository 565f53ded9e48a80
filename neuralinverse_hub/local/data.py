"""The data folder of one installation: what is where in it, its password, and the lock of the ``up`` that uses it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neuralinverse_hub.local.errors import NotReady

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without the ones that people misread: i, l, o, 0, 1."""


def default_folder() -> Path:
    """The platform's data folder of this user."""
    import platformdirs

    return Path(platformdirs.user_data_dir("neuralinverse-hub", appauthor=False))


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths below ``root``, which is absolute."""

    root: Path

    @property
    def password_file(self) -> Path:
        return self.root / "password"

    @property
    def handover(self) -> Path:
        return self.root / "local.json"

    @property
    def workspaces(self) -> Path:
        return self.root / "workspaces"

    @property
    def git(self) -> Path:
        return self.root / "git"

    @property
    def hub_log(self) -> Path:
        return self.root / "logs" / "hub.log"

    @property
    def model_log(self) -> Path:
        return self.root / "logs" / "model.log"

    def prepare(self) -> None:
        """Create what is missing, for this user's eyes only. Raises NotReady when that is not possible."""
        try:
            fresh = not self.root.exists() or not any(self.root.iterdir())
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            if fresh:
                # Only then: a folder that somebody filled and named on the command line keeps its mode.
                self.root.chmod(0o700)
            for folder in (self.workspaces, self.git, self.hub_log.parent):
                folder.mkdir(exist_ok=True, mode=0o700)
            (self.root / "up.lock").open("a").close()
        except OSError as error:
            raise NotReady(
                f"Cannot write to the data folder {self.root} ({error.strerror}): "
                "make it writable, or name another one with --data-dir."
            ) from error

    def password(self) -> str:
        """The team's password, made on the first call. The file is readable by this user only."""
        with contextlib.suppress(FileNotFoundError):
            kept = self.password_file.read_text().strip()
            if kept:
                self.password_file.chmod(0o600)
                return kept
        made = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
        part = self.password_file.with_name("password.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(made + "\n")
        part.replace(self.password_file)
        return made

    @contextlib.contextmanager
    def claimed(self, url: str) -> Iterator[None]:
        """Be the only ``up`` on this folder. Raises NotReady that names the other one and its address.

        The kernel lets go of the lock when this process ends, however it ends.
        """
        with (self.root / "up.lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NotReady(
                    f"neuralinverse-hub is already running on {self.root}{_holder(lock.read())}. "
                    "Use that one, stop it with Ctrl-C, or name another folder with --data-dir and another --port."
                ) from None
            lock.truncate(0)
            json.dump({"pid": os.getpid(), "url": url}, lock)
            lock.flush()
            yield


def _holder(written: str) -> str:
    try:
        holder = json.loads(written)
        return f", process {holder['pid']}, at {holder['url']}"
    except (ValueError, KeyError, TypeError):
        return ""
