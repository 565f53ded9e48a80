"""Which names a repository of the person's ignores: git itself is asked, so the answer is git's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from typing import Final

from . import gitcmd

__all__ = ["Rules", "built", "recreatable", "secret"]

_RECREATABLE: Final = frozenset(
    b"node_modules .venv venv __pycache__ .tox .nox .mypy_cache .pytest_cache .ruff_cache .ipynb_checkpoints".split()
)
_BUILT: Final = frozenset(
    b"build dist out target obj .cache .next .nuxt .svelte-kit .parcel-cache .gradle .terraform .eggs .hypothesis "
    b"coverage htmlcov env .direnv .yarn bower_components .turbo .import_linter_cache wheels".split()
)
_AT_ONCE: Final = 100
"""Paths per question: few enough that neither side's pipe can fill up while the other waits."""


def recreatable(name: bytes) -> bool:
    """Whether a folder of this name is made by a tool from other files, in folders where no repository says so."""
    return name in _RECREATABLE


def built(name: bytes) -> bool:
    """Whether an ignored folder of this name is what a build leaves behind."""
    return name in _BUILT or name.endswith(b".egg-info")


def secret(name: bytes) -> bool:
    """Whether a file of this name holds secrets by convention, also where no repository ignores it."""
    return (name == b".env" or name.startswith(b".env.")) and not name.endswith(
        (b".example", b".sample", b".template", b".dist", b".md")
    )


class Rules:
    """One repository's ignore rules, asked through one ``git check-ignore`` that is started with the first question.

    Paths are relative to the repository. Files that are tracked are never ignored, as in Git. A repository that git
    cannot read ignores nothing, and `broken` says why.
    """

    def __init__(self, git_dir: bytes, work_tree: bytes) -> None:
        self._work_tree = work_tree
        self._env = gitcmd.environment()
        self._env_bytes = {k.encode(): v.encode("utf-8", "surrogateescape") for k, v in self._env.items()}
        self._env_bytes |= {b"GIT_DIR": git_dir, b"GIT_WORK_TREE": work_tree}
        self._process: subprocess.Popen[bytes] | None = None
        self._tracked: frozenset[bytes] | None = None
        self.broken: str | None = None

    def close(self) -> None:
        """End the git process, if one was started."""
        if self._process is not None:
            assert self._process.stdin and self._process.stdout
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
            self._process = None

    def tracked_though_ignored(self) -> frozenset[bytes]:
        """Tracked paths that the rules would ignore, and the folders that hold them."""
        if self._tracked is None:
            done = subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--ignored", "--exclude-standard"],
                cwd=self._work_tree,
                env=self._env_bytes,
                capture_output=True,
                check=False,
            )
            if done.returncode != 0:
                self.broken = (done.stderr.decode(errors="replace").strip().splitlines() or ["git failed"])[-1]
            found = set()
            for path in filter(None, done.stdout.split(b"\0")):
                while path and path not in found:
                    found.add(path)
                    path = path.rpartition(b"/")[0]
            self._tracked = frozenset(found)
        return self._tracked

    def ignored(self, paths: Iterable[bytes]) -> set[bytes]:
        """Those of ``paths`` that Git would not add."""
        asked = list(paths)
        tracked = self.tracked_though_ignored()
        if self.broken is not None:
            return set()
        found: set[bytes] = set()
        for start in range(0, len(asked), _AT_ONCE):
            found |= self._ask(asked[start : start + _AT_ONCE])
        return found - tracked

    def _ask(self, paths: list[bytes]) -> set[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                ["git", "check-ignore", "--no-index", "--verbose", "--non-matching", "-z", "--stdin"],
                cwd=self._work_tree,
                env=self._env_bytes,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        assert self._process.stdin and self._process.stdout
        try:
            # "./" keeps a name that begins with a colon from being read as a pathspec.
            self._process.stdin.write(b"".join(b"./" + path + b"\0" for path in paths))
            self._process.stdin.flush()
            fields = self._fields(4 * len(paths))
        except (BrokenPipeError, EOFError):
            self.broken = "git check-ignore ended early"
            return set()
        patterns = fields[2::4]
        return {path for path, pattern in zip(paths, patterns, strict=True) if pattern and not pattern.startswith(b"!")}

    def _fields(self, count: int) -> list[bytes]:
        assert self._process is not None and self._process.stdout is not None
        fd = self._process.stdout.fileno()
        out = b""
        while out.count(b"\0") < count:
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                raise EOFError
            out += chunk
        return out.split(b"\0")[:-1]
