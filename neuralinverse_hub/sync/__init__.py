"""Sync: what a person saves is on the git host a moment later, and comes back wherever the workspace starts next.

Whoever runs a workspace starts one process, ``python -m neuralinverse_hub.sync run``, beforehand and with ``--standby``
where a fraction of a second matters; see that module for what it reads and writes. `restore` is the same restore inside a
process of one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import SyncError

if TYPE_CHECKING:
    from .config import Config
    from .restoring import Restored

__all__ = ["SyncError", "restore"]


async def restore(config: Config) -> Restored:
    """Bring the newest complete snapshot back into ``config.folder``; safe to repeat, does nothing when done before.

    Raises:
        SyncError: it could not be done; nothing has been lost, and trying again goes on from here.
    """
    # Imported here: programs that need a small part of this package do not wait for the rest.
    import asyncio

    from .host import GitHost
    from .restoring import restore_now

    host = GitHost(config.remote, config.credentials)
    try:
        return await asyncio.to_thread(restore_now, config, host)
    finally:
        host.close()
