"""The bare pass-through that the gateway is compared with: tornado serves, aiohttp calls, and nothing else is done.

Usage: ``python bare.py <upstream base URL> [uvloop]`` prints its port. With ``uvloop`` it runs on the same event loop as the gateway.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
from tornado import httpserver, netutil, web


class Pass(web.RequestHandler):
    def initialize(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def post(self) -> None:
        headers = {"Content-Type": "application/json", "Authorization": self.request.headers["Authorization"]}
        url = self.base + self.request.path.rpartition("/v1/")[2]
        async with self.session.post(url, data=self.request.body, headers=headers) as response:
            self.set_header("Content-Type", response.headers["Content-Type"])
            if response.content_type != "text/event-stream":
                self.finish(await response.read())
                return
            while piece := await response.content.readany():
                self.write(piece)
                await self.flush()


async def main() -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Accept-Encoding": "identity"}) as session:
        application = web.Application(
            [(r".*", Pass, {"session": session, "base": sys.argv[1]})], log_function=lambda handler: None
        )
        sockets = netutil.bind_sockets(0, "127.0.0.1")
        httpserver.HTTPServer(application).add_sockets(sockets)
        print(sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    factory = None
    if "uvloop" in sys.argv[2:]:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
