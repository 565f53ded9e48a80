"""Git as a command of the service itself: for setting up, copying, checking and cleaning up repositories."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from .errors import GitHostError

__all__ = ["run"]


async def run(
    command: str,
    *arguments: str,
    git_dir: Path | None = None,
    settings: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    nice: bool = False,
    within_s: float | None = None,
) -> str:
    """What ``git command arguments`` prints, in the repository ``git_dir`` where there is one.

    ``settings``, which may be secret, hold for this one command and reach it by its environment, as ``env`` does. ``nice``:
    behind everybody else. However this ends, by a deadline or a cancellation too, git and what it started have ended.

    Raises:
        GitHostError: it failed, with its last words, or took longer than ``within_s`` seconds.
    """
    # Nothing of the service's own environment changes where git looks; the hook reads refs from files.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {"GIT_DEFAULT_REF_FORMAT": "files", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    if git_dir is not None:
        own["GIT_DIR"] = str(git_dir)
    own["GIT_CONFIG_COUNT"] = str(len(settings or {}))
    for number, (key, value) in enumerate((settings or {}).items()):
        own |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    process = await asyncio.create_subprocess_exec(
        *(("nice", "-n", "10") if nice and shutil.which("nice") else ()),
        "git",
        command,
        *arguments,
        env=own | dict(env or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_s):
            printed, said = await process.communicate()
    except TimeoutError as error:
        raise GitHostError(f"git {command} took longer than {within_s:.0f} s.") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
    if process.returncode != 0:
        last = said.decode(errors="replace").strip().splitlines()
        raise GitHostError(f"git {command} failed: {last[-1] if last else f'it ended with {process.returncode}'}")
    return printed.decode(errors="surrogateescape")
