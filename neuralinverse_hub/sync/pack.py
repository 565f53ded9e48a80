"""A pack being written: objects go in one by one, deflated to a temporary file; the whole is streamed once at the end."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from . import objects

__all__ = ["ChangedWhileRead", "Pack"]

_CHUNK: Final = 1 << 20
_IN_MEMORY: Final = 4 << 20


class ChangedWhileRead(Exception):
    """A file's length or content changed between two looks at it; look again."""


class Pack:
    """Collects objects for one push. Memory stays bounded: past 4 MB the pack lies in an unnamed file in ``folder``
    (None: where temporary files go)."""

    def __init__(self, folder: Path | None) -> None:
        # Files that only this process can see: a kill at any moment leaves nothing behind.
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder) if folder else None)
        self._seen: set[bytes] = set()

    def __enter__(self) -> Pack:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, kind: int, data: bytes, oid: bytes | None = None, *, level: int = 1) -> bytes:
        """Add an object that is in memory; its id. Adding it twice costs nothing."""
        oid = oid or objects.object_id(kind, data)
        if oid not in self._seen:
            self._file.write(objects.pack_entry_header(kind, len(data)) + zlib.compress(data, level))
            self._seen.add(oid)
        return oid

    def add_file(self, fd: int, size: int, oid: bytes, *, level: int = 1) -> None:
        """Add the file open as ``fd``, known to be ``size`` bytes with blob id ``oid``, without holding it in memory.

        Raises:
            ChangedWhileRead: it is not any more; the pack is as it was before.
        """
        if oid in self._seen:
            return
        start = self._file.tell()
        os.lseek(fd, 0, os.SEEK_SET)
        check = objects.begin_object_id(objects.BLOB_TYPE, size)
        deflate = zlib.compressobj(level)
        self._file.write(objects.pack_entry_header(objects.BLOB_TYPE, size))
        while chunk := os.read(fd, _CHUNK):
            check.update(chunk)
            self._file.write(deflate.compress(chunk))
        self._file.write(deflate.flush())
        if check.digest() != oid:
            self._file.seek(start)
            self._file.truncate()
            raise ChangedWhileRead
        self._seen.add(oid)

    def stream(self) -> tuple[int, Iterator[bytes]]:
        """Length in bytes and content of the finished pack; may be called again for a retry."""
        size = self._file.seek(0, os.SEEK_END)
        return 12 + size + 20, self._chunks()

    def _chunks(self) -> Iterator[bytes]:
        self._file.seek(0)
        header = objects.pack_header(len(self._seen))
        check = hashlib.sha1(header, usedforsecurity=False)
        yield header
        while chunk := self._file.read(_CHUNK):
            check.update(chunk)
            yield chunk
        yield check.digest()
