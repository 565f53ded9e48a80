"""A mirror: copies of people's repositories on the primary git host, near the people who work here.

Guarantees, each with a test:

- nothing is ever written to the primary, and nobody but the primary writes to a copy;
- who asks for a repository waits for the primary a few seconds at most, and then gets what is here;
- a repository is copied once at a time, however many ask for it; a few are copied at a time;
- a copy that is damaged is thrown away and made anew as soon as that is noticed, and never while the primary is away;
- a copy appears under its name when it is whole.

Knows nothing of who may read: that has been decided before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from . import git
from .copies import ASKED, CHECKED, KEEP_S, Copy, care, copies, is_there, mark, way, when
from .errors import GitHostError, NoSuchRepository, PrimaryAway
from .primary import Primary, refs_in
from .repositories import MAKING, Repositories

__all__ = ["SETTINGS", "Follower"]

SETTINGS: Final = {"http.receivepack": "false"}
"""Git's settings of a copy: the host refuses pushes, and so does git itself."""

_log = logging.getLogger(__name__)
_GONE: Final = ".gone-"
_DISCARDED: Final = ".discarded-"


class Follower:
    """Copies of the repositories of ``primary``, in ``repositories``.

    ``every_s`` is the pause between two rounds in the background, give or take a quarter; ``patience_s`` how long somebody who
    asks waits for the primary. ``clock`` is Unix time in seconds.
    """

    def __init__(
        self,
        repositories: Repositories,
        primary: Primary,
        *,
        every_s: float = 60.0,
        patience_s: float = 3.0,
        fresh_s: float = 5.0,
        at_a_time: int = 8,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._repositories = repositories
        self.primary = primary
        self._every_s = every_s
        self._patience_s = patience_s
        self._fresh_s = fresh_s
        self._clock = clock
        self._turns = asyncio.Semaphore(at_a_time)
        # Reading all of a large repository takes long, and takes nobody's turn.
        self._checks = asyncio.Semaphore(1)
        self._bringing: dict[Path, asyncio.Task[None]] = {}
        self._brought: dict[Path, float] = {}
        self._away = False
        self._away_until = 0.0
        self._doubted: dict[Path, float] = {}
        self._task: asyncio.Task[None] | None = None

    # -- asking ----------------------------------------------------------------------------------------------------

    async def open(self, person: str, name: str) -> Path:
        """The copy of the person's repository, as fresh as the primary can make it in a few seconds.

        Raises:
            NoSuchRepository: no possible name, or the primary has no such repository.
            PrimaryAway: there is no copy, and there can be none now.
        """
        path = self._repositories.path(person, name)
        now = time.monotonic()
        trouble: GitHostError | None = None
        # A moment ago is fresh enough: whoever restores compares with the primary anyway.
        if now >= self._away_until and self._brought.get(path, -self._fresh_s) + self._fresh_s <= now:
            task = self._bring(person, name)
            await asyncio.wait({task}, timeout=self._patience_s)
            if task.done() and not task.cancelled() and isinstance(error := task.exception(), GitHostError):
                trouble = error
        if isinstance(trouble, NoSuchRepository):
            raise trouble
        if not is_there(path):
            raise PrimaryAway(
                f"There is no copy of this repository here yet: {trouble or 'it is being made'}. "
                f"The primary is {self.primary.address(person, name)}."
            )
        with contextlib.suppress(OSError):
            mark(path / ASKED, self._clock())
        return path

    def held(self, person: str, name: str) -> Path:
        """The copy as it is, for whoever was told a moment ago what it has.

        Raises:
            NoSuchRepository: there is none.
        """
        path = self._repositories.path(person, name)
        if not is_there(path):
            raise NoSuchRepository(f"There is no copy of this repository here; ask {self.primary.url}.")
        return path

    def doubt(self, person: str, name: str) -> None:
        """Git could not give what was asked of this copy: look whether it is damaged, in the background."""
        path = self._repositories.path(person, name)
        now = time.monotonic()
        # Asking for what nobody has fails too, and costs no more than one look a minute.
        if self._doubted.get(path, now) <= now:
            self._doubted[path] = now + 60
            self._bring(person, name, check=True)

    def refusal(self, person: str, name: str) -> str:
        """What somebody is told who wants to push here."""
        return (
            "This Git host is a copy for reading and takes no pushes; push to the primary, "
            f"{self.primary.address(person, name)}."
        )

    # -- in the background -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to keep copies fresh. What a kill left half made is removed."""
        for home in self._repositories.root.iterdir():
            if home.is_dir() and not home.name.startswith("."):
                for left in (*home.glob(f"{MAKING}*"), *home.glob(f"{_DISCARDED}*")):
                    shutil.rmtree(left, ignore_errors=True)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End what is under way; a copy that is cut short is made another time."""
        tasks = [task for task in (self._task, *self._bringing.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.primary.close()

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except PrimaryAway:
                pass  # said where it was noticed
            except Exception:
                # Copies are served all the same; the next round tries again.
                _log.exception("copies could not be kept fresh")
            await asyncio.sleep(self._every_s * random.uniform(0.75, 1.25))

    async def round(self) -> None:
        """Look after every copy once, a few at a time.

        Raises:
            PrimaryAway: it does not answer, so that nothing can be done now.
        """
        found = await asyncio.to_thread(lambda: list(copies(self._repositories.root, self._clock())))
        await asyncio.to_thread(self._sweep)
        todo = iter([(copy, what) for copy in found if (what := care(copy)) != "leave"])

        async def work() -> None:
            for copy, what in todo:
                if what == "forget":
                    await self._forget(copy)
                    continue
                try:
                    # Somebody else may wait for the same one: it goes on when this round ends early.
                    await asyncio.shield(self._bring(copy.person, copy.name, check=what == "check"))
                except PrimaryAway:
                    raise
                except GitHostError as error:
                    _log.warning("the copy of %s of %s: %s", copy.name, copy.person, error)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _forget(self, copy: Copy) -> None:
        path = self._repositories.path(copy.person, copy.name)
        if path not in self._bringing:
            _log.info("nobody asked for %s of %s for long; its copy is removed", copy.name, copy.person)
            self._brought.pop(path, None)
            discarded = path.with_name(f"{_DISCARDED}{path.name}")
            path.rename(discarded)
            await asyncio.to_thread(shutil.rmtree, discarded, True)

    def _sweep(self) -> None:
        """Remove for good what the primary has not had for long."""
        for left in self._repositories.root.glob(f"[!.]*/{_GONE}*"):
            if self._clock() - when(left) > KEEP_S:
                shutil.rmtree(left, ignore_errors=True)

    # -- copying ---------------------------------------------------------------------------------------------------

    def _bring(self, person: str, name: str, *, check: bool = False) -> asyncio.Task[None]:
        """The task that makes the copy be as the primary is; the one that is under way, if there is one."""
        path = self._repositories.path(person, name)
        task = self._bringing.get(path)
        if task is None:
            task = self._bringing[path] = asyncio.create_task(self._update(person, name, path, check))
            task.add_done_callback(lambda done: self._is_brought(path, done))
        return task

    def _is_brought(self, path: Path, done: asyncio.Task[None]) -> None:
        self._bringing.pop(path, None)
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._brought[path] = time.monotonic()
        elif not isinstance(error, GitHostError):
            _log.error("a copy could not be made", exc_info=error)

    async def _update(self, person: str, name: str, path: Path, check: bool) -> None:
        usable = is_there(path) and (not check or await self._is_sound(path))
        async with self._turns:
            there = await self._ask(person, name, path)
            match way(await refs_in(path) if usable else None, there):
                case "build":
                    await self._build(person, name, path)
                case "fetch":
                    try:
                        await self.primary.fetch(person, name, path)
                    except GitHostError as error:
                        # Either the primary went away meanwhile, and this raises; or the copy is what is wrong.
                        await self._ask(person, name, path)
                        _log.warning("the copy of %s of %s is made anew: %s", name, person, error)
                        await self._build(person, name, path)
                    self._repositories.pushed(path)

    async def _ask(self, person: str, name: str, path: Path) -> dict[str, str]:
        try:
            there = await self.primary.refs(person, name)
        except PrimaryAway as error:
            if not self._away:
                _log.warning("copies stay as they are: %s", error)
            # Others who ask in the next seconds need not wait to learn the same.
            self._away, self._away_until = True, time.monotonic() + self._fresh_s
            raise
        except NoSuchRepository:
            if is_there(path):
                _log.warning("the primary has no %s of %s any more; its copy is put aside", name, person)
                self._put_aside(path)
            raise
        if self._away:
            _log.warning("the primary answers again")
        self._away, self._away_until = False, 0.0
        return there

    async def _is_sound(self, path: Path) -> bool:
        """Whether everything in the copy is as it should be; reads all of it."""
        try:
            async with self._checks:
                await git.run("fsck", "--no-dangling", "--no-progress", git_dir=path, nice=True, within_s=3600)
        except GitHostError as error:
            _log.warning("the copy %s is damaged and made anew: %s", path, error)
            return False
        mark(path / CHECKED, self._clock())
        return True

    async def _build(self, person: str, name: str, path: Path) -> None:
        async with self._repositories.blank(path) as aside:
            await self.primary.fetch(person, name, aside)
            discarded = self._put_in_place(aside, path)
        await asyncio.to_thread(shutil.rmtree, discarded, True)

    def _put_in_place(self, aside: Path, path: Path) -> Path:
        """Let what was made ``aside`` be the copy; where the one that it replaces is now, if there was one."""
        # Every object was checked on its way in.
        mark(aside / CHECKED, self._clock())
        mark(aside / ASKED, when(path / ASKED) or self._clock())
        discarded = path.with_name(f"{_DISCARDED}{aside.name.removeprefix(MAKING)}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(discarded)
        aside.rename(path)
        return discarded

    def _put_aside(self, path: Path) -> None:
        # Not removed at once: a primary that came up without its disk says so of everybody's.
        gone = path.with_name(f"{_GONE}{path.name}-{int(self._clock())}")
        path.rename(gone)
        mark(gone, self._clock())
