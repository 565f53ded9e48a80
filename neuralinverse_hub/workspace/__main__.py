"""``python -m neuralinverse_hub.workspace``: the command that every NeuralInverse spawner starts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import ai_provider
from ai_provider import kernel_startup, llm_models
from neuralinverse_hub import wire
from neuralinverse_hub.workspace import agent, ide
from neuralinverse_hub.workspace.place import BadWorkspace, Place

log = logging.getLogger(__name__)


def main() -> int:
    """Start the workspace; extra arguments go to ``jupyterhub-singleuser``."""
    logging.basicConfig(level=logging.INFO, format="[workspace] %(levelname)s %(message)s")
    return asyncio.run(_unclaimed() if os.environ.get(wire.ENV_CLAIM) else _run(os.environ))


async def _run(given: Mapping[str, str], warm: agent.Warm | None = None) -> int:
    try:
        place = Place.of(given)
        place.prepare()
    except BadWorkspace as error:
        log.error("%s", error)
        return 1
    ide.seed_settings(place.state)
    kernel_startup.install(place.home)
    try:
        llm_models.install(place.home)
    except OSError as error:  # a command that has to be told of the gateway by hand is no reason not to start
        log.warning("llm is not told of the gateway's tasks: %s", error)
    environ = place.environment(given, jupyter_config=_jupyter_config())
    server = [
        sys.executable,
        "-m",
        "jupyterhub.singleuser",
        f"--ServerApp.root_dir={place.folder}",
        # Who runs the hub as root, e.g. in a container, has decided that already.
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *sys.argv[1:],
    ]
    return await agent.run(environ, place, server, warm)


async def _unclaimed() -> int:
    """Load everything, wait for the person, and become their workspace; told to stop before that, end with 0."""
    from neuralinverse_hub.workspace.standby import Standby

    own = {name: value for name, value in os.environ.items() if name != wire.ENV_CLAIM}
    # What a server loads depends on its Jupyter settings, which are the same for everybody.
    own["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
        filter(None, [str(_jupyter_config()), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    warm = await agent.Warm.begin(own, Path.cwd())
    standby = Standby(os.environ.pop(wire.ENV_CLAIM), lambda: warm.loaded)
    standby.listen(int(own.get(wire.ENV_STANDBY_PORT, "8888")))
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    claim = asyncio.create_task(standby.claimed(), name="claim")
    loading = asyncio.create_task(warm.load(), name="load")
    stop = asyncio.create_task(told.wait(), name="told to stop")
    try:
        await asyncio.wait({claim, stop, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and not loading.result():
            log.error("the server ended with exit code %s while it loaded", await warm.server.wait())
            return 1
        ended = asyncio.create_task(warm.server.wait(), name="server")
        await asyncio.wait({claim, stop, ended}, return_when=asyncio.FIRST_COMPLETED)
        if claim.done():
            own.pop("JUPYTER_CONFIG_PATH")
            configured = {name: os.environ[name] for name in ("JUPYTER_CONFIG_PATH",) if name in os.environ}
            return await _run({**own, **configured, **claim.result()}, warm)
        return 0 if stop.done() else 1
    finally:
        claim.cancel()
        loading.cancel()
        stop.cancel()
        await asyncio.gather(claim, loading, stop, return_exceptions=True)
        await warm.end()


def _jupyter_config() -> Path:
    return Path(ai_provider.__file__).parent / "jupyter_config"


if __name__ == "__main__":
    sys.exit(main())
