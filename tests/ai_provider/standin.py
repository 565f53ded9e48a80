"""A gateway to test against: real HTTP/1.1 with keep-alive and server-sent events; what it does depends on the model asked for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "a-workspace-token"
WHO = "SmolLM2-135M-Instruct (demo model)"
PAUSE_S = 0.07
"""Between two pieces: longer than the pace at which a notebook is redrawn."""

TASKS = ("auto", "reasoning", "coding", "general")
MODELS = ("deepseek-r1", "llama-4", "mistral-large")


class StandIn:
    """Listens on a free port of 127.0.0.1. ``asked`` are the bodies it got, ``left`` the models whose reader went away."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.left: list[str] = []
        self.connections = 0
        self.released = threading.Event()
        self.holding = threading.Event()
        """An answer of "held" waits in its middle; a GET of …/release lets it go on."""
        self.replies: dict[str, str] = {}
        """What a model says, instead of a greeting."""
        self.pause_s = PAUSE_S
        self.narrow_bytes = 2_500
        """The longest request that the model "narrow" takes."""
        self.fail_next: str | None = None
        """What the next question does, whatever it asks for."""
        standin = self

        class Handler(GatewayHandler):
            owner = standin

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/ai-gateway/v1"

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def environment(self) -> dict[str, str]:
        return {"NEURALINVERSE_GATEWAY_URL": self.url, "JUPYTERHUB_API_TOKEN": TOKEN}


class GatewayHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: StandIn

    def setup(self) -> None:
        super().setup()
        self.owner.connections += 1

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.endswith("/release"):
            waited, owner = self.owner.holding.is_set(), self.owner
            owner.holding.clear()
            self.reply(200 if waited else 409, {})
            return
        if not self.authorised():
            return
        assert self.path == "/services/ai-gateway/v1/models"
        listed = [card(name, "task") for name in TASKS] + [card(name, "model") for name in MODELS]
        self.reply(200, {"object": "list", "data": listed})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.authorised():
            return
        asked = json.loads(body)
        self.owner.asked.append(asked)
        model, self.owner.fail_next = self.owner.fail_next or asked["model"], None
        play: dict[str, Callable[[], None]] = {
            "cut": self.cut,
            "stall": self.stall,
            "silent": self.silent,
            "failing": self.failing,
            "broken": lambda: self.reply(500, None),
            "away": lambda: self.reply(502, None),
            "refusing": lambda: self.refuse(400, "This model takes no questions today.", "unsupported_value"),
            "narrow": lambda: self.narrow(len(body)),
            "held": self.held,
            "whole": self.whole,
        }
        if model in play:
            play[model]()
        elif model in (*TASKS, *MODELS, "thinking", "nothing") or model in self.owner.replies:
            self.answer(model)
        else:
            self.refuse(404, f"unknown model {model}", "model_not_found")

    def answer(self, model: str) -> None:
        said = self.owner.replies.get(model, "" if model == "nothing" else "Hello from **the** gateway. Grüße, 世界")
        self.begin("coding" if model == "auto" else model)
        if model == "thinking":
            self.chunk(b": busy, 2 before you position=3 wait_s=12\n\n")
            time.sleep(8 * self.owner.pause_s)
            for _ in range(3):
                self.event({"reasoning_content": "hmm "})
                time.sleep(self.owner.pause_s)
        words = said.split(" ")
        for number, word in enumerate(words):
            self.event({"content": word if number == 0 else " " + word})
            time.sleep(self.owner.pause_s)
        self.event({}, finish="stop")
        self.data("[DONE]")
        self.chunk(b"")

    def cut(self) -> None:
        self.begin("general")
        self.event({"content": "The first half"})
        time.sleep(self.owner.pause_s)
        self.close_connection = True

    def stall(self) -> None:
        self.begin("general")
        self.event({"content": "The first half"})
        self.wait_for_reader_to_leave("stall")

    def narrow(self, size: int) -> None:
        if size > self.owner.narrow_bytes:
            said = f"the prompt is too long: about {size // 4:,} tokens; the largest window connected is 600 tokens"
            self.refuse(400, said, "context_length_exceeded")
        else:
            self.answer("narrow")

    def held(self) -> None:
        self.begin("general")
        self.event({"content": "The first half"})
        self.owner.holding.set()
        deadline = time.monotonic() + 20
        while self.owner.holding.is_set() and time.monotonic() < deadline:
            time.sleep(0.005)
        self.event({"content": " and the second" if not self.owner.holding.is_set() else " alone"})
        self.event({}, finish="stop")
        self.data("[DONE]")
        self.chunk(b"")

    def silent(self) -> None:
        self.wait_for_reader_to_leave("silent")

    def failing(self) -> None:
        self.begin("general")
        self.event({"content": "The first half"})
        self.data(
            json.dumps({"error": {"message": "the upstream fell over.", "type": "server_error", "code": "upstream"}})
        )
        self.chunk(b"")

    def whole(self) -> None:
        message = {"role": "assistant", "content": "All at once."}
        self.reply(200, {"model": WHO, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def wait_for_reader_to_leave(self, model: str) -> None:
        self.connection.settimeout(0.02)
        while not self.owner.released.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        if not self.owner.released.is_set():
            self.owner.left.append(model)
        self.close_connection = True

    def begin(self, task: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("X-Neuralinverse-Task", task)  # tornado writes header names like this
        self.end_headers()

    def event(self, delta: dict[str, str], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self.data(
            json.dumps({"object": "chat.completion.chunk", "model": WHO, "choices": [choice]}, ensure_ascii=False)
        )

    def data(self, text: str) -> None:
        raw = f"data: {text}\n\n".encode()
        middle = len(raw) // 2  # also inside a character
        self.chunk(raw[:middle])
        self.chunk(raw[middle:])

    def chunk(self, raw: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
        self.wfile.flush()

    def authorised(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {TOKEN}":
            return True
        self.refuse(401, "this token is unknown", "invalid_api_key")
        return False

    def refuse(self, status: int, message: str, code: str) -> None:
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error", "code": code}})

    def reply(self, status: int, body: dict[str, Any] | None) -> None:
        raw = b"<html>oops</html>" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if body is None else "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def card(name: str, kind: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "neuralinverse": {"kind": kind, "served_by": WHO, "upstream": "demo"}}
