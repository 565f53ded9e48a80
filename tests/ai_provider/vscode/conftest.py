"""Fixtures: the built extension, code-server, Chromium and a stand-in gateway, each real."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from neuralinverse_hub import wire
from tests.ai_provider.vscode.build import SOURCE, packaged
from tests.ai_provider.vscode.ide import CHROMIUM_FLAGS, Editor, Workspace, built_in, code_server, editor
from tests.ai_provider.vscode.standin import TOKEN, Gateway, serve
from tests.chromium import chromium


@pytest.fixture(scope="session")
def code_server_parts(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Node and code-server's entry: those the environment names, else the installed ones."""
    node, entry = os.environ.get(wire.ENV_IDE_NODE), os.environ.get(wire.ENV_IDE_ENTRY)
    if node and entry:
        return Path(node), Path(entry)
    parts = request.getfixturevalue("installed")
    return parts.node, parts.code_server_entry


@pytest.fixture(scope="session")
def built_in_extensions(code_server_parts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of built-in extensions, ours among them.

    Where somebody works on the extension (its node_modules are there), ours is packaged from the sources as they are
    now; elsewhere it is the one that the installation built.
    """
    node, entry = code_server_parts
    if (SOURCE / "node_modules").is_dir():
        return built_in(packaged(node), entry, tmp_path_factory.mktemp("built-in") / "extensions")
    own = entry.parents[2] / "lib/vscode/extensions"
    if not (own / "neuralinverse/package.json").is_file():
        pytest.skip("the extension is not built: run `npm ci --ignore-scripts` in ai_provider/vscode")
    return own


@pytest.fixture(scope="session")
def shots() -> Path | None:
    """Where screenshots go; None: nobody asked for any."""
    folder = os.environ.get("NEURALINVERSE_SCREENSHOTS")
    return Path(folder) if folder else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
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
    code_server_parts: tuple[Path, Path],
    built_in_extensions: Path,
    running_gateway: Gateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Workspace]:
    """One workspace for the tests of a module."""
    root = tmp_path_factory.mktemp("workspace")
    async with code_server(*code_server_parts, built_in_extensions, root, running_gateway.url, TOKEN) as workspace:
        yield workspace


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ide(workspace: Workspace, browser: Browser, shots: Path | None) -> AsyncIterator[Editor]:
    """The workbench of that workspace, loaded once."""
    async with editor(browser, workspace.url, shots) as ide:
        yield ide
