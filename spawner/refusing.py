"""A start that fails with words for the person, so that they read them whichever way they asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tornado import web

__all__ = ["Refused", "saying"]


class Refused(web.HTTPError):
    """Why the workspace does not start, for the person.

    Pages of the hub show ``jupyterhub_message``; its API shows that as of version 6, and before only an HTTP error's text.
    """

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(status, message)
        self.jupyterhub_message = message

    def __str__(self) -> str:
        return self.jupyterhub_message


@contextmanager
def saying() -> Iterator[None]:
    """An error that has a ``jupyterhub_message`` becomes a `Refused`; an ``http_status`` of its own is kept."""
    try:
        yield
    except web.HTTPError:
        raise
    except Exception as error:
        message = getattr(error, "jupyterhub_message", "")
        if not message:
            raise
        raise Refused(message, getattr(error, "http_status", 500)) from error
