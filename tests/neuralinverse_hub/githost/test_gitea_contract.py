"""What the tests take for Gitea's API is what the official descriptions of Gitea and Forgejo say.

Those are not part of this repository: ``NEURALINVERSE_GITEA_API`` holds the paths of files as ``gitea=…/swagger.v1.json`` or
``forgejo=…``, with a colon between. Every Gitea serves its own at ``/swagger.v1.json``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.neuralinverse_hub.githost.gitea import API

NAMED = [each.partition("=")[::2] for each in os.environ.get("NEURALINVERSE_GITEA_API", "").split(":") if each]


def official(path: str) -> dict[str, Any]:
    text = Path(path).read_text()
    if path.endswith((".yaml", ".yml")):
        import yaml

        return dict(yaml.safe_load(text))
    return dict(json.loads(text))


def applies(member: dict[str, Any], product: str) -> bool:
    return product in member.get("x-only", [product])


@pytest.mark.skipif(not NAMED, reason="NEURALINVERSE_GITEA_API names no official description")
@pytest.mark.parametrize("product, path", NAMED or [("", "")])
def test_the_description_says_what_the_official_one_says(product: str, path: str) -> None:
    theirs = official(path)
    for template, operations in API["paths"].items():
        for method, operation in operations.items():
            said = theirs["paths"][template][method]
            assert said["operationId"] == operation["operationId"]
            assert operation["responses"].keys() <= said["responses"].keys(), template
            by_name = {each["name"]: each for each in said["parameters"]} if "parameters" in said else {}
            for ours in operation["parameters"]:
                for member in ("in", "type", "schema"):
                    assert by_name[ours["name"]].get(member) == ours.get(member), (template, ours["name"], member)
            required = {each["name"] for each in by_name.values() if each.get("required")}
            assert required <= {each["name"] for each in operation["parameters"]}, template
    for name, definition in API["definitions"].items():
        if not applies(definition, product):
            continue
        said = theirs["definitions"][name]
        assert set(said.get("required", [])) <= set(definition.get("required", said.get("required", []))), name
        for member, ours in definition["properties"].items():
            if applies(ours, product):
                assert said["properties"][member].get("type") == ours.get("type"), (name, member)
                assert said["properties"][member].get("$ref") == ours.get("$ref"), (name, member)
                if "items" in ours:
                    assert said["properties"][member]["items"] == ours["items"], (name, member)


def test_no_member_is_said_to_be_missing_everywhere() -> None:
    for definition in API["definitions"].values():
        for member in [definition, *definition["properties"].values()]:
            assert set(member.get("x-only", ["gitea"])) <= {"gitea", "forgejo"} and member.get("x-only", ["gitea"])
