"""The routing table out of data: the rows we ship (``table.json``), then the operator's environment on top.

Pure but for reading that file. Decides what a setting means and what is wrong with it; asks no server anything.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import Any, Final, cast, get_args
from urllib.parse import urlsplit

from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.gateway.router import AUTO, Deployment, Model, Need, Price, Table, Upstream
from neuralinverse_hub.gateway.tasks import TASKS

__all__ = ["ADVICE", "explicit_rows", "parse_table", "safe_url", "shipped_rows", "stand_in_row", "stand_ins"]

ADVICE: Final = (
    "in the operator's .env set AZURE_AI_ENDPOINT and AZURE_AI_API_KEY (Azure AI Foundry), "
    "or OPENAI_UPSTREAM_URL (any OpenAI-compatible server), or start Ollama on this machine"
)

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")
"""What rows may be called: their names stand in URLs and headers."""
EVERYTHING: Final[frozenset[Need]] = frozenset(get_args(Need))
DEMO_WINDOW: Final = 4096
LEGACY_VERSION: Final = "2024-05-01-preview"
OLLAMA_DEFAULT: Final = "127.0.0.1:11434"
UNKNOWN_WINDOW: Final = 131_072
"""Assumed of a server that does not say; it refuses what is too long for it by itself."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_METADATA_HOSTS: Final = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})
_METADATA_ADDRESSES: Final = frozenset(
    ipaddress.ip_address(text) for text in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)


def shipped_rows() -> dict[str, Any]:
    """Tasks, models, prices and retirements as this version ships them, in their JSON form."""
    text = resources.files("neuralinverse_hub.gateway").joinpath("table.json").read_text("utf-8")
    return cast("dict[str, Any]", json.loads(text))


def parse_table(data: Mapping[str, Any]) -> Table:
    """A table from its JSON form. Raises `ConfigurationError` naming the row and the member that is wrong."""
    models = {name: _model(name, row) for name, row in _mapping(data, "models").items()}
    tasks = {task: tuple(_mapping(data, "tasks").get(task) or ()) for task in TASKS}
    for task, chain in tasks.items():
        if not chain:
            raise ConfigurationError(f"table: task {task!r} has no model; name at least one of {', '.join(models)}")
        for name in chain:
            if name not in models:
                raise ConfigurationError(
                    f"table: task {task!r} names an unknown model {name!r}; known: {', '.join(models)}"
                )
    for model in models.values():
        if not NAME.fullmatch(model.name):
            raise ConfigurationError(f"table: a model may not be called {model.name!r}: use letters, digits and ._:/-")
        if model.name in (AUTO, *TASKS):
            raise ConfigurationError(f"table: a model may not be called {model.name!r}: that is a task")
        if model.successor is not None and model.successor not in models:
            raise ConfigurationError(f"table: {model.name!r} names an unknown successor {model.successor!r}")
    return Table(tasks=tasks, models=models, advice=ADVICE)


def explicit_rows(table: Table, env: Mapping[str, str]) -> tuple[Deployment, ...]:
    """Deployments the operator named: Azure first, then the OpenAI-compatible server; each where its setting says.

    The OpenAI-compatible row has an empty ``deployment`` when OPENAI_UPSTREAM_MODEL is not set: whoever connects asks
    the server what it has.
    """
    return (*_azure(table, env), *_openai(table, env))


def stand_ins(table: Table, env: Mapping[str, str]) -> tuple[Deployment, ...]:
    """Deployments of a fresh machine, to be asked what they serve before use: Ollama, then the demo model.

    The demo model is on this machine, so what it is sent stays where the gateway is; so does Ollama's on this machine.
    """
    rows = [_stand_in(table, _ollama(env), rank=20, window=UNKNOWN_WINDOW)]
    if url := _setting(env, "NEURALINVERSE_DEMO_MODEL_URL"):
        demo = Upstream(
            "demo",
            "local",
            safe_url("NEURALINVERSE_DEMO_MODEL_URL", url),
            key=_setting(env, "NEURALINVERSE_DEMO_MODEL_KEY"),
        )
        rows.append(
            replace(
                _stand_in(table, demo, rank=30, window=DEMO_WINDOW),
                can=frozenset({"chat", "completions"}),
                # It answers one request at a time, first come first served: the queue is better here, where it is fair.
                at_once=1,
            )
        )
    return tuple(rows)


