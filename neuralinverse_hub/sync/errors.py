"""What can go wrong in sync, as a person should read it.

::

    SyncError
    ├── BadConfiguration     an environment variable is missing or makes no sense
    ├── HostAway             the git host does not answer, or answers nonsense: try again later
    ├── HostRefused          the git host answered no: trying the same again does not help
    │   ├── TokenRefused     … because of the credentials
    │   └── Superseded       … because a newer generation of this workspace exists
    ├── RefMoved             a ref on the host is not what we believed: look again
    └── RestoreFailed        no snapshot could be restored, or the disk did not take it
"""

from __future__ import annotations


class SyncError(Exception):
    """Base of everything this room raises on purpose; ``str()`` is one sentence for the person."""


class BadConfiguration(SyncError):
    """The environment does not say what sync needs to know."""


class HostAway(SyncError):
    """The git host cannot be reached or is broken at the moment."""


class HostRefused(SyncError):
    """The git host does not accept what we asked for."""


class TokenRefused(HostRefused):
    """The git host does not accept our credentials."""


class Superseded(HostRefused):
    """A newer generation of this workspace has been started; ours must not write any more."""


class RefMoved(SyncError):
    """A compare-and-swap failed: somebody, or a push of ours believed lost, moved the ref."""


class RestoreFailed(SyncError):
    """The work could not be brought back; nothing was snapshotted, so trying again is safe."""
