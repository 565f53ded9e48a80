"""The sync daemon: what is saved in the folder is on the git host a moment later.

One thread, one loop: wait for the watcher, let a burst of writes settle, look at what changed, push. While the host is
away nothing is queued but the names of what changed; the content waits where it is, in the person's files.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable
from typing import Final

from .asking import Asked
from .config import Config
from .endpoint import StatusEndpoint
from .errors import HostAway, RefMoved, Superseded, SyncError
from .host import GitHost
from .pacing import QUIET_S, Burst, Deletion, Retry
from .pack import Pack
from .private import HOME, VSCODE, WORK, Private
from .publishing import Publisher
from .records import is_whole, restore_of
from .restoring import Restored, places, restore_now
from .seeds import load_seed
from .status import StatusFile
from .watch import Changes, NoMoreWatches, Watcher
from .worktree import Unsettled, Worktree

__all__ = ["Daemon"]

_log = logging.getLogger(__name__)

FULL_SCAN_S: Final = 300.0
"""Everything is looked at again this often, whatever the watcher has said."""
HEARTBEAT_S: Final = 10.0
_LOCK_PATIENCE_S: Final = 1.0


class Daemon:
    """Protects one folder until it is told to stop. `run` returns the exit code: 0 all is on the host, 3 not all."""

    def __init__(
        self, config: Config, *, tell: Callable[[Restored], None] | None = None, full_scan_s: float = FULL_SCAN_S
    ) -> None:
        """``tell`` is called once, when the folder may be used: it is restored, or waits here whole for its host."""
        self._config = config
        self._tell = tell
        self._full_scan_s = full_scan_s
        self._host = GitHost(config.remote, config.credentials)
        self._endpoint = StatusEndpoint(config.state)
        self._status = StatusFile(config.state, config.generation)
        self._watcher: Watcher | None = None
        self._worktree = Worktree(os.fsencode(config.folder))
        self._changes: Changes | None = None
        """What to look at next; None: everything."""
        self._publisher = Publisher(config, self._host, time.time)
        where = places(config)
        self._private = Private(where[WORK], where[HOME], where[VSCODE], config.sealer())
        self._adopted = False
        self._protected_at: float | None = None
        self._error: str | None = None
        self._why_no_watcher: str | None = None
        self._stale = ""
        """How old what was restored is, where the git host may have had something newer."""
        self._took_s = 0.0
        """How long the last snapshot and push took."""
        self._burst = Burst()
        self._retry = Retry()
        self._deletion = Deletion()
        self._scan_at = 0.0
        self._superseded = False
        self._asked = Asked(self._give_up)

    # -- life ------------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Restore if need be, then protect until SIGTERM or SIGINT."""
        self._config.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._config.private / "daemon.pid").open("a+") as alone:
            try:
                fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SyncError(f"Another sync daemon already protects {self._config.folder}.") from None
            self._asked.listen()
            alone.truncate(0)
            alone.write(f"{os.getpid()}\n")
            alone.flush()
            self._endpoint.open()
            if not self._restore():
                return 3
            self._begin()
            while not self._asked.to_end:
                self._turn()
            try:
                return self._finish()
            finally:
                self._endpoint.close()

    def _give_up(self) -> None:
        self._error = f"The workspace ended before everything was on the git host: {self._error or 'it took too long'}"
        self._say("stopped")
        os._exit(3)

    def _restore(self) -> bool:
        while not self._asked.to_end:
            self._say("restoring")
            try:
                result = restore_now(self._config, self._host)
            except SyncError as error:
                self._failed(error)
                # A folder that is still here is not being restored; it only waits for its host.
                whole = is_whole(self._config)
                self._say("behind" if whole else "restoring")
                if whole:
                    note = f"The folder is as an earlier start left it; the git host could not be asked: {error}"
                    self._may_be_used(Restored(False, 0, None, 0.0, note))
                if isinstance(error, Superseded):
                    self._superseded = True
                    return False
                self._asked.sleep(self._retry.at - time.monotonic())
                continue
            _log.info("restore: %s", result.note)
            self._may_be_used(result)
            self._retry.worked()
            self._error = None
            return True
        self._say("stopped")
        return False

    def _may_be_used(self, result: Restored) -> None:
        if self._tell is not None:
            self._tell(result)
            self._tell = None

    def _begin(self) -> None:
        try:
            self._watcher = Watcher(os.fsencode(self._config.folder))
        except NoMoreWatches as error:
            self._without_watcher(error)
        self._stale = str(restore_of(self._config).get("stale", ""))
        self._worktree.watcher = self._watcher
        seed = load_seed(self._config)
        if seed is not None and self._worktree.seed(seed.entries, seed.tree):
            _log.info("started from the restored snapshot, %d files", self._worktree.files)
        self._say("saving")

    def _finish(self) -> int:
        while not self._superseded:
            drained_at = time.time()
            self._drain()
            if self._cycle(drained_at, final=True):
                self._say("stopped")
                return 0
            left = self._asked.end_by - time.monotonic()
            if left <= 0 or not self._config.folder.is_dir():
                break
            time.sleep(min(0.5, left))
        why = self._error or "time was up"
        self._error = f"The workspace ended before everything was on the git host: {why}"
        self._say("stopped")
        return 3

    # -- one turn --------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        now = time.monotonic()
        if self._something_to_do() and now >= self._retry.at:
            self._settle()
            self._asked.to_flush = False
            drained_at = time.time()
            self._drain()
            self._cycle(drained_at)
            return
        if now >= self._scan_at and self._scan_at:
            self._changes = None
            return
        until = [HEARTBEAT_S]
        if self._something_to_do():
            until.append(self._retry.at - now)
        if self._scan_at:
            until.append(self._scan_at - now)
        asked_at = time.time()
        if not self._wait(min(until)) and not self._something_to_do():
            self._idle(asked_at)
        self._drain()
        if self._asked.to_flush and self._changes is not None and not self._superseded:
            self._retry.at = 0.0
            drained_at = time.time()
            self._drain()
            self._asked.to_flush = False
            self._cycle(drained_at)
        elif not self._something_to_do():
            self._say_how_it_is()

    def _idle(self, since: float) -> None:
        """Nothing has changed in the folder for a while."""
        if self._superseded or not self._publisher.known:
            return
        if self._private.changed(self._worktree.ignored_paths()):
            self._cycle(time.time())
        elif self._protected_at is not None and self._watcher is not None:
            self._protected_at = max(self._protected_at, since)
        if not self._adopted:
            self._adopted = True
            try:
                self._publisher.adopt()
            except SyncError as error:
                self._superseded = isinstance(error, Superseded)
                self._failed(error)

    def _something_to_do(self) -> bool:
        if self._superseded:
            return False
        return self._changes is None or bool(self._changes) or bool(self._worktree.unsent) or self._retry.failures > 0

    def _wait(self, timeout_s: float) -> bool:
        if self._watcher is not None:
            changed = self._watcher.wait(timeout_s, self._asked.fileno())
            self._asked.heard()
            return changed
        self._asked.sleep(timeout_s)
        return False

    def _drain(self) -> None:
        if self._watcher is None:
            return
        changes: Changes = {} if self._changes is None else self._changes
        if not self._watcher.drain(changes):
            _log.warning("the kernel lost events; looking at everything")
            self._changes = None

    def _settle(self) -> None:
        """Wait for a burst of writes to end, and for a Git command at work."""
        if self._watcher is None or self._changes is None or self._asked.to_flush:
            return
        end = self._burst.begins(time.monotonic(), self._took_s)
        while not self._asked.to_end and not self._asked.to_flush:
            left = end - time.monotonic()
            if left <= 0 or not self._wait(min(QUIET_S, left)):
                break
            self._drain()
        self._burst.ended(time.monotonic())
        end = time.monotonic() + _LOCK_PATIENCE_S
        while self._worktree.locked() and time.monotonic() < end and not self._asked.to_end:
            self._wait(0.05)
            self._drain()

    # -- snapshot and push -----------------------------------------------------------------------------------------

    def _cycle(self, drained_at: float, *, final: bool = False) -> bool:
        """One snapshot, pushed if it holds anything new; whether the host has everything now."""
        config = self._config
        changes = self._changes
        files_before = self._worktree.files
        started = time.monotonic()
        try:
            with Pack(config.private) as pack:
                if self._retry.failures or not self._publisher.known:
                    self._look_at_host()
                    changes = self._changes
                began = time.monotonic()
                self._worktree.update(changes, pack)
                self._changes = {}
                private = self._private.update(self._worktree.ignored_paths(), pack)
                tree = self._worktree.root_tree([(b"sealed", private)] if private else [], pack)
                if changes is None:
                    took = time.monotonic() - began
                    wait_s = self._full_scan_s if self._watcher is not None else max(2.0, 20 * took)
                    self._scan_at = time.monotonic() + wait_s
                if self._must_hold(files_before, final=final):
                    return False
                if tree != self._publisher.tree:
                    self._publisher.publish(tree, self._worktree.files, pack)
            self._worktree.arrived()
            self._private.arrived()
        except NoMoreWatches as error:
            self._without_watcher(error)
            self._changes = None
            return False
        except Unsettled as error:
            _log.info("%s was changing; looking again", error)
            self._retry.at = time.monotonic() + 0.1
            if self._changes is None or changes is None:
                self._changes = None
            return False
        except FileNotFoundError:
            self._failed(SyncError(f"The folder {config.folder} is gone; the git host keeps what was in it."))
            self._changes = None
            self._say_how_it_is()
            return False
        except OSError as error:
            self._failed(SyncError(f"A snapshot could not be made: {error.strerror}; trying again."))
            self._changes = None
            self._say_how_it_is()
            return False
        except SyncError as error:
            self._superseded = isinstance(error, Superseded)
            self._failed(error)
            self._say_how_it_is()
            return False
        self._retry.worked()
        self._error = None
        self._protected_at = drained_at
        self._took_s = time.monotonic() - started
        self._say_how_it_is()
        return True

    def _look_at_host(self) -> None:
        """At the start, and whenever a push may or may not have arrived."""
        seed = self._publisher.look()
        if seed is not None:
            # Another process of this generation got further than we know: go on from there.
            self._worktree = Worktree(os.fsencode(self._config.folder), self._watcher)
            self._worktree.seed(seed.entries, seed.tree)
            self._changes = None

    def _must_hold(self, files_before: int, *, final: bool) -> bool:
        """Whether this snapshot must not be pushed yet, because files are perhaps being deleted under us."""
        files = self._worktree.files
        if self._asked.orphaned and files < files_before:
            # Our workspace was killed and its folder is perhaps being deleted: no snapshot forgets anything now.
            self._error = "The workspace was killed while files were being deleted."
            return True
        until = self._deletion.doubted_until(time.monotonic(), files_before, files, final=final)
        if until is None:
            return False
        self._retry.put_off(until)
        self._error = "Most files were deleted; the git host keeps them until it is clear that this is meant."
        self._say_how_it_is()
        return True

    # -- when it does not work -------------------------------------------------------------------------------------

    def _failed(self, error: SyncError) -> None:
        wait_s = self._retry.failed(time.monotonic(), at_once=isinstance(error, RefMoved))
        self._error = str(error)
        if isinstance(error, HostAway):
            self._error += " Your files are safe here and will be saved there as soon as it is back."
        _log.warning("%s; next try in %.1f s", error, wait_s)

    def _without_watcher(self, error: NoMoreWatches) -> None:
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = self._worktree.watcher = None
        self._why_no_watcher = (
            f"This computer cannot watch all files ({error}); they are looked at regularly instead, "
            "so saving takes some seconds longer."
        )
        _log.warning("%s", self._why_no_watcher)

    def _say_how_it_is(self) -> None:
        if self._superseded:
            self._say("stopped")
        elif self._retry.failures:
            self._say("behind")
        else:
            self._say("protected" if not self._changes and not self._worktree.unsent else "saving")

    def _say(self, state: str) -> None:
        changes = self._changes
        waiting = len(self._worktree.unsent | {p + b"/" + n for p, ns in (changes or {}).items() for n in ns})
        if changes is None:
            waiting = -1
        elif self._retry.failures:
            waiting = max(1, waiting)
        self._status.write(
            state,  # type: ignore[arg-type]  # one of the literals, chosen above
            now_s=time.time(),
            protected_at_s=self._protected_at,
            pending=waiting,
            not_protected=sorted({**self._worktree.not_protected(), **self._private.not_kept}.items()),
            error=" ".join(filter(None, (self._error or self._why_no_watcher, self._stale))) or None,
        )
