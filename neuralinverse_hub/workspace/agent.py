"""The first process of a workspace: restores the work, starts the server and the sync, and ends both in order.

Order at the start: the server begins to load at once, since that takes longest; the files are restored meanwhile, and
only when they are whole does the editor open and the sync begin. At the end: the server first, so that nothing is
written any more, then the sync, which brings the last changes to the Git host.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from neuralinverse_hub import wire
from neuralinverse_hub.workspace import ide
from neuralinverse_hub.workspace.place import Place

__all__ = ["run"]

log = logging.getLogger(__name__)

_SERVER_GRACE_S = 6.0
_SYNC_GRACE_S = 12.0
_RETRY_RESTORE_S = (1.0, 2.0, 4.0, 8.0, 15.0)


async def run(environ: Mapping[str, str], place: Place, server_command: list[str]) -> int:
    """Run the workspace until it is told to stop or its server ends; returns the exit code for the hub."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)

    server = await _start(server_command, environ, place.folder)
    lifetime = asyncio.create_task(server.wait(), name="server")
    told = asyncio.create_task(stopping.wait(), name="told to stop")
    sync = asyncio.create_task(_protect(environ, place), name="sync")
    try:
        await asyncio.wait({lifetime, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        await _end(server, signal.SIGTERM, _SERVER_GRACE_S)
        # Cancelled only now: what the server wrote while it ended is part of the work.
        sync.cancel()
        await asyncio.gather(sync, told, return_exceptions=True)
    code = await lifetime
    return 0 if stopping.is_set() else code


async def _protect(environ: Mapping[str, str], place: Place) -> None:
    """Restore the work, say that the files are in place, then keep the sync running until cancelled."""
    protected = bool(environ.get(wire.ENV_GIT_REMOTE))
    if protected:
        await _restore(environ, place)
    place.welcome()
    (place.state / ide.READY_FILE).write_text(place.generation)
    if not protected:
        log.warning("no Git host is set (%s): files are kept on this machine only", wire.ENV_GIT_REMOTE)
        return
    while True:
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
        log.error("sync ended by itself with exit code %s; starting it again", code)
        await asyncio.sleep(1)


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


async def _start(command: list[str], environ: Mapping[str, str], folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command, env=dict(environ), cwd=folder, stdin=asyncio.subprocess.DEVNULL, preexec_fn=_die_with_parent()
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
