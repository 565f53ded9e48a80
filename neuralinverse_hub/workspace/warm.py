"""``python -m neuralinverse_hub.workspace.warm``: a server process that has loaded everything and waits for its person.

Prints ``loaded`` on standard output, then waits for one line on standard input: a JSON object with ``environment``, which
replaces its own, ``folder`` and ``arguments`` for ``jupyterhub-singleuser``. End of input without a line ends it with 0.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys

__all__ = ["load", "main"]

_MODULES = (
    "jupyterhub.singleuser",
    "jupyter_server.serverapp",
    "jupyter_server.services.contents.largefilemanager",
    "jupyter_server_proxy.handlers",
    "jupyterlab.labapp",
    "ipykernel.kernelspec",
    "simpervisor",
    "uvloop",
)


def load() -> None:
    """Import what a server imports when it starts. What is missing is missing there as well: the server says so."""
    for name in [*_MODULES, *_extensions()]:
        # An extension may raise anything when it is imported; the server logs that, and goes on without it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # Nothing of it is ever freed, so no collection needs to look at it again.
    gc.collect()
    gc.freeze()


def _extensions() -> list[str]:
    from jupyter_core.paths import jupyter_config_path
    from jupyter_server.extension.config import ExtensionConfigManager

    found: dict[str, bool] = {}
    with contextlib.suppress(Exception):
        found = ExtensionConfigManager(read_config_path=jupyter_config_path()).get_jpserver_extensions()  # type: ignore[no-untyped-call]  # ships no types
    return [name for name, enabled in found.items() if enabled]


def main() -> None:
    """Load, wait, become the server."""
    # What extensions print while they load is no answer to the agent.
    answers = os.dup(1)
    os.dup2(2, 1)
    load()
    os.write(answers, b"loaded\n")
    os.close(answers)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    given = json.loads(line)
    os.environ.clear()
    os.environ.update(given["environment"])
    os.chdir(given["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.argv = ["jupyterhub-singleuser", *given["arguments"]]
    from jupyterhub.singleuser import main as serve

    serve()


if __name__ == "__main__":
    main()
