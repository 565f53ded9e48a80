"""A second place that snapshots can be fetched from: a mirror of the git host, near the workspace, perhaps behind.

Nothing is ever written to it. A mirror that has the very snapshot that the git host names gives it in the host's place.
When the host itself does not answer, what the mirror has is better than nothing, and the person is told how old it is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Final

from .config import Config
from .errors import HostAway, SyncError
from .host import GitHost
from .snapshots import Snapshot, generations, newest_first, refuse_if_superseded

__all__ = ["Mirror", "age"]

_log = logging.getLogger(__name__)
_PAUSES_S: Final = (1.0, 2.0, 4.0)
"""How long to wait between tries before the mirror speaks for a host that does not answer."""
_PATIENCE_S: Final = 10.0
"""After so long no further try is made: one that drops what it is sent uses up this time at once."""
_HEAD_START_S: Final = 1.0
"""How long a host that has answered waits for its mirror to say what it has."""


class Mirror:
    """The mirror that ``config`` names, if any, for one restore."""

    def __init__(self, config: Config) -> None:
        self._config = config
        # A mirror that does not take these credentials is no reason to ask for others.
        self._host = GitHost(config.mirror, config.credentials.as_they_are()) if config.mirror else None
        self._asked: Future[dict[str, bytes]] | None = None
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
        self._ask()
        pauses = list(_PAUSES_S) if self._host is not None else []
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                claim()
                found = host.refs()
                break
            except HostAway as error:
                if pauses and time.monotonic() + pauses[0] < until:
                    time.sleep(pauses.pop(0))
                    continue
                found = self._own_refs(None)
                if not newest_first(self._config, found):
                    raise
                _log.warning("%s The mirror is used instead.", error)
                self.alone = True
                break
        refuse_if_superseded(self._config, generations(self._config, found))
        return found

    def source(self, host: GitHost, snapshot: Snapshot) -> GitHost:
        """Where ``snapshot`` is fetched from: the mirror when it has it, else ``host``."""
        if self._host is not None and self._own_refs(_HEAD_START_S).get(snapshot.ref) == snapshot.commit:
            return self._host
        return host

    def remark(self, saved_at: datetime) -> str:
        """What to say of a restore that had the mirror only."""
        if not self.alone:
            return ""
        return (
            "The git host did not answer at the start, so these files come from its mirror, as they were "
            f"{age(saved_at, datetime.now(UTC))}; what was saved later is on the git host, and "
            "'neuralinverse-hub snapshots list' shows it once that is back."
        )

    def _ask(self) -> None:
        """Let the mirror find out what it has while the host is asked: it may have to ask the host itself."""
        if self._host is None:
            return
        host, self._asked = self._host, Future()
        asked = self._asked

        def ask() -> None:
            try:
                asked.set_result(host.refs())
            except Exception as error:
                asked.set_exception(error)

        # Nobody waits for it for long, also not the end of the process.
        threading.Thread(target=ask, name="mirror", daemon=True).start()

    def _own_refs(self, wait_s: float | None) -> dict[str, bytes]:
        """What the mirror has; nothing when it does not say within ``wait_s``, and then for the whole restore."""
        if self._refs is None:
            self._refs = {}
            if self._asked is not None:
                try:
                    self._refs = self._asked.result(wait_s)
                except TimeoutError:
                    _log.warning("the mirror is not used: it has not said within %.0f s what it has", wait_s)
                except SyncError as error:
                    _log.warning("the mirror is not used: %s", error)
        return self._refs


def age(saved_at: datetime, now: datetime) -> str:
    """``14 minutes ago``, for people; a time where one of the two clocks was wrong, since then nobody knows the age."""
    minutes = (now - saved_at).total_seconds() / 60
    if minutes < -1:
        return f"at {saved_at:%Y-%m-%d %H:%M} UTC by the clock they were saved by, which is ahead of this one"
    if minutes < 120:
        return f"{max(minutes, 0):.0f} minutes ago"
    return f"{minutes / 60:.0f} hours ago" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days ago"
