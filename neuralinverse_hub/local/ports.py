"""Which TCP ports of the loopback interface are free."""

from __future__ import annotations

import socket

__all__ = ["free_port", "is_free"]


def free_port() -> int:
    """A port that nothing listened on a moment ago. Whoever binds it must still cope with having lost it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether ``port`` can be bound on 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
