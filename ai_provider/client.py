"""One small streaming client for the gateway: what kernels use, and what every client of ours agrees on.

It decides how a question becomes a request and an HTTP answer becomes pieces or an error of ``errors``; it knows nothing
of notebooks, chats or formats. ``client_async`` is the same over asyncio, for servers.

Runs in kernels of other virtual environments: standard library and ``wire`` only, Python >= 3.9.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from neuralinverse_hub import wire

from .errors import BadInput, Cut, GatewayAway, Refused, TooLong, Unauthorised
from .sse import Events, Piece, error_sentence, piece, waiting

__all__ = ["Answer", "Client", "Gateway", "Model", "Patience", "Question"]

READ_BYTES = 65_536


@dataclass(frozen=True)
class Gateway:
    """Where the gateway is, and the workspace's own token for it."""

    url: str
    """Base of the API, without a slash at its end: ``http://…/v1``."""
    token: str = field(repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Gateway:
        """The workspace's gateway. Raises ``GatewayAway`` outside a workspace."""
        for name in (wire.ENV_GATEWAY_URL, wire.ENV_TOKEN):
            if not environ.get(name):
                raise GatewayAway(
                    f"There is no AI gateway here: {name} is not set. Open this in a workspace of the hub."
                )
        url = environ[wire.ENV_GATEWAY_URL].rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GatewayAway(
                f"{wire.ENV_GATEWAY_URL} is {url!r}, which is not an http(s) URL. Tell your administrator."
            )
        return cls(url=url, token=environ[wire.ENV_TOKEN])

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": "neuralinverse",
        }


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, before the gateway counts as away or the answer as cut."""

    connect_s: float = 5.0
    first_byte_s: float = 300.0
    """Long on purpose: when everybody asks at once the gateway lets people wait for their turn."""
    gap_s: float = 120.0
    """Longest silence inside an answer."""


@dataclass(frozen=True)
class Question:
    """What to ask whom: a task (``auto``, …) or a model, and the conversation so far, the newest message last."""

    messages: Sequence[Mapping[str, str]]
    model: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Further members of the request, e.g. ``max_tokens``."""

    def body(self) -> bytes:
        """The request's JSON. Raises ``BadInput`` for an empty question."""
        if not self.messages or not self.messages[-1]["content"].strip():
            raise BadInput("The prompt is empty. Write what you want to ask below the first line.")
        asked = {"model": self.model, "messages": list(self.messages), "stream": True, **self.options}
        # Lone surrogates cannot be UTF-8; escaped they are still valid JSON.
        return json.dumps(asked).encode("ascii")


@dataclass(frozen=True)
class Model:
    """A task or model that can be asked for. ``served_by`` is who really answers today; None: nobody does."""

    id: str
    kind: str
    served_by: str | None
    description: str = ""
    window: int | None = None
    """Tokens it reads at once, question and answer together; None: the gateway does not say."""


def models_of(body: Any) -> list[Model]:
    """What ``GET /v1/models`` lists, in the gateway's order. Entries that are not ours count as plain models."""
    listed = []
    for entry in body.get("data", []) if isinstance(body, dict) else []:
        card = entry.get("neuralinverse") or {}
        listed.append(
            Model(
                id=str(entry["id"]),
                kind=str(card.get("kind", "model")),
                served_by=card.get("served_by"),
                description=str(card.get("description") or ""),
                window=card.get("window"),
            )
        )
    return listed


def refusal(status: int, body: bytes) -> Exception:
    """The error for an HTTP status that is not a success."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    sentence = error_sentence(parsed)
    if status in (401, 403):
        return Unauthorised(
            f"The AI gateway does not accept this workspace's token (HTTP {status}"
            + (f": {sentence}" if sentence else "")
            + "). Stop and start the workspace from the hub's control panel to get a new one."
        )
    if status in (502, 504) or (status in (404, 503) and sentence is None):
        # No sentence: it was the hub's proxy that answered, for a gateway that is not running.
        return GatewayAway(f"The AI gateway is not there just now (HTTP {status}). Try again in a minute.")
    error = parsed.get("error") if isinstance(parsed, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if status == 413 or code == "context_length_exceeded":
        # The gateway's own sentence counts tokens; a person counts lines.
        return TooLong("This is more text than the model can read at once. Send the part that matters.", status=status)
    return Refused(
        sentence
        or f"The AI gateway refused (HTTP {status}) and gave no reason. Try again, or tell your administrator.",
        status=status,
        code=code if isinstance(code, str) else None,
    )


def away(url: str, why: BaseException) -> GatewayAway:
    """The error for a gateway that could not be reached."""
    reason = "it was silent for too long" if isinstance(why, TimeoutError) else str(why) or type(why).__name__
    return GatewayAway(
        f"The AI gateway at {url} does not answer ({reason}). Try again in a minute; your work is not affected."
    )


class Gathering:
    """What an answer has brought so far; shared by the blocking and the asyncio client."""

    def __init__(self, header: Callable[[str], str | None]) -> None:
        """``header`` gives a header of the response by its name, in whatever case the server writes it."""
        self.task = header(wire.HEADER_TASK)
        self.model: str | None = None
        self.finish: str | None = None
        self.done = False
        self._events = Events()
        self._parts: list[str] = []
        kind = header("Content-Type") or ""
        self._whole: list[bytes] | None = [] if kind.startswith("application/json") else None

    @property
    def text(self) -> str:
        """The answer as far as it has come."""
        return "".join(self._parts)

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that ``chunk`` completes. Raises ``Cut`` for an error inside the stream."""
        if self._whole is not None:  # a gateway that could not stream
            self._whole.append(chunk)
            return
        for data in self._events.feed(chunk):
            yield from self._take(data)
            if self.done:
                return
        comment, self._events.comment = self._events.comment, ""
        if turn := waiting(comment):
            yield Piece(waiting=turn)

    def end(self) -> Iterator[Piece]:
        """What is left when the server has sent all. Raises ``Cut`` when that was not a whole answer."""
        if self._whole is not None and not self.done:
            yield from self._take(b"".join(self._whole).decode("utf-8", "replace"))
        if not self.done and self.finish is None:
            raise self.cut("the connection ended early")
        self.done = True

    def cut(self, why: str) -> Cut:
        """The error for an answer that broke off, with what came."""
        return Cut(f"The answer broke off: {why}. What came is kept; ask again for the rest.", text=self.text)

    def _take(self, data: str) -> Iterator[Piece]:
        try:
            new = piece(data)
        except Cut as cut:
            cut.text = self.text
            raise
        if new is None:
            self.done = True
            return
        self.model = new.model or self.model
        self.finish = new.finish or self.finish
        if new.text:
            self._parts.append(new.text)
        if new.text or new.reasoning:
            yield new


