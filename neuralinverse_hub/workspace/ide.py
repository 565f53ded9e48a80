"""VS Code as jupyter-server-proxy serves it: the entry, its command line, the settings of a first start.

code-server listens on a UNIX socket that only its owner may open, without a password of its own: whoever gets through
jupyter-server-proxy has already been let in by the hub.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from neuralinverse_hub import wire

__all__ = ["READY_FILE", "arguments", "command", "early_socket", "seed_settings", "server", "waiting_command"]

READY_FILE = "ready"
"""Below the private folder: holds the generation whose files are all in place; the editor opens only then."""

_FIRST_SETTINGS: dict[str, Any] = {
    # The chat panel would open by itself and take the keyboard from the editor.
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    # What is typed is on disk a moment later, and from there in Git.
    "files.autoSave": "afterDelay",
    "files.autoSaveDelay": 1000,
    "telemetry.telemetryLevel": "off",
    "update.mode": "none",
    # A new terminal would advertise a product that asks for a sign-in.
    "terminal.integrated.initialHint": False,
    "extensions.autoCheckUpdates": False,
    "security.workspace.trust.enabled": False,
    "git.openRepositoryInParentFolders": "never",
    # Or people are told of the twenty ports that kernels and our own services listen on.
    "remote.autoForwardPorts": False,
}


def server() -> dict[str, Any]:
    """The jupyter-server-proxy entry ``vscode``; without code-server, one that shows no launcher."""
    try:
        line = [sys.executable, "-m", "neuralinverse_hub.workspace.ide", "{unix_socket}", "{base_url}"]
        code_server(os.environ)
    except FileNotFoundError:
        return {"command": ["false"], "launcher_entry": {"enabled": False}}
    return {
        "command": line,
        "unix_socket": True,
        # A large restore may come first.
        "timeout": 600,
        "absolute_url": False,
        "new_browser_tab": True,
        # An open tab is no activity; activity.py says what is.
        "update_last_activity": False,
        "launcher_entry": {"title": "VS Code", "enabled": True},
    }


def code_server(environ: Mapping[str, str]) -> list[str]:
    """Beginning of the command that runs code-server.

    Raises FileNotFoundError when the environment names none and there is none on the path.
    """
    if wire.ENV_IDE_NODE in environ and wire.ENV_IDE_ENTRY in environ:
        return [environ[wire.ENV_IDE_NODE], environ[wire.ENV_IDE_ENTRY]]
    found = shutil.which("code-server", path=environ.get("PATH"))
    if found is None:
        raise FileNotFoundError(f"code-server: set {wire.ENV_IDE_NODE} and {wire.ENV_IDE_ENTRY}, or install it")
    return [found]


def waiting_command(environ: Mapping[str, str]) -> list[str] | None:
    """The command of a code-server that loads everything and waits; None where code-server is not the one we install."""
    if wire.ENV_IDE_NODE not in environ or wire.ENV_IDE_ENTRY not in environ:
        return None
    script = Path(__file__).with_name("warm_editor.cjs")
    return [environ[wire.ENV_IDE_NODE], str(script), environ[wire.ENV_IDE_ENTRY]]


def command(environ: Mapping[str, str], listen_at: str, base_url: str) -> list[str]:
    """The whole command line. ``base_url`` is the entry's path below the hub, e.g. ``/user/ada/vscode``."""
    return [*code_server(environ), *arguments(environ, listen_at, base_url)]


def arguments(environ: Mapping[str, str], listen_at: str, base_url: str) -> list[str]:
    """`command` without what names the program."""
    data = vscode_folder(Path(environ[wire.ENV_STATE]))
    lab_url = environ.get(wire.ENV_LAB_URL)
    return [
        "--auth=none",
        f"--socket={listen_at}",
        "--socket-mode=0600",
        "--disable-telemetry",
        "--disable-update-check",
        "--disable-workspace-trust",
        "--disable-getting-started-override",
        f"--user-data-dir={data}",
        f"--extensions-dir={data / 'extensions'}",
        f"--abs-proxy-base-path={base_url.rstrip('/')}",
        "--app-name=Neural Inverse",
        # A click on JupyterLab opens it at once, without a question about foreign sites.
        *([f"--link-protection-trusted-domains={urlsplit(lab_url).netloc}"] if lab_url else []),
        environ[wire.ENV_FOLDER],
    ]


def vscode_folder(state: Path) -> Path:
    """code-server's own folder: settings, extensions, logs."""
    return state / "vscode"


def early_socket(state: Path) -> Path:
    """Where code-server listens that the agent of a claimed workspace started before anybody asked for it."""
    return state / "vscode.sock"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _stand_in(early: Path, wanted: Path) -> None:
    """Give the early code-server the name that jupyter-server-proxy asks at; return when it has ended."""
    deadline = time.monotonic() + 15
    while not _listens(early):
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)
    wanted.unlink(missing_ok=True)
    wanted.symlink_to(early)
    while _listens(early):
        time.sleep(5)
    wanted.unlink(missing_ok=True)


def seed_settings(state: Path) -> None:
    """Write the settings of a first start. A person's own settings are never touched."""
    settings = vscode_folder(state) / "User" / "settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    if not settings.exists():
        settings.write_text(json.dumps(_FIRST_SETTINGS, indent=2) + "\n")


def wait_until_ready(ready: Path, generation: str, timeout_s: float = 590) -> None:
    """Return when the agent says that this start's files are in place.

    Raises TimeoutError: a half-restored folder must not open as if it were whole.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if ready.read_text().strip() == generation:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"{ready} did not name generation {generation} within {timeout_s:.0f} s; see the workspace log")


def main() -> None:
    """Become code-server as soon as the workspace's files are in place."""
    listen_at, base_url = sys.argv[1:]
    environ = dict(os.environ)
    early = early_socket(Path(environ[wire.ENV_STATE]))
    wait_until_ready(Path(environ[wire.ENV_STATE], READY_FILE), environ.get(wire.ENV_GENERATION, ""))
    if early.exists():
        _stand_in(early, Path(listen_at))
        early.unlink(missing_ok=True)
    line = command(environ, listen_at, base_url)
    os.execve(line[0], line, environ)


if __name__ == "__main__":
    main()
