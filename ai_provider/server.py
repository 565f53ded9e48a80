"""The Jupyter Server extension of a workspace: our persona is the chat's default, and nothing listens without a password.

``jupyter_config/`` beside this module enables it; the workspace puts that folder on ``JUPYTER_CONFIG_PATH``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traitlets.config import Config

__all__ = ["CONFIG_PATH", "DATA_PATH", "PERSONA_ID"]

CONFIG_PATH = Path(__file__).resolve().parent / "jupyter_config"
"""The folder to put on ``JUPYTER_CONFIG_PATH``."""

DATA_PATH = Path(__file__).resolve().parent / "lab" / "share"
"""The Lab extension is in its ``labextensions``, once ``lab.build`` has made it."""

PERSONA_ID = "jupyter-ai-personas::ai_provider::NeuralInversePersona"
"""How jupyter-ai calls our persona; it derives this from package and class."""


def _link_jupyter_server_extension(app: Any) -> None:
    """Set what other extensions read when they load; what an administrator has set already stays."""
    ours = Config()
    if "default_persona_id" not in app.config.PersonaManager:
        ours.PersonaManager.default_persona_id = PERSONA_ID
    if "builtin_mcp_servers" not in app.config.PersonaManager:
        # Personas would be told of a server on port 3001 that jupyter_config keeps off: it asks nobody for a token.
        ours.PersonaManager.builtin_mcp_servers = []
    labextensions = DATA_PATH / "labextensions"
    if labextensions.is_dir():
        others = app.config.LabApp.get("extra_labextensions_path", [])
        ours.LabApp.extra_labextensions_path = [*others, str(labextensions)]
    app.update_config(ours)


def _load_jupyter_server_extension(app: Any) -> None:
    """Serve what our Lab extension asks for."""
    from .handlers import SETTING, Desk, routes

    app.web_app.settings[SETTING] = Desk(root=Path(app.root_dir))
    app.web_app.add_handlers(".*$", routes(app.web_app.settings["base_url"]))
