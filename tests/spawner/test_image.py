"""What workspaces of the image have in common, on an engine and on a cluster."""

from __future__ import annotations

import pytest

from spawner.image import ImageMixin


@pytest.mark.parametrize(
    ("module", "name"), [("kube", "NeuralInverseSpawner"), ("docker", "NeuralInverseDockerSpawner")]
)
def test_the_images_own_python_starts_the_workspace_in_the_images_home(module: str, name: str) -> None:
    spawner_class = getattr(pytest.importorskip(f"spawner.{module}"), name)
    assert issubclass(spawner_class, ImageMixin)
    made = spawner_class.__new__(spawner_class)
    made.home = "/home/someone"
    assert made.cmd == ["python", "-m", "neuralinverse_hub.workspace"]
    assert made.folders() == ("/home/someone/work", "/home/someone/.neuralinverse")
