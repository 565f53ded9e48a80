"""Workspaces as pods of a Kubernetes cluster: KubeSpawner, with what makes a server a workspace.

All of KubeSpawner's configuration keeps working. Every start is a cold one so far: there is no pool of warm pods yet.
"""

from __future__ import annotations

from kubespawner import KubeSpawner
from traitlets import Unicode, default

from spawner.workspace import WorkspaceMixin

__all__ = ["NeuralInverseSpawner"]


class NeuralInverseSpawner(WorkspaceMixin, KubeSpawner):  # type: ignore[misc]  # KubeSpawner ships no types
    """Starts a workspace as a pod. Its files live in Git snapshots, so it needs no volume."""

    home = Unicode("/home/jovyan", help="Home of the image's user: where a workspace keeps its files.").tag(config=True)

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        # The image's own Python: the hub's is in another image.
        return ["python", "-m", "neuralinverse_hub.workspace"]

    def folders(self) -> tuple[str, str]:
        return f"{self.home}/work", f"{self.home}/.neuralinverse"
