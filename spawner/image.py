"""Workspaces that run from an image, wherever: the image's user has the home, and the image its own Python.

A part between `spawner.workspace` and a spawner of containers or pods; it knows neither.
"""

from __future__ import annotations

from traitlets import Unicode, default

from spawner.workspace import WorkspaceMixin

__all__ = ["ImageMixin"]


class ImageMixin(WorkspaceMixin):
    """A `WorkspaceMixin` for workspaces of `images/workspace`. Put it before a spawner."""

    home = Unicode("/home/jovyan", help="Home of the image's user: where a workspace keeps its files.").tag(config=True)

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        # The image's own Python: the hub's is in another image.
        return ["python", "-m", "neuralinverse_hub.workspace"]

    def folders(self) -> tuple[str, str]:
        return f"{self.home}/work", f"{self.home}/.neuralinverse"