def stand_in_row(row: Deployment, served: str) -> Deployment:
    """The row once its server said what it serves; the demo model's name says that it is one."""
    label = served
    if row.upstream.name == "demo" and "demo" not in served.lower():
        label = f"{served} (demo model)"
    return replace(row, deployment=served, label=label)


def safe_url(setting: str, value: str) -> str:
    """``value`` as a base URL ending in a slash. Raises `ConfigurationError` when nothing good can be behind it."""
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{setting}={value!r} is not a URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"{setting}={value!r} is not an http(s) URL; example: https://example.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(f"{setting}: give a plain base URL, without user, password, query or fragment")
    if forbidden_host(host):
        raise ConfigurationError(f"{setting}={value!r} points at a cloud's metadata address; no model is served there")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}/"


def forbidden_host(host: str) -> bool:
    """Whether a host name or address is a cloud's metadata service, or on the link-local network where those live."""
    host = host.rstrip(".").lower()
    if host in _METADATA_HOSTS:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_link_local or address in _METADATA_ADDRESSES


def _azure(table: Table, env: Mapping[str, str]) -> tuple[Deployment, ...]:
    endpoint = _setting(env, "AZURE_AI_ENDPOINT")
    key = _setting(env, "AZURE_AI_API_KEY")
    if not endpoint:
        if key:
            raise ConfigurationError("AZURE_AI_API_KEY is set but AZURE_AI_ENDPOINT is not; set both")
        return ()
    entra = not key and uses_entra(env)
    if not key and not entra:
        raise ConfigurationError(
            "AZURE_AI_ENDPOINT is set but AZURE_AI_API_KEY is not; set both, or AZURE_AI_AUTH=entra for Entra ID"
        )
    legacy = bool(_setting(env, "AZURE_AI_LEGACY_API"))
    base = legacy_base("AZURE_AI_ENDPOINT", endpoint) if legacy else azure_base("AZURE_AI_ENDPOINT", endpoint)
    query = f"?api-version={LEGACY_VERSION}" if legacy else ""
    upstream = Upstream("azure", "azure", base, key=key, key_header="api-key", entra=entra, query=query)
    named = _deployments(table, _setting(env, "AZURE_AI_DEPLOYMENTS") or "")
    return tuple(
        Deployment(
            name=f"azure/{deployment}",
            upstream=upstream,
            deployment=deployment,
            models=frozenset({model}),
            region=_setting(env, "AZURE_AI_REGION") or "",
            residency=_setting(env, "AZURE_AI_RESIDENCY") or "",
        )
        for model, deployment in _with_usual_names(table, named).items()
    )


def uses_entra(env: Mapping[str, str]) -> bool:
    """Whether Azure is to be asked with Entra ID: said so, or a client's identity is set and no key is."""
    if (how := _setting(env, "AZURE_AI_AUTH")) is not None:
        if how.lower() not in {"entra", "key"}:
            raise ConfigurationError(f"AZURE_AI_AUTH={how!r}: 'entra' and 'key' are possible")
        return how.lower() == "entra"
    return any(_setting(env, name) for name in ("AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"))


def legacy_base(setting: str, endpoint: str) -> str:
    """The base of Azure's older model inference API, which Microsoft has deprecated: ``https://<resource>…/models/``."""
    base = safe_url(setting, endpoint)
    return base if urlsplit(base).path.endswith("/models/") else f"{base}models/"


def azure_base(setting: str, endpoint: str) -> str:
    """Azure's v1 base URL for whatever form of the endpoint the portal gave: ``https://<resource>…/openai/v1/``."""
    base = safe_url(setting, endpoint)
    parts = urlsplit(base)
    head, found, _ = parts.path.partition("/openai")
    path = head if found else ""
    return f"{parts.scheme}://{parts.netloc}{path}/openai/v1/"


def _deployments(table: Table, setting: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in setting.split(","))):
        model, equals, deployment = (part.strip() for part in pair.partition("="))
        if not equals or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", deployment):
            raise ConfigurationError(
                f"AZURE_AI_DEPLOYMENTS: {pair!r} is not <model>=<deployment>; example: deepseek-r1=my-r1,llama-4=my-llama"
            )
        if model not in table.models:
            raise ConfigurationError(f"AZURE_AI_DEPLOYMENTS: unknown model {model!r}; known: {', '.join(table.models)}")
        named[model] = deployment
    return named


