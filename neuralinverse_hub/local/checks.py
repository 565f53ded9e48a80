"""What has to be right before anything is started; each failure is one sentence."""

from __future__ import annotations

import contextlib
import getpass
import re
import shutil
import socket

import psutil

from neuralinverse_hub.local.errors import NotReady
from neuralinverse_hub.local.ports import free_port, is_free


def git() -> None:
    """Raises NotReady unless git is on the PATH."""
    if shutil.which("git") is None:
        raise NotReady(
            "git is missing, and work is kept in Git: install it (for example: apt install git, or "
            "xcode-select --install on a Mac), then run the same command again."
        )


def port(wanted: int) -> int:
    """``wanted`` if it can be bound, a free one for 0. Raises NotReady that says who has it."""
    if wanted == 0:
        return free_port()
    if is_free(wanted):
        return wanted
    if wanted < 1024 and not _answers(wanted):
        raise NotReady(f"Port {wanted} needs administrator rights: name one from 1024 up, for example --port 8000.")
    raise NotReady(
        f"Port {wanted} is taken{_user_of(wanted)}: stop that program, or use another port, "
        f"for example --port {next_free(wanted)}."
    )


def next_free(taken: int) -> int:
    """The next port above ``taken`` that is free, so that the sentence can name one that works."""
    return next((port for port in range(taken + 1, min(taken + 50, 65536)) if is_free(port)), 0) or free_port()


def _answers(wanted: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", wanted)) == 0


def _user_of(wanted: int) -> str:
    """`` by NAME (process PID)`` when the system tells, else nothing."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == wanted
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def user(wanted: str | None) -> str:
    """The name to log in with: ``wanted``, else this account's. Raises NotReady for a name the hub would refuse."""
    if wanted is None:
        try:
            wanted = getpass.getuser()
        except (KeyError, OSError):
            # An account without a name, as in some containers.
            wanted = "user"
        wanted = re.sub(r"[^a-z0-9._-]+", "-", wanted.lower()).strip("-._") or "user"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", wanted):
        raise NotReady(
            f"{wanted!r} cannot be a user name: use up to 64 lower-case letters, digits, dots, dashes and underscores, "
            "beginning and ending with a letter or digit."
        )
    return wanted
