"""Tornado's event loop and server without what they do and undo for every request, a tenth of a small one's CPU.

Tornado stops to listen to a connection while it has a whole request in hand, and begins again a moment later to hear whether
the client leaves; and it lets the kernel hold small writes back until an answer is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tornado import httpserver, iostream
from tornado.platform.asyncio import AsyncIOMainLoop

__all__ = ["PromptServer", "SteadyLoop"]


class PromptServer(httpserver.HTTPServer):
    """An HTTP server whose every write leaves at once: events would else wait for an acknowledgement, up to 40 ms."""

    def handle_stream(self, stream: iostream.IOStream, address: tuple[Any, ...]) -> None:
        stream.set_nodelay(True)
        # Tornado sets it anew at the end of each answer, and takes it back before the next.
        stream.set_nodelay = _as_it_is  # type: ignore[method-assign]
        super().handle_stream(stream, address)


def _as_it_is(value: bool) -> None:
    pass


class SteadyLoop(AsyncIOMainLoop):
    """An IOLoop for the running asyncio loop.

    A connection that is not to be read any more is watched on; only when something arrives there all the same, that ends.
    """

    @classmethod
    def install(cls) -> None:
        """Make one for the running loop, unless tornado is at work there already."""
        if cls.current(instance=False) is None:
            cls()

    def initialize(self, **kwargs: Any) -> None:  # type: ignore[override]
        self._unasked: set[int] = set()
        """Connections that are watched, although nobody wants to read them now."""
        super().initialize(**kwargs)

    def add_handler(self, fd: Any, handler: Callable[..., None], events: int) -> None:
        number, _ = self.split_fd(fd)

        def handle(connection: Any, happened: int) -> None:
            if happened & self.READ and number in self._unasked:
                self._unasked.remove(number)
                super(SteadyLoop, self).update_handler(number, self.WRITE if number in self.writers else self.NONE)
            else:
                handler(connection, happened)

        super().add_handler(fd, handle, events)

    def update_handler(self, fd: Any, events: int) -> None:
        number, _ = self.split_fd(fd)
        if events & self.READ:
            self._unasked.discard(number)
        elif number in self.readers:
            self._unasked.add(number)
            events |= self.READ
        super().update_handler(number, events)

    def remove_handler(self, fd: Any) -> None:
        number, _ = self.split_fd(fd)
        self._unasked.discard(number)
        super().remove_handler(fd)