def _with_usual_names(table: Table, named: dict[str, str]) -> dict[str, str]:
    """Named deployments, and the usual name (the model's own) for the models that were not named.

    A retired model gets no usual name: its successor has one, unless the operator named the retired one and so says
    that it is still there.
    """
    succeeded = {model.successor: name for name, model in table.models.items() if model.successor}
    usual = {
        name: model.title
        for name, model in table.models.items()
        if name not in named and not model.successor and succeeded.get(name) not in named
    }
    return {**named, **usual}


def _openai(table: Table, env: Mapping[str, str]) -> tuple[Deployment, ...]:
    url = _setting(env, "OPENAI_UPSTREAM_URL")
    if not url:
        for name in ("OPENAI_UPSTREAM_API_KEY", "OPENAI_UPSTREAM_MODEL"):
            if _setting(env, name):
                raise ConfigurationError(
                    f"{name} is set but OPENAI_UPSTREAM_URL is not; example: https://api.example.com/v1"
                )
        return ()
    base = safe_url("OPENAI_UPSTREAM_URL", url)
    if urlsplit(base).path == "/":
        base += "v1/"
    upstream = Upstream("openai", "openai", base, key=_setting(env, "OPENAI_UPSTREAM_API_KEY"))
    row = replace(
        _stand_in(table, upstream, rank=10, window=UNKNOWN_WINDOW),
        region=_setting(env, "OPENAI_UPSTREAM_REGION") or "",
        residency=_setting(env, "OPENAI_UPSTREAM_RESIDENCY") or "",
    )
    model = _setting(env, "OPENAI_UPSTREAM_MODEL")
    return (stand_in_row(row, model) if model else row,)


def _ollama(env: Mapping[str, str]) -> Upstream:
    base = safe_url("OLLAMA_HOST", _setting(env, "OLLAMA_HOST") or OLLAMA_DEFAULT)
    parts = urlsplit(base)
    # OLLAMA_HOST is also what Ollama listens on, so it may name all interfaces and leave the port out.
    host = "127.0.0.1" if parts.hostname in {"0.0.0.0", "::"} else parts.netloc.rpartition("@")[2].rsplit(":", 1)[0]
    port = parts.port or (443 if parts.scheme == "https" else 11434)
    return Upstream("ollama", "local", f"{parts.scheme}://{host}:{port}/v1/")


def _stand_in(table: Table, upstream: Upstream, *, rank: int, window: int) -> Deployment:
    return Deployment(
        name=upstream.name,
        upstream=upstream,
        deployment="",
        models=frozenset(table.models),
        stand_in=True,
        window=window,
        can=EVERYTHING,
        rank=rank,
        residency=table.place.residency if urlsplit(upstream.url).hostname in _LOOPBACK else "",
    )


def _setting(env: Mapping[str, str], name: str) -> str | None:
    value = env.get(name, "").strip()
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise ConfigurationError(f"{name} contains a line break or another control character; check the .env file")
    return value or None


def _mapping(data: Mapping[str, Any], member: str) -> Mapping[str, Any]:
    value = data.get(member)
    if not isinstance(value, dict) or not value:
        raise ConfigurationError(f"table: {member!r} must be an object with at least one member")
    return cast("Mapping[str, Any]", value)


def _model(name: str, row: Any) -> Model:
    try:
        can = frozenset(row.get("can", ["chat"]))
        if unknown := can - EVERYTHING:
            raise ConfigurationError(
                f"table: model {name!r} cannot have {sorted(unknown)}; known: {', '.join(sorted(EVERYTHING))}"
            )
        return Model(
            name=name,
            title=str(row["title"]),
            window=int(row["window"]),
            can=can,
            prices=model_prices(row.get("prices", ())),
            retires=date.fromisoformat(row["retires"]) if row.get("retires") else None,
            successor=row.get("successor"),
        )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise ConfigurationError(f"table: model {name!r} is not right: {type(error).__name__} {error}") from error


def model_prices(rows: Iterable[Mapping[str, Any]]) -> tuple[Price, ...]:
    """Prices in the order of their dates. Raises what `Decimal` and `date` raise."""
    return tuple(sorted(map(_price, rows), key=lambda price: price.since))


def _price(row: Mapping[str, Any]) -> Price:
    cached = row.get("cached")
    return Price(
        since=date.fromisoformat(row["since"]),
        input=Decimal(row["input"]),
        output=Decimal(row["output"]),
        cached=None if cached is None else Decimal(cached),
    )
