"""Packages the extension from its sources."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "ai_provider" / "vscode"


def packaged(node: Path) -> Path:
    """The packaged extension, packaged again when its sources are newer. Needs its node_modules."""
    path = SOURCE / "neuralinverse.vsix"
    sources = [*SOURCE.glob("src/**/*.ts"), SOURCE / "package.json", SOURCE / "README.md"]
    if not path.exists() or path.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        done = run_npm(node, "run", "package")
        assert done.returncode == 0, done.stdout
    return path


def run_npm(node: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """npm of that Node, in the extension's folder."""
    npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    return subprocess.run(
        [str(node), str(npm), *arguments],
        cwd=SOURCE,
        env=os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"},
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
