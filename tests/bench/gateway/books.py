"""The ledger of the benchmarks, a process of its own as the real one is: takes records over and writes them to SQLite, once each.

Usage: ``python books.py <database>`` prints its port. POST lines of records anywhere.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys

from aiohttp import web


def rows(path: str) -> tuple[dict[str, str], int]:
    """Lines by request id, and how many records came that were there already."""
    with sqlite3.connect(path) as database:
        lines = dict(database.execute("SELECT id, line FROM usage"))
        (again,) = database.execute("SELECT count(*) FROM again").fetchone()
    return lines, again


def take(path: str, lines: list[str]) -> None:
    with sqlite3.connect(path) as database:
        ids = [json.loads(line)["request_id"] for line in lines]
        database.executemany("INSERT INTO again SELECT id FROM usage WHERE id = ?", [(each,) for each in ids])
        database.executemany("INSERT OR IGNORE INTO usage VALUES (?, ?)", list(zip(ids, lines, strict=True)))


async def main() -> None:
    path = sys.argv[1]
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE IF NOT EXISTS usage (id TEXT PRIMARY KEY, line TEXT)")
        database.execute("CREATE TABLE IF NOT EXISTS again (id TEXT)")

    async def usage(request: web.Request) -> web.Response:
        lines = (await request.text()).splitlines()
        await asyncio.to_thread(take, path, lines)
        return web.json_response({"taken": len(lines)})

    application = web.Application(client_max_size=64 * 2**20)
    application.router.add_post("/{any:.*}", usage)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
