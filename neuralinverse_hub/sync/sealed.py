"""Files that must not lie on the git host in clear, as one encrypted blob in the snapshot.

AES-256-GCM from `cryptography`: whoever holds the host but not the person's key can neither read nor change them
unnoticed. The key comes from the hub, through the environment, and is on no host.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .errors import BadConfiguration, SyncError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["CannotOpen", "SealedFile", "Sealer", "load"]

_MAGIC: Final = b"neuralinverse sealed 1\n"
_NONCE: Final = 12


class CannotOpen(SyncError):
    """A sealed blob was made with another key, for another workspace, or has been changed."""


def load() -> None:
    """Load the cipher now, so that the first `Sealer` does not have to."""
    import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401


@dataclass(frozen=True, slots=True)
class SealedFile:
    """Content and permissions of one file; symbolic links are kept as links."""

    content: bytes
    mode: int = 0o600
    link: bool = False


class Sealer:
    """Seals and opens with one person's key; ``workspace`` is bound in, so blobs cannot be swapped between two."""

    def __init__(self, key: bytes, workspace: str) -> None:
        # Imported here: a quarter of the daemon's start, for nothing when there is no key.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher: AESGCM = AESGCM(key)
        self._bound = _MAGIC + workspace.encode()

    @classmethod
    def from_text(cls, text: str, workspace: str, variable: str) -> Sealer:
        """From the key as the environment holds it: 32 bytes in base64.

        Raises:
            BadConfiguration: it is something else; the text itself is not repeated.
        """
        try:
            key = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadConfiguration(f"{variable} is not base64.") from error
        if len(key) != 32:
            raise BadConfiguration(f"{variable} holds {len(key)} bytes; it should hold 32, in base64.")
        return cls(key, workspace)

    def seal(self, files: Mapping[bytes, SealedFile]) -> bytes:
        """One blob with all ``files``, by their path. Sealing the same twice gives different bytes."""
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=6) as archive:
            for path in sorted(files):
                file = files[path]
                info = tarfile.TarInfo(os.fsdecode(path))
                info.mode = file.mode
                if file.link:
                    info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(file.content)
                    archive.addfile(info)
                else:
                    info.size = len(file.content)
                    archive.addfile(info, io.BytesIO(file.content))
        nonce = os.urandom(_NONCE)
        return _MAGIC + nonce + self._cipher.encrypt(nonce, plain.getvalue(), self._bound)

    def open(self, blob: bytes) -> dict[bytes, SealedFile]:
        """The files in a blob.

        Raises:
            CannotOpen: the key is not the one it was sealed with, or the blob was changed.
        """
        from cryptography.exceptions import InvalidTag

        if not blob.startswith(_MAGIC):
            raise CannotOpen("The encrypted files of this snapshot are in a form that this version does not know.")
        nonce, sealed = blob[len(_MAGIC) :][:_NONCE], blob[len(_MAGIC) + _NONCE :]
        try:
            plain = self._cipher.decrypt(nonce, sealed, self._bound)
        except (InvalidTag, ValueError) as error:
            raise CannotOpen(
                "The encrypted files cannot be opened: the key has changed, or they were altered."
            ) from error
        found: dict[bytes, SealedFile] = {}
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:gz") as archive:
            for info in archive:
                if info.issym():
                    found[os.fsencode(info.name)] = SealedFile(os.fsencode(info.linkname), info.mode, link=True)
                elif info.isreg() and (content := archive.extractfile(info)) is not None:
                    found[os.fsencode(info.name)] = SealedFile(content.read(), info.mode)
        return found
