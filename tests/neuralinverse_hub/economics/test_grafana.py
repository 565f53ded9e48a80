"""The Grafana dashboard asks for metrics that there are, in the form that Grafana imports."""

from __future__ import annotations

import copy
import enum
import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import requests
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families

from neuralinverse_hub import wire
from tests.neuralinverse_hub.economics.real_hub import RECORDER, bearer, serving
from tests.neuralinverse_hub.economics.records import usage
from tests.one_machine import eventually

FILE = Path(__file__).parents[3] / "helm-values" / "grafana" / "economics.json"


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text()))


def test_grafanas_own_models_know_every_member_and_every_choice(board: dict[str, Any]) -> None:
    plugins.register_default_plugins()
    read = Dashboard.from_json(board)
    assert lost(board, json.loads(JSONEncoder().encode(read))) == []
    assert wrong_choices(read) == []
    # Panels and queries of kinds that the models know, not just any.
    assert {type(panel.options).__module__.rpartition(".")[2] for panel in read.panels} == {"stat", "timeseries"}
    assert {type(target).__module__.rpartition(".")[2] for panel in read.panels for target in panel.targets} == {
        "prometheus"
    }


def test_what_the_models_do_not_know_is_found(board: dict[str, Any]) -> None:
    plugins.register_default_plugins()
    broken = copy.deepcopy(board)
    broken["panels"][0]["options"]["colourMode"] = "none"
    broken["panels"][0]["options"]["graphMode"] = "hill"
    read = Dashboard.from_json(broken)
    assert lost(broken, json.loads(JSONEncoder().encode(read))) == [".panels[0].options.colourMode"]
    assert wrong_choices(read) == [".panels[0].options.graph_mode: hill"]


def lost(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Members of ``ours`` that are not in ``theirs``, or are another there."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = [f"{path}.{key}" for key in ours.keys() - theirs.keys()]
        return found + [
            each for key in ours.keys() & theirs.keys() for each in lost(ours[key], theirs[key], f"{path}.{key}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [each for n, pair in enumerate(zip(ours, theirs, strict=True)) for each in lost(*pair, f"{path}[{n}]")]
    return [] if ours == theirs else [path]


def wrong_choices(model: Any, path: str = "") -> list[str]:
    """Values that are none of those that the models name; they take any when they read."""
    if isinstance(model, list):
        return [each for number, item in enumerate(model) for each in wrong_choices(item, f"{path}[{number}]")]
    if not type(model).__module__.startswith("grafana_foundation_sdk.models"):
        return []
    found = []
    hints = get_type_hints(type(model))
    for name, value in vars(model).items():
        kinds = [hints.get(name), *get_args(hints.get(name))]
        choices = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, enum.Enum)]
        if choices and value is not None and value not in [each.value for each in choices[0]]:
            found.append(f"{path}.{name}: {value}")
        found += wrong_choices(value, f"{path}.{name}")
    return found


@pytest.mark.hub
def test_every_metric_that_it_asks_for_is_in_a_scrape_of_the_service(board: dict[str, Any], tmp_path: Path) -> None:
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"[a-z]\w+_[a-z_]+\w", target["expr"])
    }
    assert len(asked) >= 10 and all(name.startswith("neuralinverse_economics_") for name in asked)
    with serving(tmp_path) as hub:
        assert hub.hand_in(wire.USAGE_RECORDS, [usage(1, "0.25")]).ok

        def scrape() -> dict[str, str]:
            answer = requests.get(f"{hub.economics}/metrics", headers=bearer(RECORDER), timeout=30)
            families = text_string_to_metric_families(answer.text)
            return {sample.name: family.type for family in families for sample in family.samples}

        scraped = eventually("the sums", lambda: asked <= scrape().keys() and scrape(), 90)
    for panel in board["panels"]:
        for target in panel["targets"]:
            # Of what may fall the difference, of what only grows the rate.
            for function, name in re.findall(r"(\w+)\((neuralinverse_economics_\w+)\[", target["expr"]):
                assert function == {"gauge": "delta", "counter": "rate"}[scraped[name]], target["expr"]


def test_it_has_what_an_import_needs(board: dict[str, Any]) -> None:
    assert "id" not in board and board["uid"] and board["schemaVersion"] >= 36
    (variable,) = board["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    panels = board["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for each in panels:
        assert each["title"] and each["targets"] and each["datasource"]["uid"] == "${datasource}"
        place = each["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{each['title']} lies over another panel"
        taken |= cells
        assert len({target["refId"] for target in each["targets"]}) == len(each["targets"])
        for target in each["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
