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

__all__ = ["binaries", "serving"]


def binaries() -> Path | None:
    """The folder with initdb and postgres: on the path, or where Debian puts them."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The URL of a server's ``postgres`` database."""
    programs = binaries()
    assert programs is not None
    # A socket's path is short, so not below pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="ni-pg-"))
    # PostgreSQL refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(
            command,
            check=True,
            user=user,
            group=None,
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            timeout=120,
        )

    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=64MB"
    try:
        run(f"{programs}/initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        log = str(folder / "log")
        run(f"{programs}/pg_ctl", "-D", str(data), "-l", log, "-w", "-t", "90", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            run(f"{programs}/pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
