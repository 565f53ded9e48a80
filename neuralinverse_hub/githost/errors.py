"""What a git host answers when it cannot do what was asked: the embedded one to its clients, Gitea to the hub.

::

    GitHostError              500
    ├── NotSignedIn           401
    ├── NotAllowed            403
    ├── NoSuchRepository      404
    ├── HubAway               503
    ├── PrimaryAway           503
    └── ProvisioningError     has a message for the person whose workspace was to start
        ├── GiteaAway         passes by itself
        ├── AdminRefused      the hub's own account on the host is not accepted
        ├── GiteaRefused      anything else the host refuses
        └── AccountBlocked    the person's account on the host is switched off
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


class PrimaryAway(GitHostError):
    """The git host that a mirror copies from does not answer, or does not let the mirror in."""

    status = 503


class ProvisioningError(GitHostError):
    """No credential for the person's repository. ``str()`` is for the hub's log."""

    said_to_person = "The Git host refused what your workspace needs. Tell an administrator; the hub's log says more."

    @property
    def jupyterhub_message(self) -> str:
        """What the hub shows to the person."""
        return self.said_to_person


class GiteaAway(ProvisioningError):
    """The host does not answer, or is out of order."""

    said_to_person = (
        "The Git host that keeps your work does not answer, so your workspace was not started: it would have come up "
        "without your files. Nothing is lost. Try again in a minute."
    )


class AdminRefused(ProvisioningError):
    """The host does not accept the account that the hub provisions with."""

    said_to_person = (
        "The hub is not let in by the Git host that keeps your work. Tell an administrator: NEURALINVERSE_GIT_ADMIN and "
        "its password have to be those of an administrator of the Git host."
    )


class GiteaRefused(ProvisioningError):
    """The host refuses, for a reason in the text."""


class AccountBlocked(ProvisioningError):
    """The person's account on the host is switched off there."""

    said_to_person = "Your account on the Git host is switched off. Ask its administrator to let you in again."
