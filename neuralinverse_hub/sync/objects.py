"""Git's object formats, as far as a snapshot needs them: names, trees, commits, index entries. Pure.

A snapshot is an ordinary Git commit whose tree mirrors the workspace folder. Names that Git gives a meaning of their
own (``.git``, ``.gitmodules``, …) cannot stand in a tree that a careful host accepts, so they are stored behind
`ESCAPE`; everything else keeps its name and can be read with plain ``git show <snapshot>:<path>``.

Formats: gitformat-pack(5), gitformat-index(5), and "Git internals" for trees and commits.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

ESCAPE: Final = b"=ni="
"""Prefix of a stored name that Git would not accept, or that itself begins with this prefix."""

TREE: Final = b"40000"
FILE: Final = b"100644"
EXECUTABLE: Final = b"100755"
SYMLINK: Final = b"120000"

INDEX_HEADER: Final = 12
"""Bytes before an index file's first entry."""

COMMIT_TYPE: Final = 1
TREE_TYPE: Final = 2
BLOB_TYPE: Final = 3
_TYPE_NAMES: Final = {COMMIT_TYPE: b"commit", TREE_TYPE: b"tree", BLOB_TYPE: b"blob"}

# What fsck and checkout compare names with is case-insensitive, skips code points that HFS+ ignores, and knows the
# short names of NTFS. All of them begin like this once such code points are gone.
_INVISIBLE: Final = re.compile(b"\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf")
_SPECIAL: Final = re.compile(rb"\.git|gi[0-9a-z]{0,6}~[0-9]", re.IGNORECASE)


def object_id(kind: int, data: bytes) -> bytes:
    """The 20-byte SHA-1 name Git gives to ``data`` as an object of ``kind``."""
    return hashlib.sha1(b"%s %d\0" % (_TYPE_NAMES[kind], len(data)) + data, usedforsecurity=False).digest()


def begin_object_id(kind: int, size: int) -> hashlib._Hash:
    """A hash to feed ``size`` bytes to, for objects too large to hold in memory."""
    return hashlib.sha1(b"%s %d\0" % (_TYPE_NAMES[kind], size), usedforsecurity=False)


EMPTY_TREE: Final = object_id(TREE_TYPE, b"")


def stored_name(name: bytes) -> bytes:
    """How a file or folder called ``name`` is called in a snapshot's tree."""
    if name.startswith(ESCAPE) or _SPECIAL.match(_INVISIBLE.sub(b"", name)):
        return ESCAPE + name
    return name


def real_name(stored: bytes) -> bytes:
    """The inverse of `stored_name`."""
    return stored[len(ESCAPE) :] if stored.startswith(ESCAPE) else stored


def real_path(stored: bytes) -> bytes:
    """`real_name` for each part of a path."""
    if ESCAPE not in stored:
        return stored
    return b"/".join(real_name(part) for part in stored.split(b"/"))


def tree(entries: Iterable[tuple[bytes, bytes, bytes]]) -> bytes:
    """The tree object of (mode, stored name, object id) entries, in the order Git wants."""
    ordered = sorted(entries, key=lambda e: e[1] + b"/" if e[0] == TREE else e[1])
    return b"".join([b"%s %s\0%s" % entry for entry in ordered])


def tree_entries(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The (mode, stored name, object id) entries of a tree object."""
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        end = data.index(b"\0", space)
        yield data[at:space], data[space + 1 : end], data[end + 1 : end + 21]
        at = end + 21


def commit(tree_id: bytes, parents: Iterable[bytes], at_s: int, message: str) -> bytes:
    """A commit object in our own name, at ``at_s`` seconds since 1970, UTC."""
    who = f"Neural Inverse sync <sync@neuralinverse.invalid> {at_s} +0000"
    lines = [f"tree {tree_id.hex()}", *(f"parent {parent.hex()}" for parent in parents)]
    lines += [f"author {who}", f"committer {who}", "", message]
    return ("\n".join(lines) + "\n").encode()


def commit_facts(data: bytes) -> tuple[bytes, float]:
    """Tree id, and time in seconds since 1970, of a commit object."""
    head = data.partition(b"\n\n")[0].split(b"\n")
    committer = next(line for line in head if line.startswith(b"committer "))
    return bytes.fromhex(head[0].removeprefix(b"tree ").decode()), float(committer.split()[-2])


def pack_entry_header(kind: int, size: int) -> bytes:
    """Type and size in front of an object's deflated bytes in a pack."""
    byte = (kind << 4) | (size & 0x0F)
    size >>= 4
    out = bytearray()
    while size:
        out.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    out.append(byte)
    return bytes(out)


def pack_header(count: int) -> bytes:
    """First 12 bytes of a pack of ``count`` objects."""
    return struct.pack(">4sII", b"PACK", 2, count)


class IndexEntry(NamedTuple):
    """One file in a Git index, with what ``stat`` said when Git last looked."""

    path: bytes
    mode: int
    oid: bytes
    st_mtime_ns: int
    st_ctime_ns: int
    st_size: int
    st_ino: int


_INDEX_ENTRY: Final = struct.Struct(">IIIIIIIIII20sH")


def index_count(data: bytes) -> int:
    """How many entries the version 2 index file that begins with ``data`` has; ValueError for any other version."""
    signature, version, count = struct.unpack_from(">4sII", data)
    if signature != b"DIRC" or version != 2:
        raise ValueError(f"not a version 2 index: {signature!r} {version}")
    return int(count)


def index_entries(data: bytes) -> Iterator[IndexEntry]:
    """The entries of a version 2 index file; ValueError for any other version."""
    at = INDEX_HEADER
    for _ in range(index_count(data)):
        c_s, c_ns, m_s, m_ns, _dev, inode, mode, _uid, _gid, size, oid, _flags = _INDEX_ENTRY.unpack_from(data, at)
        end = data.index(b"\0", at + 62)
        path = data[at + 62 : end]
        yield IndexEntry(path, mode, oid, m_s * 10**9 + m_ns, c_s * 10**9 + c_ns, size, inode)
        at += (62 + len(path) + 8) & ~7
