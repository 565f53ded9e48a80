"""Looking at one thing each. A probe returns what it saw, or None where the thing does not exist or cannot be asked."""

from __future__ import annotations

import email.utils
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuralinverse_hub import wire

__all__ = ["clock_skew_s", "git_refusal", "inotify", "scopes"]

_TIMEOUT_S = 15


def inotify(name: str, root: Path = Path("/proc/sys/fs/inotify")) -> int | None:
    """The limit of that name, as ``max_user_watches``; None where there is no inotify."""
    try:
        return int((root / name).read_text())
    except (OSError, ValueError):
        return None


def scopes(api_url: str, token: str) -> tuple[str, ...] | None:
    """What the token may do, in the hub's words; None when the hub does not answer or does not know it."""
    request = urllib.request.Request(f"{api_url.rstrip('/')}/user", headers={"Authorization": f"token {token}"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            model: dict[str, Any] = json.load(answer)
    except (OSError, ValueError):
        return None
    return tuple(model.get("scopes") or ())


def clock_skew_s(url: str) -> float | None:
    """How far our clock is ahead of that of the server at ``url``, to about a second."""
    try:
        before = time.time()
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            date = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        date = error.headers.get("Date")
    except (OSError, ValueError):
        return None
    if not date:
        return None
    return (before + time.time()) / 2 - email.utils.parsedate_to_datetime(date).timestamp()


def git_refusal(environ: Mapping[str, str]) -> str | None:
    """What the git host of this workspace said to a push below ``refs/ni``; empty when it took and showed it.

    What was pushed is deleted again. None outside a workspace.
    """
    remote = environ.get(wire.ENV_GIT_REMOTE)
    if not remote or not (environ.get(wire.ENV_GIT_TOKEN) or environ.get(wire.ENV_TOKEN)):
        return None
    ref = f"{wire.ref_prefix('doctor', time.time_ns() // 1_000_000)}/probe"
    with tempfile.TemporaryDirectory() as folder:
        git = _Git(folder, environ)
        git.run("init", "--quiet")
        git.run(
            "-c", "user.name=doctor", "-c", "user.email=doctor@localhost", "commit", "--allow-empty", "-qm", "probe"
        )
        pushed = git.run("push", remote, f"HEAD:{ref}")
        if pushed.returncode != 0:
            return _last(pushed.stderr)
        seen = git.run("ls-remote", remote, ref)
        git.run("push", remote, f":{ref}")
    if ref not in seen.stdout:
        return "it took a push there, and does not show it when it is asked for its refs"
    return ""


class _Git:
    """git in one folder, signed in as the workspace's own git is; the helper names the variables, not their values."""

    def __init__(self, folder: str, environ: Mapping[str, str]) -> None:
        self._folder = folder
        user, token = (
            environ.get(wire.ENV_GIT_USER) or "workspace",
            environ.get(wire.ENV_GIT_TOKEN) or environ[wire.ENV_TOKEN],
        )
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "DOCTOR_USER": user,
            "DOCTOR_SECRET": token,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": '!f() { test "$1" != get || printf "username=%s\\npassword=%s\\n" '
            '"$DOCTOR_USER" "$DOCTOR_SECRET"; }; f',
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-C", self._folder, *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    refused = [line for line in lines if "rejected" in line or "remote:" in line]
    return (refused or lines or ["it gave no reason"])[-1]
