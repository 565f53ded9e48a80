"""The ledger of the benchmarks, a process of its own as the real one is: takes records over and writes them down.

Usage: ``python books.py <file>`` prints its port. POST lines of records anywhere. Takes little of the CPU that the gateway
and all others of a benchmark share.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import BinaryIO

from aiohttp import web


def rows(path: str) -> tuple[dict[str, str], int]:
    """Lines by request id, and how many records came that were there already."""
    lines = Path(path).read_text("utf-8").splitlines()
    by_id = {json.loads(line)["request_id"]: line for line in lines}
    return by_id, len(lines) - len(by_id)


async def main(file: BinaryIO) -> None:
    async def usage(request: web.Request) -> web.Response:
        lines = await request.read()
        file.write(lines)
        return web.json_response({"taken": lines.count(b"\n")})

    application = web.Application(client_max_size=64 * 2**20)
    application.router.add_post("/{any:.*}", usage)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with open(sys.argv[1], "ab", buffering=0) as written:
        asyncio.run(main(written))
