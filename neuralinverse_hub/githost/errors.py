"""What the embedded git host answers when it cannot do what was asked.

::

    GitHostError              500
    ├── NotSignedIn           401
    ├── NotAllowed            403
    ├── NoSuchRepository      404
    └── HubAway               503
"""

from __future__ import annotations


class GitHostError(Exception):
    """Base of this room; ``str()`` is one sentence for the person, ``status`` the HTTP status it is sent with."""

    status = 500


class NotSignedIn(GitHostError):
    """No token, or one the hub does not know."""

    status = 401


class NotAllowed(GitHostError):
    """A good token that does not reach this far."""

    status = 403


class NoSuchRepository(GitHostError):
    """The address does not name a repository."""

    status = 404


class HubAway(GitHostError):
    """The hub, which knows whose token it is, does not answer."""

    status = 503
