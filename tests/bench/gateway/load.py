"""The load of the benchmarks: requests on kept-alive connections, and streams, with as little work as Python allows."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Target", "Throughput", "cpu_s", "requests", "rss_mb", "streams"]

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Target:
    """What is asked: the URL of its API (ending in ``/v1``), and the headers and model it wants."""

    name: str
    url: str
    pid: int | None = None
    model: str = "general"
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": "Bearer ada-token"})

    def request(self, text: str, *, stream: bool) -> bytes:
        """One whole HTTP request."""
        parts = urlsplit(self.url)
        body = json.dumps(
            {
                "model": self.model,
                "messages": [{"role": "user", "content": text}],
                **({"stream": True} if stream else {}),
            }
        ).encode()
        headers = {"Host": parts.netloc, "Content-Type": "application/json", **self.headers}
        lines = [
            f"POST {parts.path}/chat/completions HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


@dataclass(frozen=True)
class Throughput:
    """What came of it. ``cpu_us`` is of the target's processes, per request or event."""

    per_s: float
    p50_ms: float
    cpu_us: float
    count: int
    failed: int = 0
    """What was answered with anything but 200, and counts for nothing else."""


async def requests(target: Target, connections: int, seconds: float) -> Throughput:
    """Ask without pause on so many connections for so long."""
    data = target.request("Say hello to everybody", stream=False)
    took: list[float] = []
    failed: list[bytes] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await _connect(target)
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            await _body(reader, head)
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                failed.append(head)
                continue
            took.append(time.perf_counter() - started)
        writer.close()

    cpu, started = cpu_s(target.pid), time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(connections)))
    spent, elapsed = cpu_s(target.pid) - cpu, time.perf_counter() - started
    return Throughput(len(took) / elapsed, _p50(took), spent / max(len(took), 1) * 1e6, len(took), len(failed))


async def streams(target: Target, count: int, *, events: int, rate: int) -> Throughput:
    """Open so many streams at once; ``p50_ms`` is the time to the first event, ``per_s`` counts events."""
    data = target.request(f"events={events} rate={rate}", stream=True)
    first: list[float] = []
    failed: list[bytes] = []
    seen = 0

    async def ask() -> None:
        nonlocal seen
        reader, writer = await _connect(target)
        started = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            failed.append(head)
            writer.close()
            return
        tail = b""
        while b"[DONE]" not in tail:
            piece = await reader.read(65536)
            if not piece:
                failed.append(b"the stream broke off")
                break
            if (found := (tail[-5:] + piece).count(b"data: ")) and tail == b"":
                first.append(time.perf_counter() - started)
            seen += found
            tail = tail[-5:] + piece
        writer.close()

    cpu, started = cpu_s(target.pid), time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(count)))
    spent, elapsed = cpu_s(target.pid) - cpu, time.perf_counter() - started
    return Throughput(seen / elapsed, _p50(first), spent / max(seen, 1) * 1e6, seen, len(failed))


def cpu_s(pid: int | None) -> float:
    """CPU seconds that a process and its children used so far."""
    return sum(_own_cpu_s(each) for each in _family(pid)) if pid else 0.0


def rss_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _own_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _p50(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] * 1000 if values else float("nan")


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(target.url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    lower = head.lower()
    if (at := lower.find(b"content-length:")) >= 0:
        await reader.readexactly(int(lower[at + 15 : lower.index(b"\r\n", at)]))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)
