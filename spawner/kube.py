"""Workspaces as pods of a Kubernetes cluster: KubeSpawner, with what makes a server a workspace.

All of KubeSpawner's configuration keeps working. Every start is a cold one so far: there is no pool of warm pods yet.
"""

from __future__ import annotations

from kubespawner import KubeSpawner

from spawner.image import ImageMixin

__all__ = ["NeuralInverseSpawner"]


class NeuralInverseSpawner(ImageMixin, KubeSpawner):  # type: ignore[misc]  # KubeSpawner ships no types
    """Starts a workspace as a pod. Its files live in Git snapshots, so it needs no volume."""
