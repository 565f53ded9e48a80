"""Installs what one machine needs beside Python packages, once, into the per-user cache; the ``install`` command.

``ensure`` is cheap when all is there (a few ten thousand file sizes are compared) and repairs what is damaged.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ai_provider import lab
from neuralinverse_hub.local import components, extension, fetching, node, processes, recipes, store
from neuralinverse_hub.local.components import Component
from neuralinverse_hub.local.progress import Progress, choose

Part = Literal["code-server", "proxy", "model"]

ALL: Final[tuple[Part, ...]] = ("code-server", "proxy", "model")
WITHOUT_MODEL: Final[tuple[Part, ...]] = ("code-server", "proxy")

EXTENSION_BUILD_MB: Final = 150
"""What the tools that build the extension take while they are there."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where everything is. A part that was not asked for, or does not exist on this platform, is None."""

    node: Path
    code_server_entry: Path | None
    proxy_command: tuple[str, ...] | None
    model_server_command: tuple[str, ...] | None
    """Takes ``--port`` and ``--threads`` on top; listens on 127.0.0.1."""
    notices: tuple[str, ...] = ()
    """What is missing and why, in sentences; also told to the progress."""


def ensure(
    parts: Iterable[Part] = ALL,
    progress: Progress | None = None,
    *,
    cache: Path | None = None,
    extension_folder: Path | None = None,
) -> Installed:
    """All ``parts``, installed and whole. Raises InstallError with a sentence for the person.

    ``cache``: default ``store.default_cache()``; ``extension_folder``: default the one that comes with this package.
    Safe to call from several processes at once: one installs, the others wait.
    """
    return _Installation(
        store.Store(cache or store.default_cache()),
        choose() if progress is None else progress,
        extension_folder or extension.default_folder(),
    ).ensure(tuple(parts))


