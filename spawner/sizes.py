"""Sizes of workspaces: what an operator writes, checked once, as values. Pure; knows no spawner.

A size is dedicated: what a workspace may use is what is reserved for it, so nobody's build slows anybody else's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

__all__ = ["DEFAULT_SIZES", "BadSize", "Size", "UnknownSize", "find", "parse_sizes"]

GPU_RESOURCE: Final = "nvidia.com/gpu"

DEFAULT_SIZES: Final[dict[str, dict[str, Any]]] = {
    "small": {"cpu": 2, "memory": "4G", "usd_per_hour": "0.48"},
    "medium": {"cpu": 4, "memory": "8G", "usd_per_hour": "0.96"},
    "large": {"cpu": 8, "memory": "16G", "usd_per_hour": "1.92"},
}

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B?)?", re.IGNORECASE)
_UNIT: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_KEYS: Final = ("cpu", "memory", "usd_per_hour", "gpu", "gpu_resource", "description", "extra_resources")


class BadSize(ValueError):
    """A size in the configuration is not one; the message names it, what was written and what to write."""


class UnknownSize(ValueError):
    """Somebody asked for a size that is not offered. ``jupyterhub_message`` is what the hub shows to them."""

    http_status = 400

    def __init__(self, name: object, known: Mapping[str, Size]) -> None:
        super().__init__(f"there is no size {str(name)[:60]!r}; choose one of: {', '.join(known) or 'none is offered'}")
        self.jupyterhub_message = f"{self}."


@dataclass(frozen=True, slots=True)
class Size:
    """One size."""

    name: str
    cpu: Decimal
    """CPUs. A whole number lets the node pin them."""
    memory_bytes: int
    usd_per_hour: Decimal | None
    """None: no price is known, which is not the same as free."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """Further resources by their Kubernetes names, e.g. ``nvidia.com/gpu: 1``."""
    description: str = ""

    @property
    def gib(self) -> Decimal:
        """Memory in GiB, without trailing zeros."""
        return _plain(Decimal(self.memory_bytes) / (1 << 30))

    def words(self) -> str:
        """``2 CPUs, 4 GiB``, and what else there is."""
        parts = [f"{self.cpu:f} CPU{'' if self.cpu == 1 else 's'}", f"{self.gib:f} GiB"]
        parts += [f"{count} {_readable(name)}" for name, count in self.resources.items()]
        return ", ".join(parts)

    def price(self) -> str:
        """``$0.48 per hour``; empty without a price."""
        if self.usd_per_hour is None:
            return ""
        places = max(2, -int(self.usd_per_hour.normalize().as_tuple().exponent))
        return f"${self.usd_per_hour:.{places}f} per hour"


def parse_sizes(written: Mapping[str, Any]) -> dict[str, Size]:
    """The sizes of a configuration, in its order; the first one is the default.

    Raises `BadSize`.
    """
    return {name: _size(name, values) for name, values in written.items()}


def find(sizes: Mapping[str, Size], name: object) -> Size:
    """The size called ``name``, which may come from anywhere. Raises `UnknownSize`."""
    size = sizes.get(name) if isinstance(name, str) else None
    if size is None:
        raise UnknownSize(name, sizes)
    return size


def _size(name: object, values: object) -> Size:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadSize(f"size {name!r}: a name is 1 to 30 of a-z, 0-9 and '-', and begins and ends with a-z or 0-9")
    if not isinstance(values, Mapping):
        raise BadSize(f"size {name!r} is {values!r}; write a dict like {DEFAULT_SIZES['small']!r}")
    if unknown := sorted(set(values) - set(_KEYS)):
        raise BadSize(f"size {name!r} has {', '.join(map(repr, unknown))}; known: {', '.join(_KEYS)}")
    cpu = _number(name, "cpu", values.get("cpu"))
    price = None if values.get("usd_per_hour") is None else _number(name, "usd_per_hour", values["usd_per_hour"])
    if cpu <= 0:
        raise BadSize(f"size {name!r}: cpu is {cpu}; write a number above 0")
    if price is not None and price < 0:
        raise BadSize(f"size {name!r}: usd_per_hour is {price}; write 0 or more")
    return Size(
        name=name,
        cpu=_plain(cpu),
        memory_bytes=_memory(name, values.get("memory")),
        usd_per_hour=price,
        resources=_resources(name, values),
        description=str(values.get("description", "")),
    )


def _resources(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    resources = {str(key): str(value) for key, value in dict(values.get("extra_resources") or {}).items()}
    gpu = values.get("gpu") or 0
    if not isinstance(gpu, int) or gpu < 0:
        raise BadSize(f"size {name!r}: gpu is {gpu!r}; write how many, e.g. 1")
    if gpu:
        resources[str(values.get("gpu_resource") or GPU_RESOURCE)] = str(gpu)
    return resources


def _number(name: str, key: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise BadSize(f"size {name!r}: {key} is {value!r}; write a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise BadSize(f"size {name!r}: {key} is {value!r}; write a number") from None
    if not number.is_finite():
        raise BadSize(f"size {name!r}: {key} is {value!r}; write a number")
    return number


def _memory(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 20:
        return value
    found = _MEMORY.fullmatch(value.strip()) if isinstance(value, str) else None
    size = int(Decimal(found[1]) * _UNIT[found[2].upper()]) if found else 0
    if size <= 0:
        raise BadSize(f"size {name!r}: memory is {value!r}; write for example '4G' (GiB) or '512M' (MiB)")
    return size


def _plain(number: Decimal) -> Decimal:
    """Without trailing zeros and without an exponent."""
    return Decimal(f"{number.normalize():f}")


def _readable(resource: str) -> str:
    return "GPU" if resource.endswith("/gpu") else resource
