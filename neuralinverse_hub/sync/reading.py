"""Reading one file into a pack, though somebody may be writing to it."""

from __future__ import annotations

import os
import time
from typing import Final

from . import objects, picture
from .pack import ChangedWhileRead, Pack

__all__ = ["read"]

_STREAMED: Final = 8 << 20
"""Bytes; larger files are never held in memory."""


def read(
    full: bytes, kind: int, st: os.stat_result, known: bytes, pack: Pack, *, now_ns: int, git: bool
) -> tuple[bytes, int]:
    """Object id and mark of the file at ``full``; its content is in ``pack`` afterwards, unless its id is ``known``.

    A file that is written to all the time is taken as it was when we looked, but not one of Git's own (``git``), where
    half a file is worse than none.

    ``st`` was taken at ``now_ns``.

    Raises:
        ChangedWhileRead: it does not hold still; look again.
        OSError: it cannot be read.
    """
    level = 0 if git and b"/objects/" in full else 1  # already deflated
    if kind == picture.LINK:
        data = os.readlink(full)
        oid = objects.object_id(objects.BLOB_TYPE, data)
        if oid != known:
            pack.add(objects.BLOB_TYPE, data, oid)
        return oid, picture.mark(st, now_ns)
    fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for _ in range(3):
            before = os.fstat(fd)
            if before.st_size <= _STREAMED:
                os.lseek(fd, 0, os.SEEK_SET)
                data = _read_all(fd, before.st_size)
                oid = objects.object_id(objects.BLOB_TYPE, data)
                same = len(data) == before.st_size and _same(before, os.fstat(fd))
                if same and oid != known:
                    pack.add(objects.BLOB_TYPE, data, oid, level=level)
            else:
                oid = _hash(fd, before.st_size)
                same = oid != b"" and _same(before, os.fstat(fd))
                if same and oid != known:
                    pack.add_file(fd, before.st_size, oid, level=level)
            if same:
                return oid, picture.mark(before, time.time_ns())
        if not git and before.st_size <= _STREAMED:
            # Somebody writes to it all the time, as to a log: what was there when we looked is worth keeping.
            return pack.add(objects.BLOB_TYPE, data), 0
    finally:
        os.close(fd)
    raise ChangedWhileRead


def _read_all(fd: int, size: int) -> bytes:
    """Up to one byte more than ``size``, so that growth shows."""
    parts = []
    left = size + 1
    while left > 0 and (chunk := os.read(fd, left)):
        parts.append(chunk)
        left -= len(chunk)
    return b"".join(parts)


def _hash(fd: int, size: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    check = objects.begin_object_id(objects.BLOB_TYPE, size)
    left = size
    while chunk := os.read(fd, 1 << 20):
        check.update(chunk)
        left -= len(chunk)
    return check.digest() if left == 0 else b""


def _same(a: os.stat_result, b: os.stat_result) -> bool:
    return (a.st_mtime_ns, a.st_ctime_ns, a.st_size) == (b.st_mtime_ns, b.st_ctime_ns, b.st_size)
