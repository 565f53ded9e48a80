"""The first process of a workspace: restores the work, starts the server and the sync, and ends both in order.

Order at the start: the server begins to load at once, since that takes longest; the files are restored meanwhile, and
only when they are whole does the editor open and the sync begin. At the end: the server first, so that nothing is
written any more, then the sync, which brings the last changes to the Git host.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from neuralinverse_hub import wire
from neuralinverse_hub.workspace import ide
from neuralinverse_hub.workspace.place import Place

__all__ = ["Warm", "run"]

log = logging.getLogger(__name__)

_SERVER_GRACE_S = 6.0
_SYNC_GRACE_S = 12.0
_RETRY_RESTORE_S = (1.0, 2.0, 4.0, 8.0, 15.0)


@dataclass(slots=True)
class Warm:
    """A server, a sync and an editor that have loaded everything, and wait for an environment on their standard input."""

    server: asyncio.subprocess.Process
    sync: asyncio.subprocess.Process | None
    editor: asyncio.subprocess.Process | None = None
    loaded: bool = False

    @classmethod
    async def begin(cls, environ: Mapping[str, str], folder: Path) -> Warm:
        """Start them; `load` says when they are ready."""
        server = [sys.executable, "-m", "neuralinverse_hub.workspace.warm"]
        sync = [sys.executable, "-m", "neuralinverse_hub.sync", "run", "--standby"]
        editor = ide.waiting_command(environ)
        return cls(
            await _start(server, environ, folder, piped=True),
            await _start(sync, environ, folder, piped=True),
            await _start(editor, environ, folder, piped=True) if editor else None,
        )

    async def load(self) -> bool:
        """Whether the server loaded everything; waits until it has, or has ended. Without the editor it goes as well."""
        assert self.server.stdout is not None
        loaded = await self.server.stdout.readline() == b"loaded\n"
        if self.editor is not None:
            assert self.editor.stdout is not None
            if await self.editor.stdout.readline() != b"loaded\n":
                log.warning("the editor could not be loaded ahead; it is started with the workspace")
                await _end(self.editor, signal.SIGKILL, 5)
                self.editor = None
        self.loaded = loaded
        return loaded

    async def end(self) -> None:
        """End them, e.g. because nobody claimed the workspace."""
        for process in filter(None, [self.server, self.sync, self.editor]):
            await _end(process, signal.SIGKILL, 5)


async def run(environ: Mapping[str, str], place: Place, server_command: list[str], warm: Warm | None = None) -> int:
    """Run the workspace until it is told to stop or its server ends; returns the exit code for the hub.

    With ``warm`` the server is the one that waits there; of ``server_command`` it takes the arguments.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)

    if warm is None:
        server, editor = await _start(server_command, environ, place.folder), None
    else:
        server = warm.server
        arguments = server_command[server_command.index("jupyterhub.singleuser") + 1 :]
        given = {"environment": dict(environ), "folder": str(place.folder), "arguments": arguments}
        await _tell(server, given)
        # Beside the server: jupyter-server-proxy would start it only afterwards.
        editor = await _start_editor(environ, place, warm.editor)
    lifetime = asyncio.create_task(server.wait(), name="server")
    told = asyncio.create_task(stopping.wait(), name="told to stop")
    sync = asyncio.create_task(_protect(environ, place, warm.sync if warm else None), name="sync")
    try:
        await asyncio.wait({lifetime, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        await _end(server, signal.SIGTERM, _SERVER_GRACE_S)
        if editor is not None:
            await _end(editor, signal.SIGTERM, 2)
        # Cancelled only now: what the server wrote while it ended is part of the work.
        sync.cancel()
        await asyncio.gather(sync, told, return_exceptions=True)
    code = await lifetime
    return 0 if stopping.is_set() else code


async def _protect(environ: Mapping[str, str], place: Place, waiting: asyncio.subprocess.Process | None = None) -> None:
    """Restore the work, say that the files are in place, then keep the sync running until cancelled."""
    protected = bool(environ.get(wire.ENV_GIT_REMOTE))
    daemon = await _restored_by(waiting, environ, protected) if waiting is not None else None
    if protected and daemon is None:
        await _restore(environ, place)
    place.welcome()
    (place.state / ide.READY_FILE).write_text(place.generation)
    if not protected:
        log.warning("no Git host is set (%s): files are kept on this machine only", wire.ENV_GIT_REMOTE)
        return
    while True:
        if daemon is None:
            daemon = await _start([sys.executable, "-m", "neuralinverse_hub.sync", "run"], environ, place.folder)
        try:
            code = await daemon.wait()
        except asyncio.CancelledError:
            await _end(daemon, signal.SIGTERM, _SYNC_GRACE_S)
            if daemon.returncode != 0:
                log.error(
                    "the last changes did not reach the Git host (exit %s); they are in %s",
                    daemon.returncode,
                    place.folder,
                )
            raise
        daemon = None
        log.error("sync ended by itself with exit code %s; starting it again", code)
        await asyncio.sleep(1)


async def _restored_by(
    waiting: asyncio.subprocess.Process, environ: Mapping[str, str], wanted: bool
) -> asyncio.subprocess.Process | None:
    """The waiting sync, once it has restored the work; None when it did not, or was not to, and has ended."""
    if not wanted:
        await _end(waiting, signal.SIGKILL, 5)
        return None
    assert waiting.stdout is not None
    try:
        await _tell(waiting, dict(environ))
        if await waiting.stdout.readline():
            return waiting
    except asyncio.CancelledError:
        await _end(waiting, signal.SIGTERM, 2)
        raise
    log.error("restoring from the Git host failed (exit %s); trying again", await waiting.wait())
    return None


async def _start_editor(
    environ: Mapping[str, str], place: Place, waiting: asyncio.subprocess.Process | None
) -> asyncio.subprocess.Process | None:
    """code-server at its own socket; None where there is none, so that jupyter-server-proxy says so."""
    socket = ide.early_socket(place.state)
    socket.unlink(missing_ok=True)
    base_url = f"{environ.get('JUPYTERHUB_SERVICE_PREFIX', '/').rstrip('/')}/vscode"
    if waiting is not None:
        arguments = ide.arguments(environ, str(socket), base_url)
        await _tell(waiting, {"environment": dict(environ), "folder": str(place.folder), "arguments": arguments})
        return waiting
    try:
        return await _start(ide.command(environ, str(socket), base_url), environ, place.folder)
    except FileNotFoundError as error:
        log.warning("no editor: %s", error)
        return None


async def _tell(process: asyncio.subprocess.Process, given: Mapping[str, object]) -> None:
    """One line of JSON to the standard input of ``process``; one that has ended is its owner's business."""
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(json.dumps(given).encode() + b"\n")
        await process.stdin.drain()
        process.stdin.close()


async def _restore(environ: Mapping[str, str], place: Place) -> None:
    """Bring the work back, trying until the Git host answers: opening an empty folder would look like a loss.

    A folder that an earlier start left whole on this disk opens without the host: it is no older than a snapshot.
    """
    whole = (place.state / ide.READY_FILE).exists() and any(place.folder.iterdir())
    for attempt in range(1_000_000):
        process = await _start([sys.executable, "-m", "neuralinverse_hub.sync", "restore"], environ, place.folder)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process, signal.SIGTERM, 2)
            raise
        if code == 0:
            return
        if whole:
            log.warning("the Git host cannot be asked (exit %s); going on with the files in %s", code, place.folder)
            return
        delay_s = _RETRY_RESTORE_S[min(attempt, len(_RETRY_RESTORE_S) - 1)]
        log.error("restoring from the Git host failed (exit %s); trying again in %.0f s", code, delay_s)
        await asyncio.sleep(delay_s)


async def _start(
    command: list[str], environ: Mapping[str, str], folder: Path, *, piped: bool = False
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        env=dict(environ),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE if piped else None,
        preexec_fn=_die_with_parent(),
    )


def _die_with_parent() -> Callable[[], None] | None:
    """Have Linux kill the child when the agent is killed: a workspace without its agent must not go on pushing."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    pr_set_pdeathsig = 1
    return lambda: libc.prctl(pr_set_pdeathsig, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process, number: signal.Signals, grace_s: float) -> None:
    if process.returncode is not None:
        return
    process.send_signal(number)
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        log.warning("process %i did not end within %.0f s of %s; killing it", process.pid, grace_s, number.name)
        process.kill()
        await process.wait()
