"""Puts VS Code into the image: the recipe of one-machine mode, at a path that no version changes.

python ide.py fetch FOLDER    code-server alone; as a layer of its own it is fetched once per version
python ide.py extend FOLDER   our extension, out of the installed wheel, among the built-in ones
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from neuralinverse_hub.local import components, extension, fetching, node, recipes


def fetch(folder: Path) -> None:
    """Install the pinned code-server into ``folder``, which must not exist."""
    row = components.CODE_SERVER
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


def extend(folder: Path) -> None:
    """Unpack our extension into the code-server in ``folder``. Stops the build when the wheel came without it."""
    found = extension.look(extension.default_folder())
    if found is None or found.packaged is None:
        sys.exit("The wheel holds no packaged VS Code extension: build it with 'make wheel'.")
    extension.unpack(found.packaged, folder / components.EXTENSION_PLACE)


if __name__ == "__main__":
    {"fetch": fetch, "extend": extend}[sys.argv[1]](Path(sys.argv[2]))
