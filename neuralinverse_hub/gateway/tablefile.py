"""The operator's own table: a JSON file whose rows come on top of the shipped ones. Pure but for reading it.

```json
{
  "tasks": {"coding": ["llama-4", "mistral-large"]},
  "models": {"llama-4": {"prices": [{"since": "2026-10-01", "input": "0.30", "output": "1.10"}]}},
  "upstreams": {"sweden": {"kind": "azure", "url": "https://…", "key_env": "AZURE_SWEDEN_KEY"}},
  "deployments": [{"upstream": "sweden", "deployment": "my-llama", "models": ["llama-4"], "weight": 2}]
}
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from neuralinverse_hub.gateway.catalogue import EVERYTHING, NAME, azure_base, model_prices, parse_table, safe_url
from neuralinverse_hub.gateway.errors import ConfigurationError
from neuralinverse_hub.gateway.places import Place
from neuralinverse_hub.gateway.router import Deployment, Table, Upstream

__all__ = ["read_table"]

_WHERE: Final = frozenset({"region", "residency"})
_UPSTREAM: Final = frozenset({"kind", "url", "key_env", "key_file", "entra", *_WHERE})
_DEPLOYMENT: Final = frozenset(
    {
        *("upstream", "deployment", "models", "stand_in", "label", "window", "can", "prices"),
        *("rank", "weight", "at_once", *_WHERE),
    }
)


def read_table(
    shipped: Mapping[str, Any], path: Path | None, env: Mapping[str, str], place: Place | None = None
) -> tuple[Table, tuple[Deployment, ...]]:
    """The table, at ``place``, and the deployments of the file at ``path``, merged over the ``shipped`` rows.

    Without a path, the shipped table. Raises `ConfigurationError` naming the file and what in it is wrong.
    """
    place = place or Place()
    if path is None:
        return replace(parse_table(shipped), place=place), ()
    try:
        own = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"table file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"table file {path} is not JSON: {error}") from error
    try:
        _only(own, {"tasks", "models", "upstreams", "deployments", "residencies"}, "the table")
        models = {**shipped["models"]}
        for name, row in own.get("models", {}).items():
            models[name] = {**models.get(name, {}), **row}
        table = parse_table({"tasks": {**shipped["tasks"], **own.get("tasks", {})}, "models": models})
        table = replace(table, place=place.with_people(own.get("residencies", {})))
        rows = own.get("upstreams", {})
        upstreams = {name: _upstream(name, row, env) for name, row in rows.items()}
        return table, tuple(
            # Where an upstream is, its deployments are, unless their row says otherwise.
            _deployment({**_where(rows.get(row.get("upstream"))), **row}, upstreams, table)
            for row in own.get("deployments", [])
        )
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise ConfigurationError(f"table file {path} is not right: {type(error).__name__} {error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"table file {path}: {error}") from error


def _upstream(name: str, row: Mapping[str, Any], env: Mapping[str, str]) -> Upstream:
    where = f"upstream {name!r}"
    _only(row, _UPSTREAM, where)
    kind = row.get("kind")
    if kind not in ("azure", "openai", "local"):
        raise ConfigurationError(f"{where}: kind {kind!r} is none of azure, openai, local")
    url = azure_base(f"{where}: url", row["url"]) if kind == "azure" else safe_url(f"{where}: url", row["url"])
    key = None
    if variable := row.get("key_env"):
        key = env.get(variable, "").strip() or None
        if key is None:
            raise ConfigurationError(f"{where}: the environment variable {variable} that holds its key is not set")
    elif file := row.get("key_file"):
        try:
            key = Path(file).read_text("utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"{where}: its key file {file} cannot be read: {error.strerror}") from error
    header: Any = "api-key" if kind == "azure" else "Authorization"
    return Upstream(name, kind, url, key=key, key_header=header, entra=bool(row.get("entra")))


def _deployment(row: Mapping[str, Any], upstreams: Mapping[str, Upstream], table: Table) -> Deployment:
    where = f"deployment {row.get('deployment')!r}"
    _only(row, _DEPLOYMENT, where)
    if row["upstream"] not in upstreams:
        raise ConfigurationError(f"{where}: unknown upstream {row['upstream']!r}; known: {', '.join(upstreams)}")
    if not NAME.fullmatch(f"{row['upstream']}/{row['deployment']}"):
        raise ConfigurationError(f"{where}: names consist of letters, digits and ._:/-")
    if unknown := set(row["models"]) - set(table.models):
        raise ConfigurationError(f"{where}: unknown models {sorted(unknown)}; known: {', '.join(table.models)}")
    can = frozenset(row["can"]) if "can" in row else None
    if can is not None and (strange := can - EVERYTHING):
        raise ConfigurationError(f"{where} cannot have {sorted(strange)}; known: {', '.join(sorted(EVERYTHING))}")
    return Deployment(
        name=f"{row['upstream']}/{row['deployment']}",
        upstream=upstreams[row["upstream"]],
        deployment=str(row["deployment"]),
        models=frozenset(row["models"]),
        stand_in=bool(row.get("stand_in")),
        label=row.get("label"),
        window=None if row.get("window") is None else int(row["window"]),
        can=can,
        prices=model_prices(row.get("prices", ())),
        rank=int(row.get("rank", 0)),
        weight=max(1, int(row.get("weight", 1))),
        at_once=None if row.get("at_once") is None else max(1, int(row["at_once"])),
        region=str(row.get("region", "")),
        residency=str(row.get("residency", "")),
    )


def _where(upstream: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (upstream or {}).items() if name in _WHERE}


def _only(row: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    if unknown := set(row) - known:
        raise ConfigurationError(f"{where} has unknown members {sorted(unknown)}; known: {', '.join(sorted(known))}")
