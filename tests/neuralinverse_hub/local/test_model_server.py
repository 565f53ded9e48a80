"""The demo model over HTTP, as the gateway and any OpenAI client meet it. Real weights, real answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import openai
import psutil
import pytest

from tests.one_machine import eventually

MODEL = "SmolLM2-135M-Instruct (demo model)"
KEY = "test-key"


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=KEY, max_retries=0, timeout=120)

    def post(self, path: str, body: Any, key: str = KEY) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


@contextmanager
def started(installed: Any, *arguments: str, **options: Any) -> Iterator[Server]:
    if installed.model_server_command is None:
        pytest.skip(f"no demo model on this platform: {installed.notices}")
    process = subprocess.Popen(
        [*installed.model_server_command, *arguments],
        env={**os.environ, "NEURALINVERSE_DEMO_MODEL_KEY": KEY},
        stdout=subprocess.PIPE,
        **options,
    )
    try:
        assert process.stdout is not None
        yield Server(process, json.loads(process.stdout.readline())["port"])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server(installed: Any) -> Iterator[Server]:
    with started(installed) as server:
        yield server


def chat(text: str = "Say hello.", **options: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 16, **options}


def test_a_request_before_the_model_is_loaded_is_held_and_answered(installed: Any) -> None:
    with started(installed) as server:
        with urllib.request.urlopen(f"{server.url}/healthz", timeout=10) as answer:
            assert json.load(answer)["model"] == MODEL
        status, body = server.post("/v1/chat/completions", chat())
        assert status == 200 and body["choices"][0]["message"]["content"].strip()


def test_an_openai_client_gets_an_answer_with_its_real_name_and_usage(server: Server) -> None:
    answer = server.client.chat.completions.create(
        model="mistral-large",
        messages=[
            {"role": "system", "content": "You answer in one short sentence."},
            {"role": "user", "content": "What is the capital of France?"},
        ],
        max_tokens=40,
        temperature=0,
    )
    assert answer.model == MODEL
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 15 and 0 < answer.usage.completion_tokens <= 40
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_comes_in_pieces_that_make_the_whole(server: Server) -> None:
    body = chat("Count from one to ten.", temperature=0, seed=1, max_tokens=24)
    _, whole = server.post("/v1/chat/completions", body)
    stream = server.client.chat.completions.create(
        model="x", stream=True, stream_options={"include_usage": True}, **{k: v for k, v in body.items()}
    )
    chunks = list(stream)
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 3
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == whole["usage"]["completion_tokens"]
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]
    assert {chunk.model for chunk in chunks} == {MODEL}


def test_a_stream_without_being_asked_has_no_usage(server: Server) -> None:
    chunks = list(server.client.chat.completions.create(model="x", stream=True, **chat(max_tokens=3)))
    assert all(chunk.choices for chunk in chunks)


def test_earlier_turns_are_heard(server: Server) -> None:
    turns = [
        {"role": "user", "content": "The capital of Zubrowka is Nebelsbad."},
        {"role": "assistant", "content": "Yes, the capital of Zubrowka is Nebelsbad."},
        {"role": "user", "content": [{"type": "text", "text": "What is the capital of Zubrowka?"}]},
    ]
    _, body = server.post("/v1/chat/completions", {"messages": turns, "max_tokens": 20, "temperature": 0})
    assert "Nebelsbad" in body["choices"][0]["message"]["content"]


def test_max_tokens_is_a_limit_and_says_so(server: Server) -> None:
    _, body = server.post("/v1/chat/completions", chat("Tell me a long story.", max_tokens=5))
    assert body["usage"]["completion_tokens"] <= 5
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_stop_string_ends_the_answer_and_is_not_in_it(server: Server) -> None:
    body = chat("Repeat exactly: alpha beta gamma delta", max_tokens=40, temperature=0)
    _, free = server.post("/v1/chat/completions", body)
    text = free["choices"][0]["message"]["content"]
    stop = text[len(text) // 2 :][:3]
    _, stopped = server.post("/v1/chat/completions", {**body, "stop": [stop]})
    assert stopped["choices"][0]["finish_reason"] == "stop"
    assert stopped["choices"][0]["message"]["content"] == text[: text.index(stop)]


def test_plain_completion(server: Server) -> None:
    answer = server.client.completions.create(
        model="x", prompt="def add(a, b):\n    return", max_tokens=8, temperature=0
    )
    assert answer.object == "text_completion" and answer.model == MODEL and answer.choices[0].text.strip()
    pieces = list(server.client.completions.create(model="x", prompt="one two three", max_tokens=6, stream=True))
    assert len(pieces) > 2


def test_models_are_listed(server: Server) -> None:
    assert [model.id for model in server.client.models.list()] == [MODEL]


def test_without_the_key_nothing_is_answered(server: Server) -> None:
    for key in ("", "wrong", KEY + "x"):
        status, body = server.post("/v1/chat/completions", chat(), key=key)
        assert status == 401 and body["error"]["code"] == "invalid_api_key"


BAD: dict[str, Any] = {
    "not JSON": b"{",
    "a list": [],
    "no messages": {},
    "empty messages": {"messages": []},
    "unknown role": {"messages": [{"role": "robot", "content": "x"}]},
    "a message that is none": {"messages": ["hello"]},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
    "content of a wrong type": {"messages": [{"role": "user", "content": 3}]},
    "two answers": chat(n=2),
    "temperature": chat(temperature=3),
    "temperature as text": chat(temperature="hot"),
    "no tokens": chat(max_tokens=0),
    "half a token": chat(max_tokens=1.5),
    "an empty stop": chat(stop=""),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_a_sentence_in_openais_shape(server: Server, case: str) -> None:
    status, body = server.post("/v1/chat/completions", BAD[case])
    assert status == 400
    assert set(body["error"]) == {"message", "type", "code", "param"}
    assert body["error"]["message"].endswith(".")


def test_an_unknown_path_is_404(server: Server) -> None:
    status, body = server.post("/v1/embeddings", {})
    assert status == 404 and "/v1/embeddings" in body["error"]["message"]


@pytest.mark.parametrize("words", [6_000, 1_000_000])
def test_a_prompt_that_does_not_fit_is_refused_with_the_limit(server: Server, words: int) -> None:
    status, body = server.post("/v1/chat/completions", chat("word " * words))
    assert status == 400
    assert body["error"]["code"] == "context_length_exceeded"
    assert "4096 tokens" in body["error"]["message"]


def test_a_body_without_end_is_refused_and_the_server_lives(server: Server) -> None:
    status, _ = server.post("/v1/chat/completions", b" " * (17 * 1024 * 1024))
    assert status == 413
    assert server.post("/v1/chat/completions", chat(max_tokens=1))[0] == 200


def test_many_at_once_are_all_answered_in_order_of_arrival(server: Server) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: server.post("/v1/chat/completions", chat(max_tokens=4)), range(6)))
    assert [status for status, _ in answers] == [200] * 6


def test_a_client_that_leaves_frees_the_model(server: Server) -> None:
    long = chat("Tell me a very long story about the sea.", max_tokens=3000, temperature=1)
    with server.client.chat.completions.create(model="x", stream=True, **long) as stream:
        next(iter(stream))
        queued = server.client.with_options(timeout=0.5)
        with pytest.raises(openai.APITimeoutError):
            queued.chat.completions.create(model="x", **long)
    # Neither the one that was answered nor the one that waited keeps the next from its turn: 3000 tokens take a minute.
    assert server.client.with_options(timeout=30).chat.completions.create(model="x", **chat(max_tokens=2)).choices


def test_it_listens_on_this_machine_only(server: Server) -> None:
    listening = [
        c.laddr.ip for c in psutil.Process(server.process.pid).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_the_key_is_on_no_command_line(server: Server) -> None:
    assert KEY not in " ".join(psutil.Process(server.process.pid).cmdline())


def test_it_ends_when_asked_and_with_whoever_started_it(installed: Any) -> None:
    with started(installed) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
    with started(installed, "--exit-with-stdin", stdin=subprocess.PIPE) as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.stdin = None
        assert server.process.wait(10) == 0


def test_a_port_that_is_taken_ends_it_with_a_sentence(server: Server, installed: Any) -> None:
    done = subprocess.run(
        [*installed.model_server_command, "--port", str(server.port)],
        env={**os.environ, "NEURALINVERSE_DEMO_MODEL_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 4
    assert f"cannot listen on port {server.port}" in done.stderr


def test_memory_stays_below_half_a_gigabyte(server: Server) -> None:
    eventually("the model being loaded", lambda: server.post("/v1/chat/completions", chat(max_tokens=1))[0] == 200)
    assert psutil.Process(server.process.pid).memory_info().rss < 500e6
