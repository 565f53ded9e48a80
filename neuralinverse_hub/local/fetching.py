"""Runs npm and pip for an installation: output into a log, progress by what is on disk, failures as one sentence."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from neuralinverse_hub.local.errors import InstallError, Unreachable
from neuralinverse_hub.local.progress import Advance
from neuralinverse_hub.local.store import size_of

INSTALL_MARKER: Final = "NEURALINVERSE_INSTALL"
"""In the environment of every npm and pip run: the cache it works for, so that a later run finds orphans."""

_UNREACHABLE: Final = re.compile(
    r"ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET|network request failed"
    r"|Failed to establish a new connection|Temporary failure in name resolution|Name or service not known"
    r"|Connection refused|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|Network is unreachable",
    re.IGNORECASE,
)
_CERTIFICATE: Final = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY"
)
_DISK_FULL: Final = re.compile(r"ENOSPC|No space left on device")


@dataclass(frozen=True, slots=True)
class Run:
    """Where one component's commands run, and how they report."""

    title: str
    """What is being installed, as people read it."""
    registry: str
    """Where it comes from, as people read it: ``the npm registry``."""
    environment: Mapping[str, str]
    log: Path
    watched: tuple[Path, ...]
    """Folders whose growth is the progress."""
    had: int
    """Bytes in them at the beginning."""
    advance: Advance

    def __call__(self, command: Sequence[str], folder: Path) -> None:
        """Run one command to its end. Raises InstallError; never leaves the process running behind an exception."""
        with self.log.open("a") as log:
            print(f"$ {' '.join(command)}", file=log, flush=True)
            begins = log.tell()
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A session of its own: Ctrl-C reaches us alone, and we stop the whole group.
                start_new_session=True,
            )
            try:
                self._watch(process)
            except BaseException:
                _kill_group(process)
                raise
        if process.returncode != 0:
            said = self.log.read_bytes()[begins:].decode(errors="replace")
            raise explain(self.title, self.registry, said, self.log)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        pause_s = 0.2
        while True:
            try:
                process.wait(timeout=pause_s)
                return
            except subprocess.TimeoutExpired:
                began = time.monotonic()
                self.advance(sum(map(size_of, self.watched)) - self.had)
                # Looking at ten thousand files must not slow down what is being watched.
                pause_s = max(0.5, 10 * (time.monotonic() - began))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def explain(title: str, registry: str, said: str, log: Path) -> InstallError:
    """The one sentence for a failed npm or pip run that printed ``said``."""
    if _DISK_FULL.search(said):
        return InstallError(
            f"The disk is full: could not install {title}. Free some space, then run the same command again."
        )
    if _CERTIFICATE.search(said):
        return InstallError(
            f"Could not install {title}: the certificate of {registry} is not trusted here. Behind a company proxy, "
            f"name its certificate in PIP_CERT and NODE_EXTRA_CA_CERTS, then run the same command again. Details: {log}"
        )
    if _UNREACHABLE.search(said):
        return Unreachable(
            f"Could not download {title}: {registry} cannot be reached. Check the network connection (and HTTPS_PROXY, "
            f"if you need one), then run the same command again; what is already installed is kept. Details: {log}"
        )
    if "(from versions: none)" in said:
        return Unreachable(
            f"Could not download {title}: {registry} cannot be reached or does not have it. Check the network connection "
            f"and which index pip uses (pip config list), then run the same command again. Details: {log}"
        )
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "no output")
    return InstallError(f"Could not install {title}: {last[:300]}. Details: {log}")
