"""What every workspace start has in common, wherever it runs: command, environment, generation, landing page.

A mixin over any JupyterHub spawner; it knows the hub's spawner interface and nothing of processes, pods or containers.
"""

from __future__ import annotations

import base64
import hmac
import inspect
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from traitlets import Any as AnyValue
from traitlets import Callable, Dict, HasTraits, Integer, TraitError, Unicode, default, validate

from neuralinverse_hub import wire
from spawner import form
from spawner.names import workspace_name
from spawner.refusing import saying
from spawner.sizes import DEFAULT_SIZES, BadSize, Size, find, parse_sizes

__all__ = ["GitAccounts", "WorkspaceMixin", "next_generation", "person_key"]


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


class GitAccounts(Protocol):
    """Who knows people's accounts on a git host that has accounts of its own."""

    async def grant(self, person: str, workspace: str, generation: int, running: set[str]) -> wire.GitAccess:
        """A new credential for this start; those of earlier starts are worthless afterwards."""

    async def revoke(self, person: str, workspace: str, generation: int) -> None:
        """Make the credentials of this start, and of earlier ones, worthless."""


class WorkspaceMixin(HasTraits):
    """Adds to a spawner what makes a single-user server a NeuralInverse workspace.

    Not a Spawner itself: put it before one, ``class X(WorkspaceMixin, SomeSpawner)``.
    """

    # What the spawner beside it brings.
    name: str
    user: Any
    user_options: dict[str, Any]
    handler: Any
    public_url: str
    log: Any
    orm_spawner: Any
    _ending = False

    gateway_url = Unicode(
        "", help="Base URL of the AI gateway as a workspace reaches it, ending in ``/v1``. Empty: no AI."
    ).tag(config=True)
    git_url = Unicode(
        "", help="Base URL of the Git host as a workspace reaches it. Empty: saved work is not kept in Git."
    ).tag(config=True)

    git_mirror = Unicode(
        "",
        help="""
        Base URL of a mirror of the Git host near this hub, as a workspace reaches it, which takes the same credentials:
        restores fetch from there what it has. Empty: there is none.
        """,
    ).tag(config=True)

    git_accounts = AnyValue(
        None,
        allow_none=True,
        help="""
        A `GitAccounts`, for a Git host with accounts of its own, as Gitea: asked for a credential at each start, which is
        given up when the workspace stops. ``configure(c)`` sets it; a workspace then ignores ``git_url``.
        """,
    ).tag(config=True)

    recorder = AnyValue(
        None,
        allow_none=True,
        help="A `spawner.recorder.Recorder`, told of every start and end. ``configure(c)`` sets it.",
    ).tag(config=True)
    _ran_since: datetime | None = None
    _seen_running = False

    sync_secret_file = Unicode(
        "",
        help="""
        File with the secret that every person's own key is derived from. Files that must not lie on the Git host in
        clear, such as ``.env``, are encrypted with that key; without the file they are not kept. Losing it loses them.
        """,
    ).tag(config=True)

    sizes = Dict(
        help="""
        What people choose from: a name and its ``cpu``, ``memory`` (``"4G"`` is 4 GiB), ``usd_per_hour``, and where it has
        them ``gpu``, ``gpu_resource`` (default ``nvidia.com/gpu``), ``extra_resources`` and ``description``. The first one
        is the default. CPU and memory are reserved for the workspace and are all that it gets. With ``{}`` the spawner's
        own limits and guarantees hold, and nobody is asked.
        """,
    ).tag(config=True)

    size_name = Unicode("", help="The size of this start, or of the last one; empty before the first.")
    title = Unicode("", help="What the person calls the workspace; empty: by its name.")

    _own_resources = Dict(help="Further resources as configured, before a size added its own.")

    generation_source: Any = Callable(
        None,
        allow_none=True,
        help="""
        Where there are several regions: ``async (person, workspace, previous, now_ms) -> generation``, newer than any
        that another region gave; raises when the workspace may not start here. None: this hub's clock is enough.
        """,
    ).tag(config=True)
    is_superseded: Any = Callable(
        None,
        allow_none=True,
        help="""
        ``async (person, workspace, generation) -> bool``: whether the workspace was started elsewhere since, so that
        what runs here has to end. Asked with every poll.
        """,
    ).tag(config=True)

    generation = Integer(0, help="Grows with every start; what a stale workspace pushes is refused by it.")
    _git_access: wire.GitAccess | None = None

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return [sys.executable, "-m", "neuralinverse_hub.workspace"]

    @default("default_url")
    def _default_default_url(self) -> str:
        return "/vscode/"

    @default("sizes")
    def _default_sizes(self) -> dict[str, Any]:
        return DEFAULT_SIZES

    @validate("sizes")
    def _check_sizes(self, proposal: Any) -> dict[str, Any]:
        try:
            parse_sizes(proposal["value"])
        except BadSize as error:
            raise TraitError(str(error)) from error
        return dict(proposal["value"])

    @default("options_form")
    def _default_options_form(self) -> Any:
        # A profile list is KubeSpawner's way of asking; whoever wrote one keeps its form.
        if getattr(self, "profile_list", None):
            return super()._options_form_default()  # type: ignore[misc]  # the spawner's
        return type(self)._size_form if len(self.sizes) > 1 else ""

    @default("options_from_form")
    def _default_options_from_form(self) -> Any:
        if getattr(self, "profile_list", None):
            return super()._options_from_form_default()  # type: ignore[misc]  # the spawner's
        return form.chosen

    @default("apply_user_options")
    def _default_apply_user_options(self) -> Any:
        # From JupyterHub 5.3 on the hub warns of options that nobody takes. The size is taken in `choose_size`, where that of
        # the last start, or the first one, stands in for it; a profile is KubeSpawner's own business.
        return lambda _spawner, _options: None

    def _size_form(self) -> str:
        """The cards to choose from; nothing when the person has chosen before and did not ask to choose again."""
        sizes = parse_sizes(self.sizes)
        asked = self.handler is not None and self.handler.get_argument(form.CHOOSE, None) is not None
        if self.size_name in sizes and not asked:
            return ""
        return form.cards(sizes, self.size_name or next(iter(sizes)))

    def choose_size(self) -> Size | None:
        """The size that was asked for with this start, else the one of the last start, else the first one.

        Raises `spawner.sizes.UnknownSize` when one was asked for that is not offered.
        """
        sizes = parse_sizes(self.sizes)
        if not sizes:
            return None
        if asked := self.user_options.get("size"):
            return find(sizes, asked)
        if self.size_name and self.size_name not in sizes:
            self.log.info("Size %s of %s is no longer offered", self.size_name, self.user.name)
        return sizes.get(self.size_name) or next(iter(sizes.values()))

    def apply_size(self, size: Size) -> None:
        """Reserve ``size`` for this start, and limit it to that."""
        self.size_name = size.name
        # Whole CPUs as whole numbers, or a node does not pin them.
        cpu = int(size.cpu) if size.cpu == size.cpu.to_integral_value() else float(size.cpu)
        self.cpu_limit = self.cpu_guarantee = cpu
        self.mem_limit = self.mem_guarantee = size.memory_bytes
        for name in ("extra_resource_limits", "extra_resource_guarantees"):
            if self.has_trait(name):
                own = self._own_resources.setdefault(name, getattr(self, name))
                setattr(self, name, {**own, **size.resources})

    def folders(self) -> tuple[str, str]:
        """(folder the person works in, our private folder) as the workspace sees them."""
        raise NotImplementedError

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = super().get_env()  # type: ignore[misc]  # the spawner's
        env.update(self.workspace_environment())
        return env

    def workspace_environment(self) -> dict[str, str]:
        """The part of the environment that is ours. Secret in it: the person's own key, and this start's credential."""
        folder, state = self.folders()
        env = {
            wire.ENV_WORKSPACE: workspace_name(self.name),
            wire.ENV_GENERATION: str(self.generation),
            wire.ENV_FOLDER: folder,
            wire.ENV_STATE: state,
        }
        if self.gateway_url:
            env[wire.ENV_GATEWAY_URL] = self.gateway_url
        if self._git_access:
            env[wire.ENV_GIT_REMOTE] = self._git_access.remote
            env[wire.ENV_GIT_USER] = self._git_access.user
            env[wire.ENV_GIT_TOKEN] = self._git_access.token
        elif self.git_url:
            owner = quote(self.user.name, safe="")
            env[wire.ENV_GIT_REMOTE] = f"{self.git_url.rstrip('/')}/{owner}/{wire.WORKSPACE_REPOSITORY}.git"
        if wire.ENV_GIT_REMOTE in env and self.git_mirror:
            owner, repository = env[wire.ENV_GIT_REMOTE].rsplit("/", 2)[1:]
            env[wire.ENV_GIT_MIRROR] = f"{self.git_mirror.rstrip('/')}/{owner}/{repository}"
        if wire.ENV_GIT_REMOTE in env and self.sync_secret_file:
            env[wire.ENV_SYNC_KEY] = person_key(Path(self.sync_secret_file).read_bytes(), self.user.name)
        if self.public_url:
            env[wire.ENV_LAB_URL] = f"{self.public_url.rstrip('/')}/lab"
        return env

    async def start(self) -> Any:
        """Raises `spawner.refusing.Refused` where there are words for the person."""
        with saying():
            return await self._begin()

    async def _begin(self) -> Any:
        if (size := self.choose_size()) is not None:
            self.apply_size(size)
        now_ms = time.time_ns() // 1_000_000
        if self.generation_source is None:
            self.generation = next_generation(self.generation, now_ms)
        else:
            names = self.user.name, workspace_name(self.name)
            self.generation = await self.generation_source(*names, self.generation, now_ms)
        await self.renew_git_access()
        self._ran_since, self._seen_running = getattr(self.orm_spawner, "started", None), True
        await self._record()
        return await super().start()  # type: ignore[misc]  # the spawner's

    async def poll(self) -> int | None:
        """None while it runs; one that was started elsewhere since is ended here and counts as ended."""
        code: int | None = await super().poll()  # type: ignore[misc]  # the spawner's
        self._seen_running = self._seen_running or code is None
        if code is not None or self.is_superseded is None or self._ending:
            return code
        if not await self.is_superseded(self.user.name, workspace_name(self.name), self.generation):
            return None
        # Ending polls too.
        self._ending = True
        try:
            await self.stop(now=False)
        finally:
            self._ending = False
        return 0

    async def stop(self, now: bool = False) -> None:
        await super().stop(now=now)  # type: ignore[misc]  # the spawner's
        await self._give_up_git_access()

    async def run_post_stop_hook(self) -> None:
        # Also after a workspace that ended by itself, which nobody calls stop() for.
        if self._seen_running:
            await self._record(datetime.now(UTC))
        # Else it ended while the hub was down: when, only the ledger's service knows, by when the hub last said it ran.
        self._ran_since, self._seen_running = None, False
        result = super().run_post_stop_hook()  # type: ignore[misc]  # the spawner's
        if inspect.isawaitable(result):
            await result

    async def _record(self, ended: datetime | None = None) -> None:
        if self.recorder is not None and self._ran_since is not None:
            await self.recorder.record(
                self.user.name, self.name, self._ran_since, ended, self.size_name, self.generation
            )

    async def renew_git_access(self) -> wire.GitAccess | None:
        """A new credential for this start, in place of the one it may have; None where the git host has none of its own.

        Raises what `GitAccounts.grant` does; the hub shows its ``jupyterhub_message`` to the person.
        """
        if self.git_accounts is not None:
            running = {workspace_name(name) for name, other in self.user.spawners.items() if other.active}
            self._git_access = await self.git_accounts.grant(
                self.user.name, workspace_name(self.name), self.generation, running
            )
        return self._git_access

    async def _give_up_git_access(self) -> None:
        if self.git_accounts is None:
            return
        self._git_access = None
        try:
            await self.git_accounts.revoke(self.user.name, workspace_name(self.name), self.generation)
        except Exception:
            # The workspace has stopped all the same; its next start takes the credential away.
            self.log.exception("The Git host still has a credential of a workspace of %s", self.user.name)

    # Generation, size and title outlive a stop: the hub stores what get_state returns after clear_state.

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()  # type: ignore[misc]  # the spawner's
        state["generation"] = self.generation
        state["size"] = self.size_name
        state["title"] = self.title
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]  # the spawner's
        self.generation = int(state.get("generation", 0))
        self.size_name = str(state.get("size", ""))
        self.title = str(state.get("title", ""))
        self._ran_since = getattr(self.orm_spawner, "started", None)
