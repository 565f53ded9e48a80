"""Puts what npm brings into an image: the recipes of one-machine mode, at a path that no version changes.

python parts.py fetch NAME FOLDER   code-server or configurable-http-proxy alone; a layer of its own is fetched once per version
python parts.py extend FOLDER       our extension, out of the installed wheel, among code-server's built-in ones
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from neuralinverse_hub.local import components, extension, fetching, node, recipes

PARTS = {each.name: each for each in (components.CODE_SERVER, components.PROXY)}


def fetch(name: str, folder: str) -> None:
    """Install the pinned part into ``folder``, which must not exist."""
    _fetch(PARTS[name], Path(folder))


def _fetch(row: components.Component, folder: Path) -> None:
    folder.mkdir(parents=True)
    found = node.find()
    run = fetching.Run(
        title=f"{row.name} {row.version}",
        registry=recipes.registry_of(row),
        environment=found.environment(os.environ, Path("/tmp/npm")),
        log=Path("/tmp/npm.log"),
        watched=(folder,),
        had=0,
        advance=lambda _bytes: None,
    )
    recipes.fetch(row, folder, run, found, components.this_platform())


def extend(folder: str) -> None:
    """Unpack our extension into the code-server in ``folder``. Stops the build when the wheel came without it."""
    found = extension.look(extension.default_folder())
    if found is None or found.packaged is None:
        sys.exit("The wheel holds no packaged VS Code extension: build it with 'make wheel'.")
    extension.unpack(found.packaged, Path(folder) / components.EXTENSION_PLACE)


if __name__ == "__main__":
    {"fetch": fetch, "extend": extend}[sys.argv[1]](*sys.argv[2:])
