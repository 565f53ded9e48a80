"""A real PostgreSQL of the tests' own: on a socket in a temporary folder, gone with the tests."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["binaries", "control", "serving"]


def binaries() -> Path | None:
    """The folder with initdb and postgres: on the path, or where Debian puts them."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def _run(folder: Path, program: str, *arguments: str) -> None:
    programs = binaries()
    assert programs is not None
    subprocess.run(
        [f"{programs}/{program}", *arguments],
        check=True,
        # PostgreSQL refuses to run as root.
        user="nobody" if os.geteuid() == 0 else None,
        group=None,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )


def control(folder: Path, action: str) -> None:
    """``start`` or ``stop`` the server whose socket is in ``folder``."""
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=64MB"
    how = ("-l", str(folder / "log"), "-t", "90", "-o", options) if action == "start" else ("-m", "immediate")
    _run(folder, "pg_ctl", "-D", str(folder / "data"), "-w", *how, action)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The URL of a server's ``postgres`` database."""
    # A socket's path is short, so not below pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="ni-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    data = folder / "data"
    try:
        _run(folder, "initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        control(folder, "start")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            control(folder, "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
