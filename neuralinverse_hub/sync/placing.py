"""Moving a checked-out snapshot to where it belongs, and what is in its way aside: nothing of the person's is deleted."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
import time
from pathlib import Path

from . import objects

__all__ = ["aside_below", "give_real_names", "make_way", "move_in"]


def aside_below(private: Path) -> Path:
    """A folder for what has to make way now."""
    return private / f"replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"


def give_real_names(work: bytes, paths: list[bytes]) -> None:
    """Rename what is stored under another name, innermost first."""
    odd = {path for path in paths if path.rpartition(b"/")[2].startswith(objects.ESCAPE)}
    for path in sorted(odd, key=lambda p: p.count(b"/"), reverse=True):
        parent, _, name = path.rpartition(b"/")
        before = work + b"/" + parent if parent else work
        os.rename(before + b"/" + name, before + b"/" + objects.real_name(name))


def make_way(folder: Path, aside: Path) -> None:
    """Move everything in ``folder`` aside."""
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    for entry in folder.iterdir():
        shutil.move(entry, aside / entry.name)


def move_in(source: bytes, target: bytes, aside: bytes, *, keep_local: bool) -> None:
    """Move everything into place. Equal files stay; of different ones the local one is kept, or set aside."""
    for name in os.listdir(source):
        new, old = source + b"/" + name, target + b"/" + name
        try:
            there = os.lstat(old)
        except FileNotFoundError:
            _move(new, old)
            continue
        if stat.S_ISDIR(there.st_mode) and stat.S_ISDIR(os.lstat(new).st_mode):
            move_in(new, old, aside + b"/" + name, keep_local=keep_local)
        elif keep_local or _equal(new, old):
            continue
        else:
            os.makedirs(aside, mode=0o700, exist_ok=True)
            _move(old, aside + b"/" + name)
            _move(new, old)


def _move(source: bytes, target: bytes) -> None:
    try:
        os.rename(source, target)
    except OSError:
        shutil.move(os.fsdecode(source), os.fsdecode(target))


def _equal(a: bytes, b: bytes) -> bool:
    first, second = os.lstat(a), os.lstat(b)
    if stat.S_IFMT(first.st_mode) != stat.S_IFMT(second.st_mode) or (first.st_mode ^ second.st_mode) & 0o100:
        return False
    if stat.S_ISLNK(first.st_mode):
        return os.readlink(a) == os.readlink(b)
    return filecmp.cmp(a, b, shallow=False)
