"""Networks between regions: each region in a network namespace of its own, joined by wires that we can slow and cut.

A namespace has its loopback interface and nothing else, so that what is not wired here does not exist for it. A wire
listens inside one namespace and connects inside another; the bytes go through this process. ``cut`` makes it behave as
a network that drops every packet: connections stay open and nothing comes out of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

__all__ = ["Namespace", "Wires", "why_not"]

_CLONE_NEWNET = 0x40000000
_HOME = "/proc/self/ns/net"
_PIECES_UNDER_WAY = 64


def why_not() -> str | None:
    """Why there can be no namespaces here; None when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with Namespace.made("probe"):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces cannot be made here: {error}"


@dataclass(frozen=True)
class Namespace:
    """A network namespace; the one with an empty name is ours."""

    name: str = ""

    @classmethod
    @contextlib.contextmanager
    def made(cls, label: str) -> Iterator[Namespace]:
        """A fresh one, and gone afterwards; processes still in it are killed."""
        name = f"ni-{label[:8]}-{uuid.uuid4().hex[:8]}"
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
        namespace = cls(name)
        try:
            subprocess.run([*namespace.command, "ip", "link", "set", "lo", "up"], check=True, capture_output=True)
            yield namespace
        finally:
            namespace.kill()
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    @property
    def command(self) -> list[str]:
        """What to put in front of a command to run it inside."""
        return ["ip", "netns", "exec", self.name] if self.name else []

    def pids(self) -> list[int]:
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        return [int(pid) for pid in done.stdout.split()]

    def kill(self) -> None:
        """SIGKILL for everything inside, at once, until nothing is left."""
        while pids := self.pids():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            with contextlib.suppress(ChildProcessError):
                for pid in pids:
                    os.waitpid(pid, os.WNOHANG)

    def socket(self) -> socket.socket:
        """A TCP socket that belongs to this namespace, wherever it is used from."""
        made: list[socket.socket | OSError] = []

        def make() -> None:
            # A thread's namespace is its own affair, and this thread ends here.
            libc = ctypes.CDLL(None, use_errno=True)
            path = f"/run/netns/{self.name}" if self.name else _HOME
            with open(path) as handle:
                if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                    made.append(OSError(ctypes.get_errno(), f"setns {path}"))
                    return
            made.append(socket.socket())

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]


@dataclass
class Wire:
    """Its state, which may change while bytes are under way."""

    ends: frozenset[str]
    delay_s: float = 0.0
    passing: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class Wires:
    """All wires of a test, in one thread with an event loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._wires: list[Wire] = []
        self._servers: list[asyncio.Server] = []

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def connect(
        self, ends: tuple[str, str], listen: tuple[Namespace, str, int], target: tuple[Namespace, str, int]
    ) -> None:
        """Whoever connects to ``listen`` gets to ``target``; ``ends`` names the two sides for `delay` and `cut`."""
        asyncio.run_coroutine_threadsafe(self._connect(frozenset(ends), listen, target), self._loop).result(10)

    def delay(self, one: str, other: str, seconds: float) -> None:
        """How long bytes take between the two, one way."""
        for wire in self._between(one, other):
            wire.delay_s = seconds

    def cut(self, one: str, other: str | None = None) -> None:
        """Let nothing through between the two, or between one and everybody."""
        self._loop.call_soon_threadsafe(lambda: [wire.passing.clear() for wire in self._between(one, other)])

    def heal(self, one: str, other: str | None = None) -> None:
        """The opposite of `cut`. Connections of before go on where they were, as TCP's do."""
        self._loop.call_soon_threadsafe(lambda: [wire.passing.set() for wire in self._between(one, other)])

    def drop(self, one: str) -> None:
        """End every connection of one side, as a machine's that is gone for good and was replaced."""
        self._loop.call_soon_threadsafe(
            lambda: [task.cancel() for wire in self._between(one, None) for task in wire.tasks]
        )

    def _between(self, one: str, other: str | None) -> list[Wire]:
        return [wire for wire in self._wires if one in wire.ends and (other is None or other in wire.ends)]

    async def _connect(
        self, ends: frozenset[str], listen: tuple[Namespace, str, int], target: tuple[Namespace, str, int]
    ) -> None:
        wire = Wire(ends)
        wire.passing.set()
        listener = listen[0].socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(listen[1:])
        server = await asyncio.start_server(partial(self._serve, wire, target), sock=listener)
        self._wires.append(wire)
        self._servers.append(server)

    async def _serve(
        self,
        wire: Wire,
        target: tuple[Namespace, str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        wire.tasks.add(task)
        beyond: asyncio.StreamWriter | None = None
        try:
            await wire.passing.wait()
            sock = target[0].socket()
            try:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, target[1:])
                far, beyond = await asyncio.open_connection(sock=sock)
            except BaseException:
                sock.close()
                raise
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(wire, reader, beyond))
                group.create_task(self._pass(wire, far, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            wire.tasks.discard(task)
            for each in (writer, beyond):
                if each is not None:
                    each.close()

    async def _pass(self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A long wire is not a thin one: many bytes are under way at a time.
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES_UNDER_WAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(wire, reader, under_way))
            group.create_task(self._give(wire, under_way, writer))

    async def _take(
        self, wire: Wire, reader: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        while data := await reader.read(1 << 16):
            await under_way.put((self._loop.time() + wire.delay_s, data))
        await under_way.put((self._loop.time() + wire.delay_s, b""))

    async def _give(
        self, wire: Wire, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - self._loop.time())
            await wire.passing.wait()
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for wire in self._wires for task in wire.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
