"""Which model answers: .env files, Ollama, neither."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from neuralinverse_hub.local import upstreams
from neuralinverse_hub.local.errors import NotReady
from neuralinverse_hub.local.ports import free_port


def test_the_first_folder_that_sets_a_name_wins(tmp_path: Path) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    for folder, text in (
        (here, "AZURE_AI_ENDPOINT=https://here\n"),
        (data, "AZURE_AI_ENDPOINT=https://data\nOLLAMA_HOST=h\n"),
    ):
        folder.mkdir()
        (folder / ".env").write_text(text)
    found = upstreams.read_env(here, data)
    assert found.values == {"AZURE_AI_ENDPOINT": "https://here", "OLLAMA_HOST": "h"}
    assert found.files == (here / ".env", data / ".env")


def test_a_key_is_taken_as_it_is_written_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# a comment\nexport AZURE_AI_API_KEY='a$HOME#${b}'\nOPENAI_UPSTREAM_URL=\n")
    found = upstreams.read_env(tmp_path)
    assert found.values == {"AZURE_AI_API_KEY": "a$HOME#${b}"}
    assert "a$HOME" not in repr(found)


def test_names_that_mean_nothing_here_are_reported_and_not_taken(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "PATH=/evil\nJUPYTERHUB_API_TOKEN=x\nAZURE_AI_ENDPOINT=https://a\nHTTPS_PROXY=http://p\n"
    )
    found = upstreams.read_env(tmp_path)
    assert set(found.values) == {"AZURE_AI_ENDPOINT", "HTTPS_PROXY"}
    assert found.ignored == ("JUPYTERHUB_API_TOKEN", "PATH")


def test_no_file_is_fine_and_an_unreadable_one_is_a_sentence(tmp_path: Path) -> None:
    assert upstreams.read_env(tmp_path).values == {}
    (tmp_path / ".env").write_bytes(b"AZURE_AI_API_KEY=\xff\xfe\n")
    with pytest.raises(NotReady, match=r"Cannot read .*\.env"):
        upstreams.read_env(tmp_path)


def test_what_the_environment_names_is_said_without_its_secrets() -> None:
    said = upstreams.named({"OPENAI_UPSTREAM_URL": "https://user:secret@models.example:8443/v1?key=secret"})
    assert said == "the OpenAI-compatible server at models.example"
    assert upstreams.named({"AZURE_AI_ENDPOINT": "https://r.openai.azure.com", "OPENAI_UPSTREAM_URL": "x"}) == (
        "Azure AI Foundry at r.openai.azure.com"
    )
    assert upstreams.named({"AZURE_AI_ENDPOINT": ""}) is None


@contextmanager
def ollama(models: list[dict[str, str]]) -> Iterator[str]:
    """A server that lists ``models`` as Ollama does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"object": "list", "data": models}).encode()
            self.send_response(200 if self.path == "/v1/models" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"0.0.0.0:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_ollama_counts_when_it_answers_and_has_a_model() -> None:
    with ollama([{"id": "llama3"}]) as address:
        assert upstreams.ollama({"OLLAMA_HOST": address}) == address.replace("0.0.0.0", "127.0.0.1")
        assert upstreams.ollama({"OLLAMA_HOST": f"http://{address}/"}) is not None
    with ollama([]) as address:
        assert upstreams.ollama({"OLLAMA_HOST": address}) is None


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{port}", "http://127.0.0.1:{port}", "::::", "host:port", "127.0.0.1:99999"]
)
def test_no_ollama_is_no_error(address: str) -> None:
    assert upstreams.ollama({"OLLAMA_HOST": address.format(port=free_port())}) is None
