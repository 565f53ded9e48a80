"""Tornado's handlers behind aiohttp's server: what each side promises of HTTP, seen through a plain socket."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado import httputil, iostream, web

from neuralinverse_hub.gateway import connection as connections
from neuralinverse_hub.gateway import edge, listening
from neuralinverse_hub.gateway.connection import Connection
from neuralinverse_hub.gateway.edge import Front
from neuralinverse_hub.gateway.listening import Server
from tests.neuralinverse_hub.gateway.conftest import until


class Echo(web.RequestHandler):
    """Answers with what it was sent."""

    def get(self) -> None:
        self.finish("got")

    head = get

    def post(self) -> None:
        self.set_header("X-Length", str(len(self.request.body)))
        self.finish(self.request.body[:100])


class Pieces(web.RequestHandler):
    """An answer whose length is not known before."""

    async def get(self) -> None:
        for piece in ("one ", "two ", "three"):
            self.write(piece)
            await self.flush()


class Nothing(web.RequestHandler):
    def get(self) -> None:
        self.set_status(204)


PAGES = Front(
    {},
    web.Application([("/echo", Echo), ("/pieces", Pieces), ("/nothing", Nothing)], log_function=lambda handler: None),
).answer


class Link:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, text: str, body: bytes = b"") -> None:
        head = text.replace("\n", "\r\n") + "\r\nHost: x\r\n"
        self.writer.write((head + (f"Content-Length: {len(body)}\r\n\r\n" if body else "\r\n")).encode() + body)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)

    async def answer(self, length: int) -> tuple[bytes, bytes]:
        return await self.head(), await asyncio.wait_for(self.reader.readexactly(length), 5)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 5)


@asynccontextmanager
async def served(answer: Callable[[Connection], Awaitable[None]]) -> AsyncIterator[tuple[Server, Callable[[], Any]]]:
    server = Server(answer)
    listener = socket.create_server(("127.0.0.1", 0))
    await server.listen([listener])
    port = listener.getsockname()[1]
    links: list[Link] = []

    async def connect() -> Link:
        links.append(Link(*await asyncio.open_connection("127.0.0.1", port)))
        return links[-1]

    try:
        yield server, connect
    finally:
        for link in links:
            link.writer.close()
        await server.close()


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    async with served(PAGES) as (_, connect):
        yield await connect()


async def test_one_request_after_the_other_over_one_connection(link: Link) -> None:
    for _ in range(3):
        link.send("GET /echo HTTP/1.1")
        head, body = await link.answer(3)
        assert head.startswith(b"HTTP/1.1 200 OK") and body == b"got"
        assert b"connection: close" not in head.lower()
        link.send("POST /echo HTTP/1.1", b"hello")
        assert (await link.answer(5))[1] == b"hello"


async def test_requests_that_come_at_once_are_answered_in_their_order(link: Link) -> None:
    for number in range(20):
        link.send("POST /echo HTTP/1.1", b"%02d" % number)
    for number in range(20):
        assert (await link.answer(2))[1] == b"%02d" % number


async def test_an_answer_of_unknown_length_is_chunked(link: Link) -> None:
    link.send("GET /pieces HTTP/1.1")
    assert b"Transfer-Encoding: chunked" in await link.head()
    chunks = await asyncio.wait_for(link.reader.readuntil(b"0\r\n\r\n"), 5)
    assert chunks == b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"
    link.send("GET /echo HTTP/1.1")
    assert (await link.answer(3))[1] == b"got"


async def test_an_older_client_gets_it_up_to_the_end_of_the_connection(link: Link) -> None:
    link.send("GET /pieces HTTP/1.0\nConnection: keep-alive")
    head, _, body = (await link.rest()).partition(b"\r\n\r\n")
    assert b"Connection: close" in head and b"chunked" not in head
    assert body == b"one two three"


async def test_an_older_client_can_keep_its_connection(link: Link) -> None:
    for _ in range(2):
        link.send("GET /echo HTTP/1.0\nConnection: keep-alive")
        head, body = await link.answer(3)
        assert b"Connection: keep-alive" in head and body == b"got"
    link.send("GET /echo HTTP/1.0")
    assert (await link.rest()).endswith(b"got")


async def test_an_older_clients_chunks_end_its_connection(link: Link) -> None:
    head = b"POST /echo HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    link.writer.write(head + b"5\r\nhello\r\n0\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await link.rest()
    assert answer.count(b"HTTP/1.1 ") == 1 and b"\r\nConnection: close\r\n" in answer and answer.endswith(b"hello")


async def test_an_older_client_is_not_told_to_go_on(link: Link) -> None:
    link.writer.write(b"POST /echo HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    await asyncio.sleep(0.05)
    link.writer.write(b"hello")
    assert (await link.rest()).startswith(b"HTTP/1.1 200 OK")


async def test_a_client_that_asks_for_the_end_gets_it(link: Link) -> None:
    link.send("GET /echo HTTP/1.1\nConnection: close")
    answer = await link.rest()
    assert b"Connection: close" in answer and answer.endswith(b"got")


@pytest.mark.parametrize(
    ("asked", "length"), [("HEAD /echo", b"Content-Length: 3"), ("GET /nothing", b"204 No Content")]
)
async def test_an_answer_without_a_body_has_none(link: Link, asked: str, length: bytes) -> None:
    for _ in range(2):
        link.send(f"{asked} HTTP/1.1")
        head = await link.head()
        assert length in head and b"chunked" not in head
    link.send("GET /echo HTTP/1.1")
    assert (await link.answer(3))[1] == b"got"


async def test_a_client_that_asks_whether_it_may_go_on_is_told_so(link: Link) -> None:
    link.writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert await link.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    link.writer.write(b"hello")
    assert (await link.answer(5))[1] == b"hello"


async def test_a_body_in_chunks_arrives_whole(link: Link) -> None:
    link.writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in (b"hel", b"lo"):
        link.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await asyncio.sleep(0.02)
    link.writer.write(b"0\r\n\r\n")
    assert (await link.answer(5))[1] == b"hello"


async def test_what_a_client_compressed_is_not_unpacked(link: Link) -> None:
    packed = gzip.compress(b"x" * 1_000_000)
    link.send("POST /echo HTTP/1.1\nContent-Encoding: gzip", packed)
    assert b"X-Length: %d\r\n" % len(packed) in await link.head()


async def test_a_body_may_be_as_large_as_its_reader_wants(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "PAGE_BODY_LIMIT", 10)
    link.send("POST /echo HTTP/1.1", b"x" * 10)
    assert (await link.answer(10))[1] == b"x" * 10
    link.send("POST /echo HTTP/1.1", b"x" * 11)
    assert (await link.rest()).startswith(b"HTTP/1.1 413 ")


async def test_a_body_without_an_end_is_not_read_to_it(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "PAGE_BODY_LIMIT", 10)
    link.writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(11):
        link.writer.write(b"1\r\nx\r\n")
        await asyncio.sleep(0.005)
    assert (await link.head()).startswith(b"HTTP/1.1 413 ")
    # Who still sends can do so for a while, to see the answer; then the connection ends.
    link.writer.write(b"1\r\nx\r\n0\r\n\r\n")
    assert b"request_too_large" in await link.rest()


async def test_a_body_that_is_said_to_be_too_large_is_not_asked_for(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "PAGE_BODY_LIMIT", 10)
    monkeypatch.setattr(connections, "BODY_S", 0.2)
    link.writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
    assert (await link.head()).startswith(b"HTTP/1.1 413 ")


async def test_the_address_may_be_a_whole_one_as_for_a_proxy(link: Link) -> None:
    for sent in ("http://x/echo", "https://somewhere.else:80/echo?a=b"):
        link.send(f"GET {sent} HTTP/1.1")
        assert (await link.answer(3))[1] == b"got"
    link.send("GET http://x HTTP/1.1")
    assert b" 404 " in await link.head()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(b"BREW /echo HTTP/1.1\r\nHost: x\r\n\r\n", id="a method nobody knows"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", id="an address that is not ASCII"),
        pytest.param(b"GET /echo HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", id="very many headers"),
        pytest.param(b"GET /echo HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET /echo HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n", id="a header's name"),
        pytest.param(b"GET /echo HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n", id="a large header"),
        pytest.param(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="a large address"),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two lengths of two kinds",
        ),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two lengths"
        ),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="a chunk's size"
        ),
    ],
)
async def test_what_is_not_http_is_refused_and_the_connection_ends(
    link: Link, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    link.writer.write(sent)
    answer = await link.rest()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"\r\nConnection: close" in head and answer.count(b"HTTP/1.") == 1
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert b"Server:" not in head and b"aiohttp" not in answer
    assert not caplog.records, "what somebody sent, a token perhaps, is nothing for the log"


async def test_a_header_of_the_answer_cannot_bring_another() -> None:
    seen: list[BaseException] = []

    async def answer(connection: Connection) -> None:
        start_line = httputil.ResponseStartLine("HTTP/1.1", 200, "OK\r\nSet-Cookie: c")
        try:
            connection.write_headers(start_line, httputil.HTTPHeaders())
        except ValueError as error:
            seen.append(error)
        connection.close()

    async with served(answer) as (_, connect):
        link = await connect()
        link.send("GET / HTTP/1.1")
        with contextlib.suppress(ConnectionError):
            assert await link.rest() == b""
    assert "more than one line" in str(seen[0])


def begin(connection: Connection) -> None:
    connection.write_headers(httputil.ResponseStartLine("HTTP/1.1", 200, "OK"), httputil.HTTPHeaders())


@asynccontextmanager
async def slow() -> AsyncIterator[tuple[Server, Link, Connection, asyncio.Event]]:
    """A request that waits for its answer, and whether its client left meanwhile."""
    made: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    left = asyncio.Event()

    async def answer(connection: Connection) -> None:
        connection.set_close_callback(left.set)
        made.set_result(connection)

    async with served(answer) as (server, connect):
        link = await connect()
        link.send("GET / HTTP/1.1")
        yield server, link, await asyncio.wait_for(made, 5), left


async def test_who_leaves_is_noticed_and_gets_nothing_more() -> None:
    async with slow() as (_, link, connection, left):
        link.writer.close()
        await asyncio.wait_for(left.wait(), 5)
        with pytest.raises(iostream.StreamClosedError):
            await connection.write(b"late")
        connection.finish()


async def test_who_leaves_after_the_answer_is_nobodys_concern() -> None:
    async with slow() as (_, link, connection, left):
        begin(connection)
        connection.finish()
        await asyncio.wait_for(link.reader.readuntil(b"0\r\n\r\n"), 5)
        link.writer.close()
        await asyncio.sleep(0.1)
        assert not left.is_set()


async def test_who_leaves_cancels_the_work_that_is_done_for_them() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def answer(connection: Connection) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with served(answer) as (_, connect):
        link = await connect()
        link.send("GET / HTTP/1.1")
        await asyncio.wait_for(begun.wait(), 5)
        link.writer.close()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_client_that_does_not_read_holds_its_writer_up() -> None:
    async with slow() as (_, link, connection, _left):
        begin(connection)
        writes = [connection.write(b"x" * 1_000_000) for _ in range(20)]
        await asyncio.sleep(0.2)
        assert not writes[-1].done() and connection.writing()
        connection.finish()
        body = await drained(link)
        await asyncio.wait_for(writes[-1], 5)
        assert body.count(b"x") == 20_000_000 and not connection.writing()


async def drained(link: Link) -> bytes:
    got = bytearray()
    while not got.endswith(b"\r\n0\r\n\r\n"):
        got += await asyncio.wait_for(link.reader.read(1 << 20), 5)
    return bytes(got)


async def test_a_writer_learns_when_a_client_leaves_that_did_not_read() -> None:
    async with slow() as (_, link, connection, _left):
        begin(connection)
        writes = [connection.write(b"x" * 1_000_000) for _ in range(20)]
        link.writer.transport.abort()
        for write in writes[-2:]:
            with pytest.raises(iostream.StreamClosedError):
                await asyncio.wait_for(write, 5)
        connection.finish()
        await asyncio.gather(*writes, return_exceptions=True)


LARGE = b"x" * 20_000_000


async def large(connection: Connection) -> None:
    """Answers with more than a socket takes at once, and does not look whether it is read."""
    headers = httputil.HTTPHeaders({"Content-Length": str(len(LARGE))})
    connection.write_headers(httputil.ResponseStartLine("HTTP/1.1", 200, "OK"), headers, LARGE)
    connection.finish()


async def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.2)
    async with served(large) as (server, connect):
        link = await connect()
        link.send("GET / HTTP/1.1")
        await link.head()
        await until(lambda: not server._server.connections)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await link.reader.readexactly(len(LARGE))


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the kernel has no such timeout")
async def test_the_last_bytes_of_an_answer_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.3)
    answered = asyncio.Event()

    async def answer(connection: Connection) -> None:
        begin(connection)
        while not connection.writing():
            connection.write(b"x" * 16_000)
            # What the kernel takes is not waited for, but what it does not is less than holds an answer up.
            await asyncio.sleep(0.001)
        connection.finish()
        answered.set()

    async with served(answer) as (server, connect):
        link = await connect()
        link.writer.transport.pause_reading()
        link.send("GET / HTTP/1.1")
        await asyncio.wait_for(answered.wait(), 10)
        await until(lambda: not server._server.connections)


async def test_an_answer_that_is_read_slowly_is_sent_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_S", 0.2)
    async with served(large) as (_, connect):
        link = await connect()
        link.send("GET / HTTP/1.1")
        await link.head()
        for _ in range(20):
            await asyncio.wait_for(link.reader.readexactly(len(LARGE) // 20), 5)
            await asyncio.sleep(0.05)


async def test_who_does_not_read_gets_no_further_answers() -> None:
    answered = 0

    async def answer(connection: Connection) -> None:
        nonlocal answered
        answered += 1
        await large(connection)

    async with served(answer) as (_, connect):
        link = await connect()
        for _ in range(10):
            link.send("GET / HTTP/1.1")
        await link.head()
        await asyncio.sleep(0.2)
        assert answered == 1
        for _ in range(9):
            await asyncio.wait_for(link.reader.readexactly(len(LARGE)), 5)
            await link.head()
        assert answered == 10


async def test_writing_to_a_connection_that_is_closed_is_told_and_no_mistake() -> None:
    async with slow() as (_, _link, connection, _left):
        begin(connection)
        connection.close()
        for _ in range(10):
            late = connection.write(b"late")
            await asyncio.sleep(0)
        connection.finish()
        with pytest.raises(iostream.StreamClosedError):
            await late


async def test_an_answer_that_is_broken_off_ends_the_connection() -> None:
    async with slow() as (_, link, connection, _left):
        begin(connection)
        connection.write(b"half")
        await link.head()
        connection.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(link.reader.readuntil(b"0\r\n\r\n"), 5)


async def test_a_mistake_costs_its_connection_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(connection: Connection) -> None:
        if connection.address == "/wrong":
            raise RuntimeError("this is a mistake")
        await PAGES(connection)

    async with served(answer) as (_, connect):
        link = await connect()
        link.send("GET /wrong HTTP/1.1")
        with contextlib.suppress(ConnectionError):
            assert await link.rest() == b""
        assert "this is a mistake" in caplog.text
        link = await connect()
        link.send("GET /echo HTTP/1.1")
        assert (await link.answer(3))[1] == b"got"


async def test_a_server_that_stops_takes_nobody_new_and_ends_what_it_has_begun() -> None:
    async with slow() as (server, link, connection, _left):
        server.stop()
        with pytest.raises(OSError):
            await asyncio.open_connection(*link.writer.get_extra_info("peername"))
        begin(connection)
        connection.write(b"still")
        asyncio.get_running_loop().call_later(0.2, connection.finish)
        await server.close()
        assert (await link.rest()).endswith(b"5\r\nstill\r\n0\r\n\r\n")


async def test_a_server_that_closes_does_not_wait_for_ever() -> None:
    async with slow() as (server, link, _connection, left):
        await asyncio.wait_for(server.close(), 5)
        await asyncio.wait_for(left.wait(), 1)
        assert await link.rest() == b""


async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "IDLE_S", 0.2)
    async with served(PAGES) as (_, connect):
        quiet, used = await connect(), await connect()
        used.send("GET /echo HTTP/1.1")
        await used.answer(3)
        assert await quiet.rest() == b"" and await used.rest() == b""
