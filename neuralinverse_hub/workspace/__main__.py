"""``python -m neuralinverse_hub.workspace``: the command that every NeuralInverse spawner starts."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import ai_provider
from ai_provider import kernel_startup
from neuralinverse_hub.workspace import agent, ide
from neuralinverse_hub.workspace.place import BadWorkspace, Place


def main() -> int:
    """Start the workspace; extra arguments go to ``jupyterhub-singleuser``."""
    logging.basicConfig(level=logging.INFO, format="[workspace] %(levelname)s %(message)s")
    try:
        place = Place.of(os.environ)
        place.prepare()
    except BadWorkspace as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    ide.seed_settings(place.state)
    kernel_startup.install(place.home)
    environ = place.environment(os.environ, jupyter_config=Path(ai_provider.__file__).parent / "jupyter_config")
    server = [
        sys.executable,
        "-m",
        "jupyterhub.singleuser",
        f"--ServerApp.root_dir={place.folder}",
        # Who runs the hub as root, e.g. in a container, has decided that already.
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *sys.argv[1:],
    ]
    return asyncio.run(agent.run(environ, place, server))


if __name__ == "__main__":
    sys.exit(main())
