"""What tests of every room share: the installed parts, a whole one-machine hub, a browser."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import NAMES, chromium, launch
from tests.one_machine import OneMachine

PATIENCE_MS = 30_000
"""How long a test waits for what a page is to show, where it does not say so itself. On a machine with other work a page
that usually takes a second may take ten; a test that passes waits no longer for it."""

LOADING_MS = 90_000
"""The same for the loading of a page as large as VS Code's or JupyterLab's."""

with contextlib.suppress(ImportError):
    from playwright import async_api, sync_api

    sync_api.expect.set_options(timeout=PATIENCE_MS)
    async_api.expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    browser = [item for item in items if item.get_closest_marker("browser")]
    if chromium():
        # A key that the page was not ready for is lost for the best of tests: once more, and the report says so.
        for item in browser:
            item.add_marker(pytest.mark.flaky(reruns=1))
        return
    if os.environ.get("NEURALINVERSE_REQUIRE_BROWSER"):
        raise pytest.UsageError("no Chromium on the path, and NEURALINVERSE_REQUIRE_BROWSER says that it must be there")
    skip = pytest.mark.skip(reason=f"needs Chromium; none of {', '.join(NAMES)} is on the path")
    for item in browser:
        item.add_marker(skip)


@pytest.fixture(scope="session")
def installed() -> Any:
    """Node, code-server, the proxy, the demo model: from the per-user cache, installed if missing."""
    from neuralinverse_hub.local import install

    return install.ensure()


@pytest.fixture(scope="session")
def one_machine(installed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneMachine]:
    """`neuralinverse-hub up` with the demo model, on a data folder of its own. Shared: keep to your own user name."""
    with OneMachine.started(tmp_path_factory.mktemp("one-machine")) as machine:
        yield machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, through Playwright's synchronous interface.

    Of one module only: while it is there an event loop runs in this thread, and no asynchronous test can.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launch(playwright) as chrome:
        yield chrome


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of a fresh browser profile; what it showed last is kept in tests/output/."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_navigation_timeout(LOADING_MS)
    page = context.new_page()
    yield page
    output = Path(__file__).parent / "output"
    output.mkdir(exist_ok=True)
    page.screenshot(path=output / f"{request.node.name}.png")
    context.close()
