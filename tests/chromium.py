"""The system's Chromium: where it is, and how it is started."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

__all__ = ["NAMES", "chromium", "launch"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Nothing of Chromium's own goes out to the internet during a test.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Path of the system's Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def launch(playwright: Any, *arguments: str) -> Iterator[Any]:
    """A headless browser, with more ``arguments`` of Chromium's; give each person a context of their own."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=[*_ARGUMENTS, *arguments])
    try:
        yield browser
    finally:
        browser.close()
