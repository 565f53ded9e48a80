"""The extension's own unit tests, run by vitest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ai_provider.vscode.build import SOURCE, run_npm


def test_the_logic_of_the_extension(code_server_parts: tuple[Path, Path]) -> None:
    if not (SOURCE / "node_modules").is_dir():
        pytest.skip("vitest is not installed: run `npm ci --ignore-scripts` in ai_provider/vscode")
    done = run_npm(code_server_parts[0], "test")
    assert done.returncode == 0, done.stdout
