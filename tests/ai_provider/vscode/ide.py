"""Real code-server with the extension built in, and a real browser in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, expect
from playwright.async_api import TimeoutError as PlaywrightTimeout

from neuralinverse_hub import wire

SETTINGS = {
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    "files.autoSave": "off",
    "git.openRepositoryInParentFolders": "never",
    "remote.autoForwardPorts": False,
    "editor.wordBasedSuggestions": "off",
    "[ruby]": {"editor.wordBasedSuggestions": "currentDocument"},
}
"""As a workspace of ours has them, without what would make tests depend on time: saving, and a list of words that opens
while something is suggested; the latter is there in Ruby, for the test that is about it."""

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--disable-quic",
]


@dataclass(frozen=True)
class Workspace:
    """A running code-server: where it listens, what it shows."""

    url: str
    folder: Path
    state: Path

    def write(self, name: str, text: str) -> Path:
        """A file in the workspace folder, written from outside as a tool would."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def sync(self, **status: object) -> None:
        """Replaces the sync status as the sync daemon does: atomically."""
        whole = {
            "version": 1,
            "state": "protected",
            "generation": 1,
            "protected_at": "2026-01-02T03:04:05Z",
            "pending": 0,
            "not_protected": [],
            "error": None,
            "updated_at": "2026-01-02T03:04:05Z",
        } | status
        new = self.state / "sync.json.new"
        new.write_text(json.dumps(whole), encoding="utf-8")
        new.rename(self.state / wire.SYNC_STATUS_FILE)


def built_in(vsix: Path, entry: Path, target: Path) -> Path:
    """A folder of code-server's own extensions plus ours, unpacked, as an install has it."""
    target.mkdir()
    own = entry.parents[2] / "lib/vscode/extensions"
    for extension in own.iterdir():
        if extension.name != "neuralinverse":
            (target / extension.name).symlink_to(extension)
    with zipfile.ZipFile(vsix) as archive:
        for name in archive.namelist():
            if name.startswith("extension/"):
                out = target / "neuralinverse" / name.removeprefix("extension/")
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(archive.read(name))
    return target


def with_extension(extensions: Path, extension: Path, target: Path) -> Path:
    """The same folder of extensions and one more."""
    target.mkdir(parents=True)
    for each in [*extensions.iterdir(), extension]:
        (target / each.name).symlink_to(each)
    return target


