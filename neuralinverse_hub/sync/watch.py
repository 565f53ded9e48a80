"""Which names changed in which folders: inotify, one watch per folder that is worth watching.

Its own thin layer over the kernel, because three things matter here that recursive watchers hide: folders that are not
protected (``node_modules``, ``.git/objects``) must not use up watches, which are counted per account on the whole
node; the kernel's "I lost events" must be heard; and "no more watches" must be told apart from every other error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from typing import Final

__all__ = ["Changes", "NoMoreWatches", "Watcher"]

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_ONLYDIR, _DONT_FOLLOW, _EXCL_UNLINK = 0x1000000, 0x2000000, 0x4000000
_MASK: Final = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_FLAGS: Final = _ONLYDIR | _DONT_FOLLOW | _EXCL_UNLINK
_EVENT: Final = struct.Struct("iIII")

Changes = dict[bytes, set[bytes]]
"""Folder (relative to the watched root, ``b""`` for itself) to the names that changed in it."""


class NoMoreWatches(Exception):
    """The kernel's limit of inotify watches or instances is reached, or there is no inotify."""


class Watcher:
    """Watches folders below ``root``; the caller adds each folder before it lists it, so nothing falls in between."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._paths: dict[int, bytes] = {}
        self._watches: dict[bytes, int] = {}
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self.fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, AttributeError) as error:
            raise NoMoreWatches("this system has no inotify") from error
        if self.fd < 0:
            raise NoMoreWatches(os.strerror(ctypes.get_errno()))

    def __len__(self) -> int:
        return len(self._watches)

    def add(self, path: bytes) -> None:
        """Watch the folder ``path``; nothing happens if it is gone already.

        Raises:
            NoMoreWatches: the limit is reached; what is watched stays watched.
        """
        # Asking again for a folder that is watched is cheap, and right when it was replaced behind the same name.
        full = self._root + b"/" + path if path else self._root
        watch = self._libc.inotify_add_watch(self.fd, full, ctypes.c_uint32(_MASK | _FLAGS))
        if watch < 0:
            code = ctypes.get_errno()
            if code in (errno.ENOSPC, errno.ENOMEM, errno.EMFILE):
                raise NoMoreWatches(os.strerror(code))
            return  # gone, not a folder any more, or not readable: listing it says so
        # A renamed folder keeps its watch and gets a new path.
        before = self._paths.get(watch)
        if before is not None and self._watches.get(before) == watch:
            del self._watches[before]
        self._paths[watch] = path
        self._watches[path] = watch

    def forget(self, path: bytes) -> None:
        """Stop watching ``path`` and all below it."""
        inside = path + b"/"
        for known in [p for p in self._watches if p == path or p.startswith(inside)]:
            watch = self._watches.pop(known)
            if self._paths.get(watch) == known:
                del self._paths[watch]
                self._libc.inotify_rm_watch(self.fd, watch)

    def wait(self, timeout_s: float | None, *others: int) -> bool:
        """Wait until something changed, another descriptor is readable, or time is up; whether something changed."""
        poll = select.poll()
        for fd in (self.fd, *others):
            poll.register(fd, select.POLLIN)
        ready = poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        return any(fd == self.fd for fd, _ in ready)

    def drain(self, into: Changes) -> bool:
        """Add everything that has happened so far to ``into``; False when the kernel lost events."""
        complete = True
        while True:
            try:
                data = os.read(self.fd, 1 << 18)
            except BlockingIOError:
                return complete
            at = 0
            while at < len(data):
                watch, mask, _cookie, length = _EVENT.unpack_from(data, at)
                name = data[at + 16 : at + 16 + length].rstrip(b"\0")
                at += 16 + length
                if mask & _OVERFLOW:
                    complete = False
                    continue
                path = self._paths.get(watch)
                if path is None:
                    continue
                if mask & _IGNORED:
                    del self._paths[watch]
                    if self._watches.get(path) == watch:
                        del self._watches[path]
                elif name:
                    into.setdefault(path, set()).add(name)

    def close(self) -> None:
        """Give all watches back."""
        os.close(self.fd)
