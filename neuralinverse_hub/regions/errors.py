"""What goes wrong between regions. Every text is one sentence for whoever can mend it.

RegionsError
├── BadCatalogue     the catalogue cannot be used; the hub does not start with it
├── GitHostAway      the shared git host does not answer, or not as one
├── RefMoved         somebody else changed the same fact a moment ago; what they wrote stands
└── Elsewhere        the workspace belongs to another region, and was not taken over from there
"""

from __future__ import annotations

from tornado import web

__all__ = ["BadCatalogue", "Elsewhere", "GitHostAway", "RefMoved", "RegionsError"]


class RegionsError(Exception):
    """Base of this room's errors; ``str()`` can be shown as it is."""


class BadCatalogue(RegionsError, ValueError):
    """The catalogue, or the name of this hub's region, is not right."""


class GitHostAway(RegionsError):
    """Nothing is known, and nothing was changed."""


class RefMoved(RegionsError):
    """A compare-and-swap found another value than it expected; nothing was changed."""


class Elsewhere(RegionsError, web.HTTPError):
    """Starting here would take the workspace away from where it is: 409 in the hub's API, with the sentence.

    Pages of the hub show ``jupyterhub_message``; its API shows that as of version 6, and before only an HTTP error's text.
    """

    def __init__(self, message: str) -> None:
        web.HTTPError.__init__(self, 409, message)
        self.jupyterhub_message = message

    def __str__(self) -> str:
        return self.jupyterhub_message
