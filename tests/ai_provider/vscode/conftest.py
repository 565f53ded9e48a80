"""Fixtures: the built extension, code-server, Chromium and a stand-in gateway, each real."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from neuralinverse_hub import wire
from tests.ai_provider.vscode.ide import CHROMIUM_FLAGS, Editor, Workspace, built_in, code_server, editor
from tests.ai_provider.vscode.standin import TOKEN, Gateway, serve

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "ai_provider" / "vscode"


def _code_server() -> tuple[Path, Path]:
    """Node and code-server's entry; skips when this machine has none."""
    node, entry = os.environ.get(wire.ENV_IDE_NODE), os.environ.get(wire.ENV_IDE_ENTRY)
    if not node or not entry:
        pytest.skip(f"code-server is not installed: set {wire.ENV_IDE_NODE} and {wire.ENV_IDE_ENTRY}")
    return Path(node), Path(entry)


@pytest.fixture(scope="session")
def vsix() -> Path:
    """The packaged extension, packaged again when its source is newer."""
    path = SOURCE / "neuralinverse.vsix"
    sources = [*SOURCE.glob("src/**/*.ts"), SOURCE / "package.json", SOURCE / "README.md"]
    if path.exists() and path.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
        return path
    node, _ = _code_server()
    vsce = SOURCE / "node_modules/@vscode/vsce/vsce"
    if not vsce.exists():
        pytest.skip(
            "the extension is not built: run `npm ci --ignore-scripts && npm run package` in ai_provider/vscode"
        )
    npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(node), str(npm), "run", "package"],
        cwd=SOURCE,
        env=environment,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return path


@pytest.fixture(scope="session")
def installed(vsix: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Node, code-server's entry and the folder of built-in extensions with ours in it."""
    node, entry = _code_server()
    return node, entry, built_in(vsix, entry, tmp_path_factory.mktemp("built-in") / "extensions")


@pytest.fixture(scope="session")
def shots() -> Path | None:
    """Where screenshots go; None: nobody asked for any."""
    folder = os.environ.get("NEURALINVERSE_SCREENSHOTS")
    return Path(folder) if folder else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    chromium = os.environ.get("NEURALINVERSE_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("Chromium is not installed")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_gateway() -> AsyncIterator[Gateway]:
    async with serve() as gateway:
        yield gateway


@pytest.fixture
def gateway(running_gateway: Gateway) -> Gateway:
    """The stand-in, with nothing left of the test before."""
    running_gateway.reset()
    return running_gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workspace(
    installed: tuple[Path, Path, Path], running_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Workspace]:
    """One workspace for the tests of a module."""
    root = tmp_path_factory.mktemp("workspace")
    async with code_server(*installed, root, running_gateway.url, TOKEN) as workspace:
        yield workspace


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ide(workspace: Workspace, browser: Browser, shots: Path | None) -> AsyncIterator[Editor]:
    """The workbench of that workspace, loaded once."""
    async with editor(browser, workspace.url, shots) as ide:
        yield ide
