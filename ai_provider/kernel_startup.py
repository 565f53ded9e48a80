"""Puts ``%%ai`` into every Python kernel of a workspace, also of virtual environments that do not have our packages.

IPython runs the files of ``~/.ipython/profile_default/startup`` in every kernel of every environment. Ours imports the
magics from where we are installed, by their paths, and takes their names out of ``sys.modules`` again: a kernel never sees a
library of ours instead of its own, nor a package of ours where a project has one of the same name.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from string import Template

__all__ = ["FILE_NAME", "MARK", "install", "put", "text"]

FILE_NAME = "00-neuralinverse.py"

MARK = "# Written by neuralinverse-hub at every start of the workspace."
"""First line of our copy; a file without it belongs to the person."""

TEMPLATE = Template("""\
$mark
# It gives this kernel %%ai and %ai. To keep your own version, remove the first line.


def _neuralinverse():
    import importlib.util
    import os
    import sys

    shell = get_ipython()  # noqa: F821
    packages = $packages

    def taken():
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in packages}

    try:
        theirs = taken()  # a project of the person may use the same names
        try:
            for name, folder in packages.items():
                init = os.path.join(folder, "__init__.py")
                spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=[folder])
                module = importlib.util.module_from_spec(spec)
                sys.modules[name] = module
                spec.loader.exec_module(module)
            from ai_provider import magics
        finally:
            taken()
            sys.modules.update(theirs)
        magics.load_ipython_extension(shell)
    except Exception:
        # A kernel without %%ai is better than a kernel that does not start.
        try:
            import traceback

            with open(os.path.join(shell.profile_dir.log_dir, "neuralinverse.log"), "w") as log:
                log.write("%%ai could not be loaded into " + sys.executable + "\\n" + traceback.format_exc())
        except Exception:
            pass


_neuralinverse()
del _neuralinverse
""")


def text() -> str:
    """The content of the startup file, for the packages as they are installed here."""
    import neuralinverse_hub

    here = Path(__file__).resolve().parent
    hub = Path(str(neuralinverse_hub.__file__)).resolve().parent
    return TEMPLATE.substitute(mark=MARK, packages=repr({"neuralinverse_hub": str(hub), "ai_provider": str(here)}))


def install(home: Path) -> Path:
    """Where the startup file of ``home`` is: ours, up to date, or the person's own, which is left alone.

    Raises ``OSError`` when ``home`` cannot be written.
    """
    path = home / ".ipython" / "profile_default" / "startup" / FILE_NAME
    put(path, text(), MARK)
    return path


def put(path: Path, wanted: str, mark: str) -> bool:
    """Write ``wanted`` to ``path``, unless what is there does not begin with ``mark``; whether it stands there then.

    The file is replaced atomically, so a program that starts meanwhile reads the old or the new one.
    """
    try:
        present = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        present = None
    if present == wanted or (present is not None and not present.startswith(mark)):
        return present == wanted
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".neuralinverse-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(wanted)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True
