"""What an installation promises: names that nobody else owns, and entry points that load."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, packages_distributions

import pytest

ENTRY_POINTS = {
    "console_scripts": "neuralinverse-hub",
    "jupyterhub.spawners": "neuralinverse-local",
    "jupyter_serverproxy_servers": "vscode",
    "jupyter_ai.personas": "neuralinverse",
}


@pytest.mark.parametrize("package", ["neuralinverse_hub", "spawner", "ai_provider"])
def test_no_other_distribution_brings_a_package_of_this_name(package: str) -> None:
    assert set(packages_distributions()[package]) == {"neuralinverse-hub"}


@pytest.mark.parametrize(("group", "name"), ENTRY_POINTS.items())
def test_every_entry_point_loads(group: str, name: str) -> None:
    (found,) = (
        each for each in entry_points(group=group, name=name) if each.dist and each.dist.name == "neuralinverse-hub"
    )
    found.load()


@pytest.mark.parametrize("package", ["neuralinverse_hub", "spawner", "ai_provider", "neuralinverse_hub.wire"])
def test_importing_a_package_pulls_in_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*(name for name in sys.modules if name in {{'jupyterhub', 'tornado', 'aiohttp'}}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == ""
