"""Workspaces as containers of one Docker engine: DockerSpawner, with what makes a server a workspace.

All of DockerSpawner's configuration keeps working.
"""

from __future__ import annotations

from typing import Any

from dockerspawner import DockerSpawner
from traitlets import default

from spawner.image import ImageMixin

__all__ = ["NeuralInverseDockerSpawner"]


class NeuralInverseDockerSpawner(ImageMixin, DockerSpawner):  # type: ignore[misc]  # DockerSpawner ships no types
    """Starts a workspace as a container. Its files live in Git snapshots, so it needs no volume."""

    @default("use_internal_ip")
    def _default_use_internal_ip(self) -> bool:
        return True

    @default("remove")
    def _default_remove(self) -> bool:
        # A container keeps the credentials of its start in its environment; the next start has others.
        return True

    @default("extra_create_kwargs")
    def _default_extra_create_kwargs(self) -> dict[str, Any]:
        # The agent stops the server and brings the last changes to the Git host before it exits.
        return {"stop_timeout": 25}

    @default("extra_host_config")
    def _default_extra_host_config(self) -> dict[str, Any]:
        return {
            # The engine would remove one that ended by itself together with its log.
            "auto_remove": False,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": 4096,
        }
