"""Has the workspace's own server open VS Code before the browser asks for it.

jupyter-server-proxy starts what it serves at the first request, and looks for it in steps that double. Most people come for
VS Code, and while the hub still sees to their route there is time: so the server asks itself.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from neuralinverse_hub import wire

__all__ = ["open_editor"]

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 60


async def open_editor(address: str, token: str) -> int:
    """Ask for VS Code's first page at ``address``, the server's own URL; its status, 0 when there was no answer."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(f"{address.rstrip('/')}/vscode/", headers={"Authorization": f"token {token}"}) as answer,
        ):
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # The browser will ask again, and see what is wrong.
        log.info("VS Code was not opened ahead: %s", error)
        return 0


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "neuralinverse_hub.workspace.opening"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if not token or os.environ.get("JUPYTERHUB_DEFAULT_URL") != "/vscode/" or wire.ENV_STATE not in os.environ:
        return

    async def opening() -> None:
        await open_editor(f"http://127.0.0.1:{serverapp.port}{serverapp.base_url}", token)

    # The loop runs once everything is loaded and the port is open.
    serverapp.io_loop.add_callback(opening)