class _Installation:
    """One call of ``ensure``: what is wanted, compared with what the cache holds."""

    def __init__(self, cache: store.Store, progress: Progress, extension_folder: Path | None) -> None:
        self._store = cache
        self._progress = progress
        self._node = node.find()
        self._platform = components.this_platform()
        self._extension = extension.look(extension_folder)
        self._notices: list[str] = []

    def ensure(self, parts: tuple[Part, ...]) -> Installed:
        model = self._model_rows() if "model" in parts else None
        rows = [*((components.PROXY,) if "proxy" in parts else ()), *(model or ())]
        wanted = [row.folder(self._platform) for row in rows]
        code_server = self._code_server_folder() if "code-server" in parts else None
        if code_server is not None:
            wanted.append(code_server)
        if any(store.damage(self._store.root / folder) for folder in wanted):
            with self._store.locked(self._progress.note):
                self._stop_orphans()
                if code_server is not None:
                    self._ensure_code_server(code_server)
                for row in rows:
                    self._ensure_row(row)
                self._store.forget_downloads()
        self._build_lab_extension()
        return self._installed(code_server, "proxy" in parts, model)

    def _installed(self, code_server: str | None, proxy: bool, model: tuple[Component, Component] | None) -> Installed:
        binary = str(self._node.binary)
        proxy_script = self._path(components.PROXY) / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"
        return Installed(
            node=self._node.binary,
            code_server_entry=self._store.root / code_server / components.CODE_SERVER_ENTRY if code_server else None,
            proxy_command=(binary, str(proxy_script)) if proxy else None,
            model_server_command=self._model_command(binary, *model) if model else None,
            notices=tuple(self._notices),
        )

    def _model_rows(self) -> tuple[Component, Component] | None:
        try:
            return components.runtime(self._platform), components.WEIGHTS
        except components.NoDemoModel as absent:
            self._notice(
                f"No demo model here: {absent}. Name an OpenAI-compatible server in .env (OPENAI_UPSTREAM_URL), "
                "or run Ollama."
            )
            return None

    def _model_command(self, binary: str, runtime: Component, weights: Component) -> tuple[str, ...]:
        script = Path(__file__).parent / "model" / "server.mjs"
        library = self._path(runtime) / "node_modules/node-llama-cpp/dist/index.js"
        return (
            binary,
            str(script),
            "--runtime",
            str(library),
            "--weights",
            str(self._path(weights) / recipes.WEIGHTS_FILE),
        )

    def _build_lab_extension(self) -> None:
        """A checkout has JupyterLab's extension as sources; a wheel has it built, and then this does nothing."""
        try:
            lab.build(self._node.binary)
        except lab.BuildFailed as failed:
            self._notice(f"JupyterLab comes without suggestions while you type. {failed}")

    def _path(self, row: Component) -> Path:
        return self._store.root / row.folder(self._platform)

    def _notice(self, sentence: str) -> None:
        self._notices.append(sentence)
        self._progress.note(sentence)

    def _stop_orphans(self) -> None:
        """npm and pip runs of an installation that was killed would go on writing into the cache."""
        processes.kill(processes.marked(fetching.INSTALL_MARKER, str(self._store.root)))

    def _needed(self, folder: str, title: str) -> bool:
        """Whether ``folder`` has to be made; says so when it is there but damaged."""
        problem = store.damage(self._store.root / folder)
        if problem is not None and (self._store.root / folder).exists():
            self._progress.note(f"{title} in the cache is damaged ({problem}): installing it again.")
        return problem is not None

    def _ensure_row(self, row: Component) -> None:
        folder = row.folder(self._platform)
        title = f"{row.name} {row.version} ({row.title})"
        if not self._needed(folder, title):
            return
        with self._step(folder, title, row.size_mb, recipes.registry_of(row)) as (partial, run):
            recipes.fetch(row, partial, run, self._node, self._platform)

    @contextlib.contextmanager
    def _step(self, folder: str, title: str, size_mb: int, registry: str) -> Iterator[tuple[Path, fetching.Run]]:
        """A staged ``folder`` to fill and the way to run commands for it, with a progress bar around both."""
        log = self._store.logs / f"{folder}.log"
        with self._store.stage(folder) as partial, self._progress.step(title, size_mb) as advance:
            log.write_text("")
            temporary = partial / ".tmp"
            temporary.mkdir()
            environment = self._node.environment(os.environ, self._store.downloads)
            environment |= {fetching.INSTALL_MARKER: str(self._store.root), "TMPDIR": str(temporary)}
            # npm fills its own folder of downloads before it writes the first package.
            watched = (partial, self._store.downloads)
            had = sum(map(store.size_of, watched))
            yield partial, fetching.Run(title, registry, environment, log, watched, had, advance)
            shutil.rmtree(temporary)

    # -- code-server, with our extension among its built-in ones ------------------------------------------------------

    def _code_server_folder(self) -> str:
        base = components.CODE_SERVER.folder(self._platform)
        if self._extension is None:
            self._notice("VS Code comes without the Neural Inverse extension: this installation does not contain it.")
            return base
        return f"{base}-ext-{self._extension.key}"

    def _ensure_code_server(self, folder: str) -> None:
        title = f"code-server {components.CODE_SERVER.version} with the Neural Inverse extension"
        if self._extension is None:
            self._ensure_row(components.CODE_SERVER)
        elif self._needed(folder, title):
            self._ensure_row(components.CODE_SERVER)
            built = self._ensure_extension(self._extension)
            with self._store.stage(folder) as partial:
                # Links: a changed extension costs neither a download nor a second copy of VS Code.
                store.link_tree(self._path(components.CODE_SERVER), partial)
                store.link_tree(built, partial / components.EXTENSION_PLACE)

    def _ensure_extension(self, wanted: extension.Extension) -> Path:
        folder = f"vscode-extension-{wanted.key}"
        title = "the Neural Inverse extension for VS Code"
        if self._needed(folder, title):
            size_mb = 1 if wanted.packaged else EXTENSION_BUILD_MB
            with self._step(folder, title, size_mb, "the npm registry") as (partial, run):
                workbench = partial / ".tmp" / "build"
                workbench.mkdir()
                extension.unpack(extension.build(wanted, workbench, run, self._node), partial)
        return self._store.root / folder


# -- the command ------------------------------------------------------------------------------------------------------


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``neuralinverse-hub install``."""
    parser.description = (
        "Installs what one machine needs (VS Code, the hub's proxy, the demo model) into a per-user cache, so that a "
        "later 'up' starts in seconds and without a network. NEURALINVERSE_CACHE names another folder for it."
    )
    parser.add_argument("--no-model", action="store_true", help="leave out the demo model (190 MB)")


def run(options: argparse.Namespace) -> int:
    """Install all parts; 0 when they are there. Raises InstallError."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        # As Ctrl-C: what npm and pip were doing is stopped and cleared away.
        signal.signal(each, signal.default_int_handler)
    cache = store.default_cache()
    ensure(WITHOUT_MODEL if options.no_model else ALL, cache=cache)
    print(f"All parts are installed in {cache}.")
    return 0