@contextlib.asynccontextmanager
async def code_server(
    node: Path, entry: Path, extensions: Path, root: Path, gateway_url: str, token: str
) -> AsyncIterator[Workspace]:
    """Starts code-server on a free port over ``root/work``; its processes are gone at the end."""
    folder, state, data = root / "work", root / "state", root / "data"
    for each in (folder, state, data / "User"):
        each.mkdir(parents=True, exist_ok=True)
    (data / "User/settings.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VSCODE_")} | {
        wire.ENV_GATEWAY_URL: gateway_url,
        wire.ENV_TOKEN: token,
        wire.ENV_STATE: str(state),
        wire.ENV_FOLDER: str(folder),
        "HOME": str(root),
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    process = await asyncio.create_subprocess_exec(
        *(str(node), str(entry), "--auth", "none", "--bind-addr", "127.0.0.1:0", "--disable-telemetry"),
        *("--disable-update-check", "--disable-workspace-trust", "--disable-getting-started-override"),
        *("--user-data-dir", str(data), "--extensions-dir", str(data / "ext")),
        *("--builtin-extensions-dir", str(extensions), str(folder)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    drain: asyncio.Task[bytes] | None = None
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while True:
                line = (await process.stdout.readline()).decode()
                if not line:
                    raise RuntimeError("code-server ended before it listened")
                if found := re.search(r"listening on (http://127\.0\.0\.1:\d+)", line):
                    break
        drain = asyncio.create_task(process.stdout.read())
        yield Workspace(found[1], folder, state)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if drain is not None:
            await drain


async def until(attempt: Callable[[], Awaitable[None]], seconds: float = 20) -> None:
    """Repeats ``attempt`` until it does not fail, or fails as it did last when the time is over."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await attempt()
        except AssertionError:
            if asyncio.get_running_loop().time() > deadline:
                raise


class Editor:
    """The workbench as a person uses it: keys, menus, what is on the screen."""

    def __init__(self, page: Page, shots: Path | None) -> None:
        self.page = page
        self._shots = shots

    async def ready(self) -> None:
        await expect(self.page.locator(".monaco-workbench")).to_be_visible(timeout=90_000)
        await expect(self.status).to_be_visible(timeout=60_000)

    @property
    def status(self) -> Locator:
        return self.page.locator("[id='neuralinverse.neuralinverse.neuralinverse.status']")

    @property
    def quick_input(self) -> Locator:
        return self.page.locator(".quick-input-widget input.input")

    @property
    def text(self) -> Locator:
        """The lines of the editor that is open."""
        return self.page.locator(".editor-instance .view-lines").first

    @property
    def ghost(self) -> Locator:
        """What is suggested at the cursor."""
        return self.page.locator(".editor-instance .ghost-text-decoration, .editor-instance .ghost-text")

    @property
    def answer(self) -> Locator:
        """The newest answer in the chat; the list is virtual, so its order on the page means nothing."""
        return self.page.locator(".interactive-response.chat-most-recent-response")

    @property
    def questions(self) -> Locator:
        return self.page.locator(".interactive-request")

    @property
    def prompt(self) -> Locator:
        return self.page.locator(".chat-input-container .monaco-editor").last

    async def run(self, command: str) -> None:
        """Runs a command from the palette by its title."""
        row = self.page.locator(".quick-input-list .monaco-list-row").first

        async def offered() -> None:
            # A list that is just closing takes the key and the text, so both may be needed again.
            if not await self.quick_input.is_visible():
                await self.page.keyboard.press("F1")
            try:
                await self.quick_input.fill(">" + command, timeout=2_000)
            except PlaywrightTimeout as error:
                raise AssertionError(f"the palette did not open for {command!r}") from error
            await expect(row).to_contain_text(command, timeout=2_000)

        await until(offered)
        await self.page.keyboard.press("Enter")

    async def open(self, name: str) -> None:
        """Opens a file of the workspace folder itself and puts the keyboard into it."""
        await self._choose(name)
        await expect(self.page.locator(f".editor-instance .monaco-editor[data-uri$='{name}']")).to_be_visible()

    async def open_notebook(self, name: str, cells: int) -> None:
        """Opens a notebook that has so many code cells and puts the keyboard at the end of the last one."""
        await self._choose(name)
        shown = self.page.locator(".notebookOverlay .cell-list-container .code-cell-row")
        await expect(shown).to_have_count(cells, timeout=30_000)
        await shown.last.locator(".monaco-editor .view-lines").click()
        await expect(shown.last.locator(".monaco-editor.focused")).to_be_visible()
        await self.page.keyboard.press("Control+End")

    async def _choose(self, name: str) -> None:
        row = self.page.locator(".quick-input-list .monaco-list-row").first

        async def found() -> None:
            # The list is a search of that moment: a file that was written just before it may need a second one.
            if not await self.quick_input.is_visible():
                await self.page.keyboard.press("Control+p")
            try:
                await self.quick_input.fill("", timeout=2_000)
                await self.quick_input.fill(name, timeout=2_000)
            except PlaywrightTimeout as error:
                raise AssertionError(f"the list of files did not open for {name!r}") from error
            await expect(row).to_contain_text(name.split("/")[-1], timeout=1_500)

        await until(found)
        await self.page.keyboard.press("Enter")

    async def open_chat(self) -> None:
        """Opens the chat by our command; afterwards the participant is written there and the keyboard is in it."""
        await self.run("View: Focus Active Editor Group")
        await expect(self.page.locator(".chat-input-container .monaco-editor.focused")).to_have_count(0)
        await self.run("Neural Inverse: Open chat")
        await expect(self.prompt).to_contain_text("@neuralinverse")
        await expect(self.prompt).to_have_class(re.compile("focused"))

    async def quick_fixes(self, name: str) -> Locator:
        """Opens ``name``, which has a problem, goes to it and opens what is offered there; returns the rows."""
        await self.open(name)
        await expect(self.page.locator(".squiggly-error").first).to_be_visible(timeout=30_000)
        await self.run("Go to Next Problem (Error, Warning, Info)")
        # It opens late on a busy machine, and would then close the list that is over it.
        problem = self.page.locator(".editor-instance .marker-widget")
        await expect(problem).to_be_visible()

        async def closed() -> None:
            # The key is the widget's only when the keyboard is back in the editor.
            await self.page.keyboard.press("Escape")
            await expect(problem).to_have_count(0, timeout=2_000)

        await until(closed)
        await self.page.keyboard.press("Control+.")
        offered = self.page.locator(".action-widget .monaco-list-row")
        await expect(offered.first).to_be_visible()
        return offered

    async def answer_input(self, text: str) -> None:
        """Types ``text`` into the input box that is open, and Enter."""
        await expect(self.quick_input).to_have_attribute("placeholder", re.compile(r"\?$"))
        await self.quick_input.fill(text)
        await self.page.keyboard.press("Enter")

    async def select_all(self) -> None:
        await self.run("View: Focus Active Editor Group")
        await self.page.keyboard.press("Control+a")

    async def notice(self, text: str) -> Locator:
        """The message that says ``text``, once it is there."""
        toast = self.page.locator(".notification-toast", has_text=text)
        await expect(toast).to_be_visible(timeout=30_000)
        return toast

    async def dismiss(self) -> None:
        """Clears all messages away."""
        await self.run("Notifications: Clear All Notifications")
        await expect(self.page.locator(".notification-toast")).to_have_count(0)

    async def shot(self, name: str) -> None:
        """A screenshot, when somebody asked for them."""
        if self._shots is not None:
            self._shots.mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=self._shots / f"{name}.png")


@contextlib.asynccontextmanager
async def editor(browser: Browser, url: str, shots: Path | None, script: str = "") -> AsyncIterator[Editor]:
    """The workbench in a fresh browser profile, loaded and with our extension active; ``script`` runs before anything of it."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        await context.add_init_script(script)
        window = Editor(await context.new_page(), shots)
        await window.page.goto(url, wait_until="commit")  # how long it may load, `ready` says
        await window.ready()
        yield window
    finally:
        await context.close()
