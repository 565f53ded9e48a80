"""Tornado on our event loop hears what it wants to hear, and only that, however the bytes come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tornado import httputil, iostream, tcpserver
from tornado.ioloop import IOLoop

from neuralinverse_hub.gateway.listening import PromptServer, SteadyLoop


@pytest.fixture
async def streams() -> AsyncIterator[tuple[iostream.IOStream, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection: tornado's end, and the other."""
    SteadyLoop.install()
    assert isinstance(IOLoop.current(), SteadyLoop)
    arrived: asyncio.Future[iostream.IOStream] = asyncio.get_running_loop().create_future()

    class Server(tcpserver.TCPServer):
        def handle_stream(self, stream: iostream.IOStream, address: tuple[object, ...]) -> None:
            arrived.set_result(stream)

    server = Server()
    server.listen(0, "127.0.0.1")
    reader, writer = await asyncio.open_connection(*next(iter(server._sockets.values())).getsockname())
    stream = await arrived
    yield stream, reader, writer
    writer.close()
    stream.close()
    server.stop()


Streams = tuple[iostream.IOStream, asyncio.StreamReader, asyncio.StreamWriter]


async def test_what_comes_while_nobody_reads_is_there_when_somebody_does(streams: Streams) -> None:
    stream, _, writer = streams
    writer.write(b"one\n")
    assert await stream.read_until(b"\n") == b"one\n"
    # Nobody reads now, and more comes: the loop must neither spin nor lose it.
    writer.write(b"two\n")
    await asyncio.sleep(0.1)
    loop = IOLoop.current()
    assert isinstance(loop, SteadyLoop)
    assert stream.socket.fileno() not in loop.readers
    for _ in range(3):
        assert await asyncio.wait_for(stream.read_until(b"\n"), 5) == b"two\n"
        writer.write(b"two\n")


async def test_a_watch_goes_on_from_one_read_to_the_next(streams: Streams) -> None:
    stream, _, writer = streams
    loop = IOLoop.current()
    assert isinstance(loop, SteadyLoop)
    for _ in range(5):
        reading = asyncio.ensure_future(stream.read_until(b"\n"))
        await asyncio.sleep(0)
        writer.write(b"line\n")
        await asyncio.wait_for(reading, 5)
        await asyncio.sleep(0.02)
        assert stream.socket.fileno() in loop.readers


async def test_who_leaves_is_noticed_while_nobody_reads(streams: Streams) -> None:
    stream, _, writer = streams
    writer.write(b"one\n")
    await stream.read_until(b"\n")
    gone = asyncio.Event()
    stream.set_close_callback(gone.set)
    writer.close()
    await asyncio.wait_for(gone.wait(), 5)


async def test_more_than_a_socket_takes_is_written_all_the_same(streams: Streams) -> None:
    stream, reader, writer = streams
    writer.write(b"one\n")
    await stream.read_until(b"\n")
    data = b"x" * 20_000_000
    sent = stream.write(data)
    assert await asyncio.wait_for(reader.readexactly(len(data)), 20) == data
    await sent


async def test_a_prompt_server_answers_one_request_after_the_other() -> None:
    SteadyLoop.install()

    def answer(request: httputil.HTTPServerRequest) -> None:
        assert request.connection is not None
        request.connection.write_headers(
            httputil.ResponseStartLine("HTTP/1.1", 200, "OK"), httputil.HTTPHeaders({"Content-Length": "2"}), b"ok"
        )
        request.connection.finish()

    server = PromptServer(answer)
    server.listen(0, "127.0.0.1")
    reader, writer = await asyncio.open_connection(*next(iter(server._sockets.values())).getsockname())
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 OK")
        assert await reader.readexactly(2) == b"ok"
    writer.close()
    server.stop()
    await server.close_all_connections()