class Client:
    """Asks the gateway and reads answers as they come, blocking. One per kernel; its connections are reused.

    Interrupting or leaving an answer before its end closes its connection, so the gateway stops the model.
    """

    def __init__(self, gateway: Gateway, patience: Patience = Patience()) -> None:
        self.gateway = gateway
        self.patience = patience
        self._parts = urlsplit(gateway.url)
        self._idle: list[tuple[int, http.client.HTTPConnection]] = []
        self._busy: dict[http.client.HTTPConnection, socket.socket | None] = {}

    def ask(self, question: Question) -> Answer:
        """The answer, whose first bytes have come. Raises the errors of ``errors`` before anything was answered."""
        connection, response = self._request("POST", "/chat/completions", question.body())
        return Answer(self, connection, response)

    def models(self) -> list[Model]:
        """The tasks and models that can be asked for, in the gateway's order."""
        connection, response = self._request("GET", "/models", None)
        try:
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._drop(connection)
            raise away(self.gateway.url, error) from None
        self._keep(connection)
        try:
            return models_of(json.loads(body))
        except (ValueError, KeyError, AttributeError):
            raise Refused(
                f"The AI gateway at {self.gateway.url} lists its models in a form unknown here.", status=200
            ) from None

    def abort(self) -> None:
        """Break off what is under way, from another thread: the one that reads gets an error, the gateway stops the model."""
        while self._busy:
            _, connected = self._busy.popitem()
            if connected is not None:
                with contextlib.suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connections that wait for reuse."""
        while self._idle:
            self._idle.pop()[1].close()

    def _request(
        self, method: str, path: str, body: bytes | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        while True:
            connection, reused = self._connection()
            self._busy[connection] = connection.sock
            try:
                response = self._send(connection, method, path, body)
                break
            except (ConnectionError, http.client.BadStatusLine) as error:
                self._drop(connection)
                if not reused:  # a reused connection may have been closed by the other side meanwhile
                    raise away(self.gateway.url, error) from None
            except (OSError, http.client.HTTPException) as error:
                self._drop(connection)
                raise away(self.gateway.url, error) from None
            except BaseException:
                self._drop(connection)
                raise
        if response.status != 200:
            try:
                refused = response.read(READ_BYTES)
            except (OSError, http.client.HTTPException):
                refused = b""
            finally:
                self._drop(connection)
            raise refusal(response.status, refused) from None
        return connection, response

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> http.client.HTTPResponse:
        if connection.sock is None:
            connection.connect()
        if connection not in self._busy:
            raise ConnectionAbortedError("broken off")
        self._busy[connection] = connection.sock
        connection.sock.settimeout(self.patience.first_byte_s)
        try:
            connection.request(method, self._parts.path + path, body=body, headers=self.gateway.headers())
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server that refuses a long question answers, and closes, before it has read all of it
        return connection.getresponse()

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        while self._idle:
            pid, connection = self._idle.pop()
            if pid == os.getpid():  # a forked kernel must not share its parent's socket
                return connection, True
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(str(self._parts.hostname), self._parts.port, timeout=self.patience.connect_s), False

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        self._busy.pop(connection, None)
        connection.close()

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        self._busy.pop(connection, None)
        if connection.sock is not None:
            self._idle.append((os.getpid(), connection))


class Answer(Gathering):
    """Pieces of an answer as they come; afterwards ``text``, ``model`` (who really answered) and ``finish``."""

    def __init__(
        self, client: Client, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        super().__init__(response.getheader)
        self._client = client
        self._connection = connection
        self._response = response
        # http.client forgets the socket of a connection that will close after the answer.
        self._socket: socket.socket | None = connection.sock

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Piece]:
        self._timeout(self._client.patience.gap_s)
        while not self.done:
            try:
                chunk = self._response.read1(READ_BYTES)
            except TimeoutError:
                raise self.cut(f"nothing came for {self._client.patience.gap_s:g} seconds") from None
            except (OSError, http.client.HTTPException) as error:
                raise self.cut(f"the connection was lost ({type(error).__name__})") from None
            if not chunk:
                yield from self.end()
                return
            yield from self.feed(chunk)

    def close(self) -> None:
        """Give the connection back when the answer was read to its end, else close it: the gateway then stops."""
        if self.done:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._timeout(
                    0.05
                )  # the end-of-body mark follows the last event at once, or the connection is not worth keeping
                while self._response.read1(READ_BYTES):
                    pass
        if self._response.isclosed():
            self._client._keep(self._connection)
        else:
            self._response.close()
            self._client._drop(self._connection)
        self.done = True

    def _timeout(self, seconds: float) -> None:
        if self._socket is not None:
            self._socket.settimeout(seconds)
