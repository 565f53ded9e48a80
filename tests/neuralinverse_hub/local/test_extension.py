"""Which extension is installed: the packaged file, or one one built from sources."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from neuralinverse_hub.local import extension
from neuralinverse_hub.local.errors import InstallError


def package(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files or {"extension/package.json": "{}"}).items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout of an extension: sources, a lock, nothing built."""
    folder = tmp_path / "vscode"
    (folder / "src").mkdir(parents=True)
    for name in ("package.json", "package-lock.json", "src/extension.ts"):
        (folder / name).write_text(name)
        os.utime(folder / name, (1000, 1000))
    return folder


def test_nothing_there_is_nothing_to_install(tmp_path: Path) -> None:
    assert extension.look(None) is None
    assert extension.look(tmp_path / "missing") is None
    assert extension.look(tmp_path) is None


def test_sources_without_a_package_are_built(folder: Path) -> None:
    found = extension.look(folder)
    assert found is not None and found.packaged is None


def test_where_the_sources_are_a_package_beside_them_does_not_count(folder: Path) -> None:
    before = extension.look(folder)
    package(folder / extension.PACKAGED)
    assert extension.look(folder) == before
    assert before is not None and before.packaged is None


def test_an_installed_wheel_has_a_package_and_no_sources(tmp_path: Path) -> None:
    packaged = package(tmp_path / extension.PACKAGED)
    os.utime(packaged, (1000, 1000))
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_text("{}")
    found = extension.look(tmp_path)
    assert found is not None and found.packaged == packaged


def test_the_key_changes_with_a_source_and_not_with_what_is_built_from_it(folder: Path) -> None:
    before = extension.look(folder)
    for built in ("node_modules/typescript/lib.ts", "dist/extension.js", ".vscode-test/log"):
        (folder / built).parent.mkdir(parents=True)
        (folder / built).write_text("built")
    assert extension.look(folder) == before
    (folder / "src" / "extension.ts").write_text("changed")
    after = extension.look(folder)
    assert before is not None and after is not None and after.key != before.key


def test_unpacking_takes_the_extension_and_leaves_the_rest(tmp_path: Path) -> None:
    packaged = package(
        tmp_path / "x.vsix",
        **{"extension/package.json": "{}", "extension/dist/main.js": "1", "extension.vsixmanifest": "<xml/>"},
    )
    extension.unpack(packaged, tmp_path / "out")
    files = sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    assert files == ["dist/main.js", "package.json"]


@pytest.mark.parametrize("name", ["extension/../../outside", "extension//../../../outside"])
def test_a_package_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    packaged = package(tmp_path / "x.vsix", **{"extension/package.json": "{}", name: "bad"})
    with pytest.raises(InstallError, match="outside"):
        extension.unpack(packaged, tmp_path / "a" / "b" / "out")
    assert not list(tmp_path.rglob("outside"))


def test_a_broken_package_is_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "x.vsix"
    broken.write_text("not a zip")
    with pytest.raises(InstallError, match="build it again"):
        extension.unpack(broken, tmp_path / "out")
    with pytest.raises(InstallError, match=r"no extension/package.json"):
        extension.unpack(package(tmp_path / "y.vsix", **{"extension/readme": ""}), tmp_path / "out2")
