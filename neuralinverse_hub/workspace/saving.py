"""A call of the workspace's own server: save everything now, and say whether it is on the git host.

``POST <server>/neuralinverse/flush`` with a token of the server: 200 when everything saved before the call is there,
503 with a sentence when not. The hub asks before it moves a workspace.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, Final

from neuralinverse_hub import wire

__all__ = ["FLUSH_TIMEOUT_S", "flush"]

FLUSH_TIMEOUT_S: Final = 10.0


async def flush() -> tuple[int, dict[str, str]]:
    """Status and body of the answer."""
    if not os.environ.get(wire.ENV_GIT_REMOTE):
        return 503, {"message": "This workspace has no git host, so what is in it cannot be taken along."}
    command = (sys.executable, "-m", "neuralinverse_hub.sync", "flush", "--timeout", str(FLUSH_TIMEOUT_S))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode == 0:
        return 200, {"message": "Everything is on the git host."}
    lines = said.decode(errors="replace").strip().splitlines()
    return 503, {"message": lines[-1] if lines else "Sync did not say why."}


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "neuralinverse_hub.workspace.saving"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    from jupyter_server.base.handlers import JupyterHandler
    from jupyter_server.utils import url_path_join
    from tornado import web

    class FlushHandler(JupyterHandler):
        @web.authenticated
        async def post(self) -> None:
            status, body = await flush()
            self.set_status(status)
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(body))

    path = url_path_join(serverapp.base_url, "neuralinverse", "flush")
    serverapp.web_app.add_handlers(".*$", [(path, FlushHandler)])
