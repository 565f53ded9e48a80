"""What every workspace start has in common, wherever it runs: command, environment, generation, landing page.

A mixin over any JupyterHub spawner; it knows the hub's spawner interface and nothing of processes, pods or containers.
"""

from __future__ import annotations

import base64
import hmac
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from traitlets import HasTraits, Integer, Unicode, default

from neuralinverse_hub import wire
from spawner.names import workspace_name

__all__ = ["WorkspaceMixin", "next_generation", "person_key"]


def next_generation(previous: int, now_ms: int) -> int:
    """A generation newer than ``previous``, even when the clock went back or the hub forgot ``previous``.

    Milliseconds since the epoch, so that a hub that lost its database still issues newer ones than before.
    """
    return max(previous + 1, now_ms)


def person_key(secret: bytes, person: str) -> str:
    """The person's key for private files: 32 bytes in base64, HMAC-SHA256 of their name under the hub's secret.

    The same at every start, whatever the workspace; from one person's key neither the secret nor another key follows.
    """
    return base64.b64encode(hmac.digest(secret, b"neuralinverse-sync-key:" + person.encode(), "sha256")).decode()


class WorkspaceMixin(HasTraits):
    """Adds to a spawner what makes a single-user server a NeuralInverse workspace.

    Not a Spawner itself: put it before one, ``class X(WorkspaceMixin, SomeSpawner)``.
    """

    # What the spawner beside it brings.
    name: str
    user: Any
    public_url: str

    gateway_url = Unicode(
        "", help="Base URL of the AI gateway as a workspace reaches it, ending in ``/v1``. Empty: no AI."
    ).tag(config=True)
    git_url = Unicode(
        "", help="Base URL of the Git host as a workspace reaches it. Empty: saved work is not kept in Git."
    ).tag(config=True)

    sync_secret_file = Unicode(
        "",
        help="""
        File with the secret that every person's own key is derived from. Files that must not lie on the Git host in
        clear, such as ``.env``, are encrypted with that key; without the file they are not kept. Losing it loses them.
        """,
    ).tag(config=True)

    generation = Integer(0, help="Grows with every start; what a stale workspace pushes is refused by it.")

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return [sys.executable, "-m", "neuralinverse_hub.workspace"]

    @default("default_url")
    def _default_default_url(self) -> str:
        return "/vscode/"

    def folders(self) -> tuple[str, str]:
        """(folder the person works in, our private folder) as the workspace sees them."""
        raise NotImplementedError

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = super().get_env()  # type: ignore[misc]  # the spawner's
        env.update(self.workspace_environment())
        return env

    def workspace_environment(self) -> dict[str, str]:
        """The part of the environment that is ours. The person's own key is the one secret in it."""
        folder, state = self.folders()
        env = {
            wire.ENV_WORKSPACE: workspace_name(self.name),
            wire.ENV_GENERATION: str(self.generation),
            wire.ENV_FOLDER: folder,
            wire.ENV_STATE: state,
        }
        if self.gateway_url:
            env[wire.ENV_GATEWAY_URL] = self.gateway_url
        if self.git_url:
            owner = quote(self.user.name, safe="")
            if self.sync_secret_file:
                env[wire.ENV_SYNC_KEY] = person_key(Path(self.sync_secret_file).read_bytes(), self.user.name)
            env[wire.ENV_GIT_REMOTE] = f"{self.git_url.rstrip('/')}/{owner}/{wire.WORKSPACE_REPOSITORY}.git"
        if self.public_url:
            env[wire.ENV_LAB_URL] = f"{self.public_url.rstrip('/')}/lab"
        return env

    async def start(self) -> Any:
        self.generation = next_generation(self.generation, time.time_ns() // 1_000_000)
        return await super().start()  # type: ignore[misc]  # the spawner's

    # The generation outlives a stop: the hub stores what get_state returns after clear_state.

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]  # the spawner's
        state["generation"] = self.generation
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]  # the spawner's
        self.generation = int(state.get("generation", 0))
