"""Sync: what a person saves is on the git host a moment later, and comes back wherever the workspace starts next."""

from __future__ import annotations

from .config import Config
from .errors import SyncError
from .restoring import Restored, restore_now

__all__ = ["Config", "Restored", "SyncError", "restore"]


async def restore(config: Config) -> Restored:
    """Bring the newest complete snapshot back into ``config.folder``; safe to repeat, does nothing when done before.

    Raises:
        SyncError: it could not be done; nothing has been lost, and trying again goes on from here.
    """
    import asyncio

    from .host import GitHost

    host = GitHost(config.remote, lambda: config.token)
    try:
        return await asyncio.to_thread(restore_now, config, host)
    finally:
        host.close()
