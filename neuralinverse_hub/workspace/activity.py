"""Says when somebody last worked here, so that a workspace whose tab was forgotten goes idle and can be stopped.

What passes through jupyter-server-proxy does not count: VS Code keeps its connection alive whether anybody is there or not.
Our VS Code extension touches a file while somebody types, clicks, or has something running in a terminal, a task or a debug
session; here its time becomes the server's activity, which the server reports to the hub. A kernel that computes counts too,
also while it prints nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from neuralinverse_hub import wire

__all__ = ["latest"]

_LOOK_S: Final = 30


def latest(file: Path, kernel_states: Iterable[str], now: datetime) -> datetime | None:
    """When somebody was last active, as far as the file and the kernels know; None when nobody was."""
    if "busy" in kernel_states:
        return now
    try:
        # A clock that went back must not make it active for ever.
        return min(now, datetime.fromtimestamp(file.stat().st_mtime, UTC))
    except OSError:
        return None


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "neuralinverse_hub.workspace.activity"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    from tornado.ioloop import PeriodicCallback

    if wire.ENV_STATE not in os.environ:
        return
    file = Path(os.environ[wire.ENV_STATE], wire.ACTIVE_FILE)

    def look() -> None:
        kernels = [each.get("execution_state", "") for each in serverapp.kernel_manager.list_kernels()]
        if at := latest(file, kernels, datetime.now(UTC)):
            serverapp.web_app.settings["last_activity_times"]["neuralinverse"] = at

    PeriodicCallback(look, _LOOK_S * 1000).start()
