"""Rows of data: names of folders, and which platforms have what."""

from __future__ import annotations

import re

import pytest

from neuralinverse_hub.local import components


def test_another_version_revision_or_platform_is_another_folder() -> None:
    assert components.CODE_SERVER.folder("linux-x64") == "code-server-4.139.1-linux-x64-r1"
    assert components.CODE_SERVER.folder("darwin-arm64") != components.CODE_SERVER.folder("linux-x64")
    assert components.PROXY.folder("darwin-arm64") == components.PROXY.folder("linux-x64")


@pytest.mark.parametrize(
    ("tag", "binary"), [("linux-x64", "linux-x64"), ("linux-arm64", "linux-arm64"), ("darwin-arm64", "mac-arm64-metal")]
)
def test_the_models_runtime_brings_one_platforms_binary_only(tag: str, binary: str) -> None:
    source = components.runtime(tag).source
    assert isinstance(source, components.NpmPackages)
    assert source.omit_optional
    assert [name for name in source.packages if name.startswith("@node-llama-cpp/")] == [
        f"@node-llama-cpp/{binary}@3.22.1"
    ]


def test_a_platform_without_a_build_says_so() -> None:
    with pytest.raises(components.NoDemoModel, match="sunos-sparc"):
        components.runtime("sunos-sparc")


def test_this_platform_is_in_nodes_words() -> None:
    assert re.fullmatch(r"(linux|darwin)-(x64|arm64|\w+)", components.this_platform())


def test_every_version_is_pinned() -> None:
    rows = (components.CODE_SERVER, components.PROXY, components.WEIGHTS, components.runtime("linux-x64"))
    for row in rows:
        match row.source:
            case components.NpmPackages(packages=packages):
                assert all(re.search(r".@\d+\.\d+\.\d+$", package) for package in packages)
            case components.WheelFile(requirement=requirement, sha256=sha256):
                assert re.search(r"==\d", requirement) and len(sha256) == 64
            case components.CodeServer(version=version):
                assert version == row.version
