"""Running git in repositories of the person's without leaving a trace, and in our own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["GitFailed", "environment", "own_environment", "run"]


class GitFailed(Exception):
    """git ended with an error; the text is the last line it wrote."""


def environment(**extra: str) -> dict[str, str]:
    """An environment in which git reads no configuration but the repository's own and ours, and writes nothing aside."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {
        "LC_ALL": "C.UTF-8",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        # A monitor configured by the person would be started, or asked, on every look.
        "GIT_CONFIG_KEY_1": "core.fsmonitor",
        "GIT_CONFIG_VALUE_1": "false",
        "GIT_CONFIG_KEY_2": "core.protectNTFS",
        "GIT_CONFIG_VALUE_2": "false",
    }
    return env | extra


def own_environment(**extra: str) -> dict[str, str]:
    """`environment` for repositories of ours: no configuration or attributes of the person or the system apply."""
    return environment(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", GIT_ATTR_NOSYSTEM="1", **extra)


def run(
    arguments: Sequence[str | bytes],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout_s: float = 600,
) -> bytes:
    """What ``git <arguments>`` writes.

    Raises:
        GitFailed: it failed, took longer than ``timeout_s``, or is not installed.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            env=dict(env or environment()),
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitFailed("git is not installed; install it and start again") from error
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git {arguments[0]!r} did not end within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(said[-1] if said else f"git {arguments[0]!r} ended with {done.returncode}")
    return done.stdout
