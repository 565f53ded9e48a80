"""People see no token count, no cost of AI and no quota: in no page, no header and no message; operators see what they used."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from neuralinverse_hub import wire
from tests.neuralinverse_hub.economics.real_hub import ACCESS, RealHub, bearer, serving
from tests.one_machine import eventually

pytestmark = pytest.mark.hub

TELLING = re.compile(
    r"\d[\d,.]*\s*(?:ai |input |output |prompt )?tokens?\b|\bquota|\bcosts?\b|\busd\b|[$€]\s?\d|\bcredits?\b|\bbudget"
    r"|\bpric(?:e|es|ing)\b|\bmargin share|\bspent\b",
    re.IGNORECASE,
)
HEADERS = re.compile(r"token|usage|cost|price|usd|quota|limit|remaining|budget", re.IGNORECASE)
GATEWAY = wire.service_scope(wire.GATEWAY_SERVICE)


class Model(http.server.BaseHTTPRequestHandler):
    """An upstream that counts, and tells its limits, as real ones do."""

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "small-model", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        usage = {"prompt_tokens": 1234, "completion_tokens": 567, "total_tokens": 1801}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": "Hello."}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._answer(
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "small-model",
                    "choices": [choice],
                    "usage": usage,
                }
            )
            return
        self._start("text/event-stream")
        base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "small-model"}
        for delta, reason in (({"content": "Hello."}, None), ({}, "stop")):
            chunk = {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(f"data: {json.dumps({**base, 'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n".encode())

    def _start(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        for name in ("x-ratelimit-remaining-tokens", "x-ratelimit-limit-requests", "azureml-model-cost-usd"):
            self.send_header(name, "4711")
        self.end_headers()

    def _answer(self, body: Any) -> None:
        self._start("application/json")
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHub]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        env = {"OPENAI_UPSTREAM_URL": f"http://127.0.0.1:{server.server_address[1]}/v1"}
        with serving(tmp_path_factory.mktemp("nothing-shows"), env) as hub:
            yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def looked_at(answer: requests.Response, text: str | None = None) -> None:
    """Nothing in the headers and in the text says what nobody but operators may know."""
    telling = [name for name in answer.headers if HEADERS.search(name)]
    assert telling == [], answer.url
    for name, value in answer.headers.items():
        assert not TELLING.search(value), (answer.url, name, value)
    found = TELLING.search(answer.text if text is None else text)
    assert found is None, (answer.url, answer.text[max(0, found.start() - 80) : found.end() + 80])


def test_no_page_of_the_hub_or_of_a_service_shows_any(hub: RealHub, tmp_path: Path) -> None:
    ada = hub.browser("ada")
    for path in ("/hub/home", "/hub/token", "/hub/spawn", "/hub/login", "/hub/admin", "/hub/nowhere"):
        looked_at(ada.get(f"{hub.url}{path}", timeout=60))
    for path in ("", "admin", "admin/state", "healthz", "readyz", "metrics", "nowhere"):
        looked_at(ada.get(f"{hub.url}/services/ai-gateway/{path}", timeout=60))
    for path in ("", "api/report", "api/day?day=2026-10-01", "api/whatif", "metrics", "healthz", "nowhere"):
        answer = ada.get(f"{hub.economics}/{path}", timeout=60)
        assert path == "healthz" or answer.status_code in (401, 403, 404)
        looked_at(answer)


def test_no_answer_of_the_gateway_shows_any_and_the_operator_sees_all(hub: RealHub) -> None:
    token = hub.token("ada", [GATEWAY])
    url = f"{hub.url}/services/ai-gateway/v1"
    looked_at(requests.get(f"{url}/models", headers=bearer(token), timeout=60))
    asked = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}

    def ask(**more: Any) -> requests.Response:
        return requests.post(f"{url}/chat/completions", json={**asked, **more}, headers=bearer(token), timeout=60)

    whole = ask()
    assert whole.status_code == 200, whole.text
    # Clients of the API count with `usage`; it is a member of the protocol, and no message to anybody.
    body = whole.json()
    assert body.pop("usage")["total_tokens"] == 1801
    looked_at(whole, json.dumps(body))
    stream = ask(stream=True)
    assert "[DONE]" in stream.text and '"usage"' not in stream.text
    looked_at(stream)
    for wrong in (ask(model="gpt-nothing"), ask(messages="?"), ask(max_tokens=-1)):
        looked_at(wrong)

    # Where it is to be seen, the search finds it.
    assert TELLING.search(hub.browser("root").get(f"{hub.economics}/", timeout=60).text)

    # What the gateway measured is in the ledger, for the operator.
    admin = hub.token("root", [ACCESS, "admin-ui"])
    month = f"{datetime.now(UTC):%Y-%m}"

    def models() -> Any:
        found = hub.report(month, admin, "person")
        return sum(each["requests"] for each in found["models"]) >= 2 and found

    report = eventually("the gateway's records in the ledger", models)
    assert "ada" in report["by"]["rows"] or report["unpriced"]
