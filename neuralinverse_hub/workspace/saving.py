"""Calls of the workspace's own server, with a token of it: what the hub asks about saving and bringing back.

``POST <server>/neuralinverse/flush``: 200 when everything saved before the call is on the git host, 503 with a sentence when
not. The hub asks before it moves a workspace.

``GET <server>/neuralinverse/restore``: a `wire.Restore`. The hub asks while the person waits for a start.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from neuralinverse_hub import wire

__all__ = ["FLUSH_TIMEOUT_S", "flush", "restore"]

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


def restore(environ: Mapping[str, str] = os.environ) -> wire.Restore:
    """How the restore of this start goes, as sync has written it down."""
    from neuralinverse_hub.sync import records
    from neuralinverse_hub.sync.config import Config

    answer: wire.Restore = {"state": "none", "files": 0, "seconds": 0.0}
    if not environ.get(wire.ENV_GIT_REMOTE):
        return answer
    found: dict[str, Any] = records.restore_of(Config.from_env(environ))
    answer["files"] = int(found.get("files", 0))
    answer["seconds"] = float(found.get("seconds", 0.0))
    answer["state"] = "done" if found.get("whole") else "writing" if answer["files"] else "fetching"
    return answer


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

    class RestoreHandler(JupyterHandler):
        @web.authenticated
        def get(self) -> None:
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(restore()))

    paths = {"neuralinverse/flush": FlushHandler, wire.RESTORE_PATH: RestoreHandler}
    serverapp.web_app.add_handlers(
        ".*$", [(url_path_join(serverapp.base_url, path), handler) for path, handler in paths.items()]
    )
