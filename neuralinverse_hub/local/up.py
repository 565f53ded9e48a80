"""``neuralinverse-hub up``: checks, installs, starts, says where to go, watches, and stops everything again."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from neuralinverse_hub.local.data import DataFolder, default_folder

if TYPE_CHECKING:
    # Imported where they are needed: --help has to be instant.
    from neuralinverse_hub.local.install import Installed
    from neuralinverse_hub.local.serving import DemoModel, Hub


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``neuralinverse-hub up``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = """\
Serves the whole product on this machine, for this machine: installs what is missing (once, into a per-user cache),
then starts the hub on 127.0.0.1 and prints where to go and the password. Ctrl-C stops every process it started."""
    parser.epilog = """\
Which model answers: what .env names (see .env.example; read from the current folder and from the data folder), else a
local Ollama if one answers, else a small demo model that shows that the path works and is often wrong.

Everyone who has the password can use any account: it is meant for one team that trusts itself."""
    parser.add_argument("--port", type=_port, default=8000, help="port to serve on, 0 for any free one (default: 8000)")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help=f"where all data is kept (default: {default_folder()})"
    )
    parser.add_argument("--user", metavar="NAME", help="the name to log in with (default: your account's name)")
    parser.add_argument("--no-model", action="store_true", help="neither install nor start the demo model")
    parser.add_argument("--open", action="store_true", help="open the browser when it serves")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535, or 0 for any free one")


class _Stopped(BaseException):
    """A signal asked us to stop. Not an Exception: nothing on the way may swallow it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@dataclass(slots=True)
class _Signals:
    """Ctrl-C, ``kill`` and a closed terminal all mean: stop in order. A second one means: at once."""

    stopping: bool = False
    impatient: bool = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {each: signal.signal(each, self._on_signal) for each in caught}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if self.stopping:
            self.impatient = True
            return
        self.stopping = True
        raise _Stopped(signum)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal; the exit code. Raises LocalError with a sentence for the person."""
    from neuralinverse_hub.local import checks

    signals = _Signals()
    data = DataFolder((options.data_dir or default_folder()).expanduser().resolve())
    with signals.handled():
        try:
            checks.git()
            user = checks.user(options.user)
            data.prepare()
            port = options.port or checks.port(0)
            with data.claimed(f"http://127.0.0.1:{port}"):
                return _claimed(options, data, user, port, signals)
        except _Stopped as stopped:
            _say("Stopped before anything was started; the same command continues.")
            return 128 + stopped.signum


def _claimed(options: argparse.Namespace, data: DataFolder, user: str, port: int, signals: _Signals) -> int:
    """The part that only one ``up`` per data folder does at a time."""
    from neuralinverse_hub.local import checks, processes, serving

    serving.end_leftovers(data.root, _say)
    checks.port(port)
    plan = _plan(options, data)
    processes.adopt_orphans()
    hub = None
    try:
        model = _start_model(plan, data)
        hub = _start_hub(plan, model, data, user, port)
        _welcome(options, plan, hub, data, user)
        _watch(hub, model)
    except _Stopped:
        _say("\nStopping. Workspaces save their work; a second Ctrl-C does not wait for them.")
        return 0
    finally:
        signals.stopping = True
        serving.stop(hub.process if hub else None, data.root, lambda: signals.impatient)
        _say("Everything is stopped.")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What will be started, decided before anything is."""

    installed: Installed
    environment: dict[str, str] = field(repr=False)
    answers: str
    """Which model answers, in words."""
    demo: bool


def _plan(options: argparse.Namespace, data: DataFolder) -> _Plan:
    from neuralinverse_hub import wire
    from neuralinverse_hub.local import install, upstreams

    dot_env = upstreams.read_env(Path.cwd(), data.root)
    if dot_env.ignored:
        _say(
            f"Ignored in .env: {', '.join(dot_env.ignored)}. What counts there begins with "
            f"{', '.join(wire.UPSTREAM_ENVIRONMENT)}; see .env.example."
        )
    # What is exported in the shell wins over files. A hub around us (a terminal in a workspace) is not our hub.
    exported = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")}
    environment = {**dot_env.values, **exported, wire.ENV_DATA_DIR: str(data.root)}
    answers = upstreams.named(environment)
    if answers is None and (address := upstreams.ollama(environment)):
        answers = f"Ollama at {address}"
    demo = answers is None and not options.no_model
    installed = install.ensure(install.ALL if demo else install.WITHOUT_MODEL)
    demo = demo and installed.model_server_command is not None
    if demo:
        answers = "the demo model SmolLM2-135M-Instruct: it shows that the path works and is often wrong"
    return _Plan(installed, environment, answers or _NO_MODEL, demo)


