"""The values files as Helm merges them, and the combinations that make sense."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "helm-values"
COMPANION = FOLDER / "companion"
REGIONS = ("us", "europe", "singapore", "japan")


def read(*names: str) -> dict[str, Any]:
    """The files merged in this order, as Helm does: dicts key by key, everything else replaced."""
    merged: dict[str, Any] = {}
    for name in names:
        merged = merge(merged, yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
    return merged


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = merge(below[key], above[key])
    return both


def combinations() -> Iterator[tuple[str, ...]]:
    """``base`` alone, on a laptop, and every choice of the rest on top of it."""
    yield ("base",)
    yield ("base", "kind")
    yield ("base", "traffic")
    yield ("base", "kind", "gitea")
    for azure, gitea, production in itertools.product((False, True), repeat=3):
        layers = [name for name, chosen in (("azure", azure), ("gitea", gitea), ("production", production)) if chosen]
        if layers:
            yield ("base", *layers)
        if production:
            yield from (("base", *layers, "regions", f"region-{region}") for region in REGIONS)
