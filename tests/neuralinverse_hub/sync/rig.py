"""A real git host process, a small real token server in the hub's place, and workspaces with real daemon processes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from neuralinverse_hub import wire

TOKENS = {
    "ada-token": {"kind": "user", "name": "ada", "scopes": ["access:services!service=git"]},
    "bob-token": {"kind": "user", "name": "bob", "scopes": ["access:services!service=git"]},
    "weak-token": {"kind": "user", "name": "ada", "scopes": ["access:services!service=ai-gateway"]},
    "service-token": {"kind": "service", "name": "culler", "scopes": ["access:services"]},
    "odd-token": {"kind": "user", "name": "../ada", "scopes": ["access:services"]},
}


def until(condition: Callable[[], Any], what: str, deadline_s: float = 20.0) -> Any:
    """The first truthy value of ``condition``."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {deadline_s} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TokenServer:
    """Answers ``GET /hub/api/user`` as a hub does."""

    def __init__(self) -> None:
        self.asked = 0
        self.tokens: dict[str, Any] = dict(TOKENS)
        rig = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                rig.asked += 1
                token = (self.headers.get("Authorization") or "").removeprefix("token ")
                model = rig.tokens.get(token)
                body = json.dumps(model or {"status": 403}).encode()
                self.send_response(200 if model else 403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hub/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Host:
    """The embedded git host as its own process."""

    def __init__(self, root: Path, api_url: str) -> None:
        self.root = root
        self.port = free_port()
        self._api_url = api_url
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/git"

    def start(self) -> None:
        env = dict(os.environ) | {
            "NEURALINVERSE_GIT_ROOT": str(self.root),
            "JUPYTERHUB_API_URL": self._api_url,
            "JUPYTERHUB_SERVICE_PREFIX": "/services/git/",
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.port}",
        }
        self.log = self.root.parent / "host.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "neuralinverse_hub.githost"], env=env, stderr=log)
        until(self._listens, f"git host on port {self.port}: {self.log.read_text()}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def repository(self, person: str = "ada", name: str = wire.WORKSPACE_REPOSITORY) -> Path:
        return self.root / person / f"{name}.git"


class PlainHost:
    """A git host as others are: accounts of its own, repositories made beforehand, no hooks of ours, Git's own server."""

    def __init__(self, root: Path, account: tuple[str, str] = ("ada.git", "host-secret")) -> None:
        self.root = root
        self.accounts = {"Basic " + base64.b64encode(":".join(account).encode()).decode()}
        self.refused = 0
        root.mkdir(parents=True)
        for name in (wire.WORKSPACE_REPOSITORY, "project"):
            git(root, "init", "-q", "--bare", "-b", "main", f"ada/{name}.git")
            git(self.repository(name=name), "config", "http.receivepack", "true")
            git(self.repository(name=name), "config", "uploadpack.allowFilter", "true")
            git(self.repository(name=name), "config", "uploadpack.allowReachableSHA1InWant", "true")
        backend = Path(git(root, "--exec-path").strip(), "git-http-backend")
        rig = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Authorization") not in rig.accounts:
                    rig.refused += 1
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="a git host"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                path, _, query = self.path.partition("?")
                done = subprocess.run(
                    [backend],
                    input=body,
                    capture_output=True,
                    env=dict(os.environ)
                    | {
                        "GIT_PROJECT_ROOT": str(root),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "PATH_INFO": path,
                        "QUERY_STRING": query,
                        "REQUEST_METHOD": self.command,
                        "REMOTE_USER": "ada",
                        "CONTENT_TYPE": self.headers.get("Content-Type") or "",
                        "CONTENT_LENGTH": str(len(body)),
                        "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
                    },
                )
                head, _, answer = done.stdout.partition(b"\r\n\r\n")
                fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
                self.send_response(int(fields.pop("Status", "200").split()[0]))
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def repository(self, person: str = "ada", name: str = wire.WORKSPACE_REPOSITORY) -> Path:
        return self.root / person / f"{name}.git"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Workspace:
    """One workspace: its folder, its state, and daemons of one generation after the other."""

    def __init__(self, place: Path, host: Host | PlainHost, *, name: str = "default", token: str = "ada-token") -> None:
        self.place = place
        self.folder = place / "work"
        self.state = place / "state"
        self.host = host
        self.name = name
        self.token = token
        self.generation = 1
        self.extra_env: dict[str, str] = {}
        self.daemon: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(parents=True)
        self.state.mkdir(mode=0o700, parents=True)

    @property
    def env(self) -> dict[str, str]:
        return dict(os.environ) | {
            wire.ENV_FOLDER: str(self.folder),
            wire.ENV_STATE: str(self.state),
            wire.ENV_GIT_REMOTE: f"{self.host.base}/ada/{wire.WORKSPACE_REPOSITORY}.git",
            wire.ENV_WORKSPACE: self.name,
            wire.ENV_GENERATION: str(self.generation),
            wire.ENV_TOKEN: self.token,
            "HOME": str(self.place / "no-home"),
            **self.extra_env,
        }

    def sync(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "neuralinverse_hub.sync", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self) -> None:
        (self.state / wire.SYNC_STATUS_FILE).unlink(missing_ok=True)
        with (self.place / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "neuralinverse_hub.sync", "run"], env=self.env, stderr=log, stdout=log
            )
        until(lambda: self.status_is("protected"), f"first snapshot: {self.log()}", 60)

    def log(self) -> str:
        path = self.place / "daemon.log"
        return path.read_text() if path.exists() else ""

    def status(self) -> dict[str, Any]:
        path = self.state / wire.SYNC_STATUS_FILE
        return json.loads(path.read_text()) if path.exists() else {}

    def status_is(self, state: str) -> bool:
        status = self.status()
        return bool(status) and status["state"] == state and status["generation"] == self.generation

    def flush(self) -> None:
        """What ``sync flush`` does, without the time a process takes to start."""
        assert self.daemon is not None
        asked_at = time.time()
        for _ in range(40):
            assert self.daemon.poll() is None, self.log()
            self.daemon.send_signal(signal.SIGUSR1)
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                status = self.status()
                at = status.get("protected_at")
                if at and datetime.fromisoformat(at).timestamp() >= asked_at - 0.001 and status["pending"] == 0:
                    return
                time.sleep(0.01)
        raise AssertionError(f"not flushed: {self.status()} {self.log()}")

    def kill(self) -> None:
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
            self.daemon = None

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.daemon is not None
        self.daemon.send_signal(number)
        code = self.daemon.wait(30)
        self.daemon = None
        return code

    def lose(self) -> None:
        """What a lost node does: processes killed, folder and state gone; the next start is a new generation."""
        self.kill()
        shutil.rmtree(self.folder)
        self.lose_state()

    def lose_state(self) -> None:
        shutil.rmtree(self.state)
        self.state.mkdir(mode=0o700)
        self.generation += 1

    def restore(self) -> dict[str, Any]:
        done = self.sync("restore")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def on_host(self, path: str) -> bytes | None:
        """Content of a file in the newest snapshot, read with plain git on the host."""
        ref = f"{wire.ref_prefix(self.name, self.generation)}/snap"
        done = subprocess.run(
            ["git", "--git-dir", str(self.host.repository()), "cat-file", "blob", f"{ref}:{path}"], capture_output=True
        )
        return done.stdout if done.returncode == 0 else None


def git(folder: Path, *arguments: str, check: bool = True, **env: str) -> str:
    """Run git as the person would."""
    settings = {
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_EDITOR": "true",
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=dict(os.environ) | settings | env, capture_output=True, text=True
    )
    if check:
        assert done.returncode == 0, f"git {arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def picture(folder: Path) -> dict[bytes, tuple[str, bytes]]:
    """Everything below a folder that a snapshot has to keep, by path: kind and content."""
    root = os.fsencode(folder)
    found: dict[bytes, tuple[str, bytes]] = {}
    todo = [b""]
    while todo:
        at = todo.pop()
        with os.scandir(root + b"/" + at if at else root) as listing:
            for entry in listing:
                path = at + b"/" + entry.name if at else entry.name
                if entry.is_symlink():
                    found[path] = ("link", os.readlink(entry.path))
                elif entry.is_dir():
                    found[path] = ("folder", b"")
                    todo.append(path)
                else:
                    executable = entry.stat().st_mode & 0o100
                    found[path] = ("program" if executable else "file", Path(os.fsdecode(entry.path)).read_bytes())
    return found
