"""Workspaces as processes of this machine, each with a folder of its own. For one team that trusts itself.

All workspaces run as the same operating-system account: folders keep people's files, settings and processes apart,
they do not protect them from each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import psutil
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import Dict, Unicode, default

from neuralinverse_hub import wire
from spawner.names import safe_name, workspace_name
from spawner.workspace import WorkspaceMixin

__all__ = ["LocalWorkspaceSpawner"]


class WorkspaceEnded(Exception):
    """The workspace ended while it started. ``jupyterhub_message`` is what the hub shows to the person."""

    def __init__(self, code: int, log_file: Path) -> None:
        super().__init__(f"the workspace ended with exit code {code} while it started; see {log_file}")
        self.jupyterhub_message = f"Your workspace ended while it started (exit code {code}). Its log: {log_file}"


class LocalWorkspaceSpawner(WorkspaceMixin, SimpleLocalProcessSpawner):  # type: ignore[misc]  # no types
    """Starts a workspace as a local process with its home below ``workspaces_dir/<person>/<workspace>``."""

    workspaces_dir = Unicode("workspaces", help="Folder that holds every workspace's home.").tag(config=True)
    ide_environment = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="Where Node and code-server are: the values of the workspace's ``NEURALINVERSE_NODE`` and "
        "``NEURALINVERSE_CODE_SERVER``.",
    ).tag(config=True)

    @default("sizes")
    def _default_sizes(self) -> dict[str, Any]:
        # Processes of one machine share it: there is nothing to reserve, and nobody is asked.
        return {}

    @default("home_dir")
    def _default_home_dir(self) -> str:
        return str(Path(self.workspaces_dir).absolute() / safe_name(self.user.name) / workspace_name(self.name))

    @default("interrupt_timeout")
    def _default_interrupt_timeout(self) -> int:
        # The agent stops the server and brings the last changes to the Git host before it exits.
        return 25

    def folders(self) -> tuple[str, str]:
        return f"{self.home_dir}/work", f"{self.home_dir}/.neuralinverse"

    def workspace_environment(self) -> dict[str, str]:
        return super().workspace_environment() | self.ide_environment

    def make_preexec_fn(self, name: str) -> Any:
        # The agent makes its own folders and says what is wrong with them; code between fork and exec cannot.
        return None

    async def start(self) -> Any:
        """Start the workspace and return when its server listens, or say at once that it ended instead."""
        await self._sweep()
        log_file = Path(self.home_dir, "workspace.log")
        with await asyncio.to_thread(_fresh_log, log_file) as log:
            own = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}
            self.popen_kwargs = {**self.popen_kwargs, **own}  # type: ignore[has-type]  # the spawner's
            address = await super().start()
        # The hub itself would wait its whole http_timeout for a process that is already gone.
        while (code := await self.poll()) is None:
            if await _listens(*address):
                return address
            await asyncio.sleep(0.05)
        raise WorkspaceEnded(code, log_file)

    async def stop(self, now: bool = False) -> None:
        await super().stop(now=now)
        await self._sweep()

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the spawn page shows: the steps of this start, in the person's words."""
        yield {"progress": 10, "message": "Starting your workspace"}
        status = Path(self.folders()[1], wire.SYNC_STATUS_FILE)
        while True:
            if await asyncio.to_thread(_is_restoring, status, self.generation):
                yield {"progress": 40, "message": "Restoring your files from Git"}
                break
            await asyncio.sleep(0.2)

    async def _sweep(self) -> None:
        """End what an earlier start of this workspace left running, e.g. after its agent was killed."""
        left = await asyncio.to_thread(lambda: list(_processes_of(self.folders()[1])))
        if not left:
            return
        self.log.warning("Ending %i left-over processes of workspace %s", len(left), self.home_dir)
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        await asyncio.to_thread(psutil.wait_procs, left, 5)


def _fresh_log(path: Path) -> BinaryIO:
    """An empty log for this start; that of the start before stays beside it, as ``workspace.log.1``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_suffix(".log.1"))
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def _is_restoring(status: Path, generation: int) -> bool:
    try:
        seen = json.loads(status.read_bytes())
    except (OSError, ValueError):
        return False
    return bool(seen.get("generation") == generation and seen.get("state") == "restoring")


def _processes_of(state: str) -> Iterator[psutil.Process]:
    """Processes that carry this workspace's private folder in their environment, and so belong to it."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(wire.ENV_STATE) == state:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
