"""The refs of our generation on the host: the newest snapshot, the ones to go back to, and nothing outdated."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from neuralinverse_hub import wire

from . import history, objects
from .config import Config
from .errors import RefMoved, Superseded, SyncError
from .host import NOTHING, GitHost, Update
from .pack import Pack
from .records import remember_live
from .seeds import Seed, fetch_seed
from .snapshots import generations, refuse_if_superseded

__all__ = ["Publisher"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Publisher:
    """Moves ``refs/ni/<workspace>/<generation>/…``; the only writer of the generation it was made for."""

    config: Config
    host: GitHost
    clock: Callable[[], float]
    """Seconds since 1970."""
    tree: bytes = b""
    """Root tree of the newest snapshot on the host."""
    _tip: bytes = NOTHING
    _tip_at: float = 0.0
    _segment: int | None = None
    """Which hour the chain of parents belongs to; None: the next snapshot starts a new one."""
    _refs: dict[str, bytes] = field(default_factory=dict)
    """Our refs on the host, by their name below the generation."""
    _known: bool = False

    def look(self) -> Seed | None:
        """Learn how our refs stand; what the host has, when that is not what we believed.

        Raises:
            Superseded: there are refs of a newer generation.
        """
        found = generations(self.config, self.host.refs())
        refuse_if_superseded(self.config, found)
        self._refs = dict(found.get(self.config.generation, {}))
        tip = self._refs.get("snap", NOTHING)
        if self._known and tip == self._tip:
            return None
        self._tip, self._segment, self.tree = tip, None, b""
        seed = None
        if tip != NOTHING:
            seed = fetch_seed(self.config, self.host, tip)
            self.tree, self._tip_at = seed.tree, seed.at_s
        self._known = True
        return seed

    @property
    def known(self) -> bool:
        """Whether `look` has succeeded since the last surprise."""
        return self._known

    def publish(self, tree: bytes, files: int, pack: Pack) -> None:
        """Make ``tree`` the newest snapshot; ``pack`` has its objects.

        Raises:
            RefMoved: the host's refs are not what we believed; `look` again.
            SyncError: the host did not take it.
        """
        now = self.clock()
        segment = int(now) // history.SEGMENT_S
        goes_on = self._tip != NOTHING and self._segment == segment
        facts = {"version": 1, "files": files, "folder": os.fspath(self.config.folder)}
        message = f"Snapshot of {self.config.workspace}\n\n{json.dumps(facts)}"
        commit = objects.commit(tree, [self._tip] if goes_on else [], int(now), message)
        updates = {"snap": pack.add(objects.COMMIT_TYPE, commit)}
        if not goes_on:
            if self._tip != NOTHING:
                updates |= self._keep(self._tip, self.tree, self._tip_at, pack)
            updates |= dict.fromkeys(history.outdated({**self._refs, **updates}, now), NOTHING)
        try:
            self._push(updates, pack)
        except RefMoved:
            if self.host.refs().get(f"{self.config.prefix}/snap") != updates["snap"]:
                self._known = False
                raise
            self._know(updates)  # it had arrived; only the answer was lost
        self._tip, self._tip_at, self._segment, self.tree = updates["snap"], now, segment, tree
        remember_live(self.config, self._tip)

    def adopt(self) -> None:
        """Take over the history of older generations, and clear their refs away.

        Called when a snapshot of ours is on the host. A generation that cannot be read is left alone.
        """
        everything = self.host.refs()
        for generation, names in sorted(generations(self.config, everything).items()):
            if generation >= self.config.generation:
                continue
            try:
                with Pack(self.config.private) as pack:
                    updates = {name: oid for name, oid in names.items() if history.time_of(name) is not None}
                    if "snap" in names:
                        seed = fetch_seed(self.config, self.host, names["snap"], names=False)
                        updates |= self._keep(names["snap"], seed.tree, seed.at_s, pack)
                    updates = {name: oid for name, oid in updates.items() if name not in self._refs}
                    gone = history.outdated({**self._refs, **updates}, self.clock())
                    updates = {name: oid for name, oid in updates.items() if name not in gone}
                    prefix = wire.ref_prefix(self.config.workspace, generation)
                    clear = [Update(f"{prefix}/{name}", oid, NOTHING) for name, oid in names.items()]
                    self._push(updates, pack, clear)
            except Superseded:
                raise
            except SyncError as error:
                _log.warning("the history of generation %d stays where it is: %s", generation, error)

    def _keep(self, commit: bytes, tree: bytes, at_s: float, pack: Pack) -> dict[str, bytes]:
        """Refs that keep a snapshot to go back to."""
        when = history.stamp(at_s)
        message = f"Snapshot of {self.config.workspace}"
        alone = pack.add(objects.COMMIT_TYPE, objects.commit(tree, [], int(at_s), message))
        kept = {f"recent/{when}": commit, f"at/{when}": alone}
        return {name: oid for name, oid in kept.items() if name not in self._refs}

    def _push(self, updates: dict[str, bytes], pack: Pack, more: list[Update] | None = None) -> None:
        changes = [
            Update(f"{self.config.prefix}/{name}", self._refs.get(name, NOTHING), oid)
            for name, oid in updates.items()
            if self._refs.get(name, NOTHING) != oid
        ]
        self.host.push([*changes, *(more or [])], pack)
        self._know(updates)

    def _know(self, updates: dict[str, bytes]) -> None:
        for name, oid in updates.items():
            if oid == NOTHING:
                self._refs.pop(name, None)
            else:
                self._refs[name] = oid
