"""What can go wrong in one-machine mode. Every message is one sentence for the person, with what to do next.

LocalError
├── InstallError      a component could not be fetched, built or placed
│   └── Unreachable   … because the package registry could not be reached
├── NotReady          something on this machine has to change first: a port, a folder, a missing program
└── ServiceFailed     something that was started did not come up, or stopped by itself
"""

from __future__ import annotations


class LocalError(Exception):
    """Base of this room's errors; ``str()`` of it can be shown as it is."""


class InstallError(LocalError):
    """A component could not be installed; what was there before is untouched."""


class Unreachable(InstallError):
    """The package registry did not answer; the same command works again once it does."""


class NotReady(LocalError):
    """A check before the start failed; nothing was started."""


class ServiceFailed(LocalError):
    """A process that one-machine mode needs did not come up or ended by itself."""
