"""The status over HTTP, for the IDE: ``GET /`` on a UNIX socket in the private folder answers with ``sync.json``.

A UNIX socket because whoever may open it is decided by the folder it is in; a port on 127.0.0.1 is open to everybody
on the machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from neuralinverse_hub import wire

__all__ = ["StatusEndpoint"]

_log = logging.getLogger(__name__)


class StatusEndpoint:
    """Serves until closed, from one thread. A path too long for a socket means: no endpoint, and a line in the log."""

    def __init__(self, state: Path) -> None:
        self._socket = state / wire.SYNC_SOCKET
        self._server: socketserver.ThreadingUnixStreamServer | None = None
        self._thread: threading.Thread | None = None
        status_file = state / wire.SYNC_STATUS_FILE

        class Handler(BaseHTTPRequestHandler):
            timeout = 5.0

            def do_GET(self) -> None:
                try:
                    body = status_file.read_bytes() if self.path == "/" else None
                except OSError:
                    body = None
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body or b"")))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body or b"")

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler

    def open(self) -> None:
        """Begin to serve; what a killed daemon left is replaced."""
        try:
            self._socket.unlink(missing_ok=True)
            mask = os.umask(0o177)
            try:
                self._server = socketserver.ThreadingUnixStreamServer(str(self._socket), self._handler)
            finally:
                os.umask(mask)
        except OSError as error:
            _log.warning("no status endpoint at %s: %s", self._socket, error)
            return
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(3600.0,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            # The thread is a daemon's: it ends with the process, which ends now.
            self._server.socket.close()
            with contextlib.suppress(OSError):
                self._socket.unlink()
