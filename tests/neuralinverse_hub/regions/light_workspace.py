"""A workspace whose agent, restore and sync are the real ones, and whose server is a few lines: no JupyterLab to load.

Started by the hub in the place of ``python -m neuralinverse_hub.workspace``. Run with ``serve`` it is that server.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from urllib.parse import urlsplit

from neuralinverse_hub.workspace import agent, saving
from neuralinverse_hub.workspace.place import Place


def main() -> int:
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
        return 0
    place = Place.of(os.environ)
    place.prepare()
    return asyncio.run(agent.run(dict(os.environ), place, [sys.executable, "-m", __spec__.name, "serve"]))


async def _serve() -> None:
    from tornado import web

    address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])

    class Anything(web.RequestHandler):
        def get(self) -> None:
            self.set_header("X-JupyterHub-Version", "0")
            self.finish({"generation": os.environ["NEURALINVERSE_GENERATION"]})

    class Flush(web.RequestHandler):
        async def post(self) -> None:
            status, body = await saving.flush()
            self.set_status(status)
            self.finish(json.dumps(body))

    web.Application([(".*/neuralinverse/flush", Flush), (".*", Anything)]).listen(address.port or 0, "127.0.0.1")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
