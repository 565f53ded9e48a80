"""A second place that snapshots can be fetched from: a mirror of the git host, near the workspace, perhaps behind.

Nothing is ever written to it. A mirror that has the very snapshot that the git host names gives it in the host's place.
When the host itself does not answer, what the mirror has is better than nothing, and the person is told how old it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from .config import Config
from .errors import HostAway, SyncError
from .host import GitHost
from .snapshots import Snapshot, generations, newest_first, refuse_if_superseded

__all__ = ["Mirror"]

_log = logging.getLogger(__name__)
_PATIENCE_S: Final = (1.0, 2.0, 4.0)
"""How long to wait between tries before the mirror speaks for a host that does not answer."""


class Mirror:
    """The mirror that ``config`` names, if any, for one restore."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._host = GitHost(config.mirror, config.credentials) if config.mirror else None
        self._refs: dict[str, bytes] | None = None
        self.alone = False
        """Whether the git host does not answer, so that the mirror is all there is."""

    def close(self) -> None:
        """Close the connection."""
        if self._host is not None:
            self._host.close()

    def refs(self, host: GitHost, *, claim: Callable[[], None]) -> dict[str, bytes]:
        """The refs to restore from, once ``claim`` has made our generation known: the host's, or else the mirror's.

        Raises:
            Superseded: there are refs of a newer generation.
            SyncError: neither of the two can say.
        """
        patience = list(_PATIENCE_S) if self._host is not None else []
        while True:
            try:
                claim()
                found = host.refs()
                break
            except HostAway as error:
                if patience:
                    time.sleep(patience.pop(0))
                    continue
                found = self._own_refs()
                if not newest_first(self._config, found):
                    raise
                _log.warning("%s The mirror is used instead.", error)
                self.alone = True
                break
        refuse_if_superseded(self._config, generations(self._config, found))
        return found

    def source(self, host: GitHost, snapshot: Snapshot) -> GitHost:
        """Where ``snapshot`` is fetched from: the mirror when it has it, else ``host``."""
        if self._host is not None and self._own_refs().get(snapshot.ref) == snapshot.commit:
            return self._host
        return host

    def remark(self, saved_at: datetime) -> str:
        """What to say of a restore that had the mirror only."""
        if not self.alone:
            return ""
        minutes = (datetime.now(UTC) - saved_at).total_seconds() / 60
        age = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
        return (
            f"The git host does not answer, so they come from its mirror, as they were {age} ago; what was saved later "
            "is on the git host, and 'neuralinverse-hub snapshots list' shows it once that is back."
        )

    def _own_refs(self) -> dict[str, bytes]:
        if self._refs is None:
            self._refs = {}
            if self._host is not None:
                try:
                    self._refs = self._host.refs()
                except SyncError as error:
                    _log.warning("the mirror is not used: %s", error)
        return self._refs