_NO_MODEL = "no model: name one in .env (see .env.example), run Ollama, or start without --no-model"


def _start_model(plan: _Plan, data: DataFolder) -> DemoModel | None:
    from neuralinverse_hub import wire
    from neuralinverse_hub.local.serving import DemoModel

    if not plan.demo or plan.installed.model_server_command is None:
        return None
    # Its own key is the only secret it needs.
    environment = {
        name: value for name, value in plan.environment.items() if not name.startswith(wire.UPSTREAM_ENVIRONMENT)
    }
    model = DemoModel(plan.installed.model_server_command, environment, data.model_log)
    model.start()
    return model


def _start_hub(plan: _Plan, model: DemoModel | None, data: DataFolder, user: str, port: int) -> Hub:
    from neuralinverse_hub.local.handover import ENV_HANDOVER, Handover
    from neuralinverse_hub.local.ports import free_port
    from neuralinverse_hub.local.serving import Hub

    installed = plan.installed
    data.password()
    hub_port = proxy_api_port = port
    while len({port, hub_port, proxy_api_port}) < 3:
        hub_port, proxy_api_port = free_port(), free_port()
    Handover(
        data_dir=str(data.root),
        port=port,
        hub_port=hub_port,
        proxy_api_port=proxy_api_port,
        user=user,
        password_file=str(data.password_file),
        node=str(installed.node),
        code_server_entry=str(installed.code_server_entry),
        proxy_command=list(installed.proxy_command or ()),
        workspaces_dir=str(data.workspaces),
        git_root=str(data.git),
    ).write(data.handover)
    upstream = model.gateway_environment if model else {}
    hub = Hub(
        {**plan.environment, **upstream, ENV_HANDOVER: str(data.handover)}, port, hub_port, data.hub_log, data.root
    )
    hub.start()
    return hub


def _welcome(options: argparse.Namespace, plan: _Plan, hub: Hub, data: DataFolder, user: str) -> None:
    """Wait until it serves, then say where to go."""
    _say("Starting the hub …")
    hub.await_ready()
    answers = plan.answers
    if not hub.await_gateway():
        answers = f"not available, the gateway does not answer: see {data.hub_log}"
    url = f"http://127.0.0.1:{hub.port}"
    _say(
        f"\nNeural Inverse is ready.\n\n"
        f"  URL       {url}\n"
        f"  User      {user}\n"
        f"  Password  {data.password()}   (kept in {data.password_file})\n"
        f"  AI        {answers}\n"
        f"  Operator  admin, with the password in {data.root / 'admin_password'}: {url}/services/economics/\n\n"
        f"Ctrl-C stops everything. Data: {data.root}; log of the hub: {data.hub_log}"
    )
    if options.open:
        _open(url)


def _open(url: str) -> None:
    """Open the person's browser; what this starts is theirs and outlives us."""
    from neuralinverse_hub.local.serving import BROWSER_MARKER

    subprocess.Popen(
        (sys.executable, "-m", "webbrowser", url),
        env={**os.environ, BROWSER_MARKER: "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _watch(hub: Hub, model: DemoModel | None) -> NoReturn:
    """Look after what runs until a signal comes. Raises ServiceFailed when the hub ends by itself."""
    from neuralinverse_hub.local import logs, processes

    ours = [each.process.pid for each in (hub, model) if each and each.process]
    looked = time.monotonic()
    while True:
        time.sleep(0.5)
        hub.check()
        if model and (sentence := model.watch()):
            _say(sentence)
            ours = [each.process.pid for each in (hub, model) if each.process]
        if time.monotonic() - looked > 10:
            looked = time.monotonic()
            processes.reap(ours)
            logs.rotate(hub.log)


def _say(sentence: str) -> None:
    try:
        print(sentence, flush=True)
    except OSError:
        # The terminal is gone, which must not keep us from stopping in order.
        sys.stdout = open(os.devnull, "w")
