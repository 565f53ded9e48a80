"""The folders and first files of a workspace, and the environment of what runs in it. Pure but for ``prepare``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuralinverse_hub import wire
from neuralinverse_hub.sync import credentials

__all__ = ["BadWorkspace", "Place"]

_WELCOME = """\
# Welcome to your workspace

What you save here is in Git about two seconds later, with nothing to commit and without touching your own branches:
*Protected* in the status bar below says so. Stop the workspace, lose the machine: your files come back.

Try this first:

1. **Ask the AI in the editor.** Select the function below, press `Ctrl+K` `A` (or right-click, *Ask Neural Inverse*).
2. **Chat.** Press `Ctrl+K` `Ctrl+A`, or write `@neuralinverse` in the chat.
3. **Open JupyterLab**: *JupyterLab* in the status bar. In any notebook: `%%ai coding` and, below it, your question.

No key, no sign-in, no counter.

```python
def fizzbuzz(n):
    return [("Fizz" * (i % 3 == 0) + "Buzz" * (i % 5 == 0)) or i for i in range(1, n + 1)]
```

This file is yours: edit it, delete it.
"""


class BadWorkspace(Exception):
    """The workspace cannot start here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workspace lives. All paths are absolute."""

    folder: Path
    """What the person works in, and what sync protects."""
    state: Path
    """Our own private files."""
    home: Path
    generation: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Place:
        """The place that the spawner named. Raises `BadWorkspace` when it named none."""
        missing = [name for name in (wire.ENV_FOLDER, wire.ENV_STATE) if not environ.get(name)]
        if missing:
            raise BadWorkspace(f"{' and '.join(missing)} not set: a NeuralInverse spawner starts this program")
        folder, state = Path(environ[wire.ENV_FOLDER]), Path(environ[wire.ENV_STATE])
        return cls(folder, state, Path(environ.get("HOME") or state.parent), environ.get(wire.ENV_GENERATION, "0"))

    def prepare(self) -> None:
        """Make the folders. Raises `BadWorkspace` with the path and the system's reason."""
        for path in (self.home, self.folder, self.state):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise BadWorkspace(f"cannot make {path}: {error.strerror}; make it writable and start again") from error
            if not os.access(path, os.W_OK | os.X_OK):
                raise BadWorkspace(f"cannot write to {path}; make it writable by this account and start again")

    def welcome(self) -> None:
        """Put the welcome file into a folder that has nothing in it."""
        if not any(self.folder.iterdir()):
            (self.folder / "WELCOME.md").write_text(_WELCOME)

    def environment(self, environ: Mapping[str, str], jupyter_config: Path) -> dict[str, str]:
        """``environ`` plus what every program in the workspace finds: Jupyter settings, and the AI for any client.

        ``OPENAI_*`` make the usual SDKs and tools reach the gateway with nothing to configure, and ``git`` signs in on the
        git host.
        """
        # At the end of the path: ``neuralinverse-hub`` and ``jupyter`` are found, a person's own python stays first.
        path = os.pathsep.join(filter(None, [environ.get("PATH"), os.path.dirname(sys.executable)]))
        mine = {
            "PATH": path,
            "JUPYTER_CONFIG_PATH": os.pathsep.join(
                filter(None, [str(jupyter_config), environ.get("JUPYTER_CONFIG_PATH")])
            ),
        }
        if environ.get(wire.ENV_GATEWAY_URL):
            mine["OPENAI_BASE_URL"] = environ[wire.ENV_GATEWAY_URL]
            mine["OPENAI_API_KEY"] = environ.get(wire.ENV_TOKEN, "")
        return {**environ, **mine, **credentials.git_environment(environ)}
