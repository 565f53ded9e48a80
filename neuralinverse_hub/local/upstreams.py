"""Which model answers: what ``.env`` files name, a local Ollama, else the demo model. Values go to the gateway only."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from neuralinverse_hub import wire
from neuralinverse_hub.local.errors import NotReady


@dataclass(frozen=True, slots=True)
class DotEnv:
    """What the ``.env`` files say."""

    values: Mapping[str, str] = field(repr=False)
    """Holds keys, so it is not shown."""
    ignored: tuple[str, ...]
    """Names that mean nothing here."""
    files: tuple[Path, ...]


def read_env(*folders: Path) -> DotEnv:
    """The ``.env`` files of ``folders`` together; the first folder that sets a name wins. Raises NotReady.

    A value is taken as it is written: ``$`` in a key is no variable.
    """
    from dotenv import dotenv_values

    values: dict[str, str] = {}
    files = []
    for folder in dict.fromkeys(folder.absolute() for folder in folders):
        path = folder / ".env"
        if not path.is_file():
            continue
        try:
            found = dotenv_values(path, interpolate=False, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise NotReady(f"Cannot read {path} ({error}): make it readable, UTF-8 text, or take it away.") from error
        files.append(path)
        for name, value in found.items():
            if value:
                values.setdefault(name, value)
    counted = {
        name: value
        for name, value in values.items()
        if name.startswith(wire.UPSTREAM_ENVIRONMENT) or name in wire.NETWORK_ENVIRONMENT
    }
    return DotEnv(counted, tuple(sorted(set(values) - set(counted))), tuple(files))


def named(environment: Mapping[str, str]) -> str | None:
    """What ``environment`` names as the models' server, in words; None when it names nothing."""
    if environment.get("AZURE_AI_ENDPOINT"):
        return f"Azure AI Foundry at {_host(environment['AZURE_AI_ENDPOINT'])}"
    if environment.get("OPENAI_UPSTREAM_URL"):
        return f"the OpenAI-compatible server at {_host(environment['OPENAI_UPSTREAM_URL'])}"
    return None


def _host(url: str) -> str:
    # Never the whole URL: it may carry a key.
    return urlsplit(url if "://" in url else f"//{url}").hostname or "an address without a host name"


def ollama(environment: Mapping[str, str], timeout_s: float = 1) -> str | None:
    """The address of an Ollama that answers and has at least one model; None when there is none."""
    address = environment.get("OLLAMA_HOST") or "127.0.0.1:11434"
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host = parts.hostname or "127.0.0.1"
        secure = parts.scheme == "https"
        # OLLAMA_HOST is also what Ollama itself listens on: all interfaces, without a port.
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        port = parts.port or (443 if secure else 11434)
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(host, port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/models")
            answer = connection.getresponse()
            if answer.status == 200 and json.loads(answer.read()).get("data"):
                return f"{host}:{port}"
    return None
