"""The Grafana dashboard asks for metrics that there are, in the form that Grafana imports."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from neuralinverse_hub.economics.figures import Amounts
from neuralinverse_hub.economics.metrics import Metrics

FILE = Path(__file__).parents[3] / "helm-values" / "grafana" / "economics.json"


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text()))


def test_every_metric_that_it_asks_for_is_one_of_the_services(board: dict[str, Any]) -> None:
    metrics = Metrics()
    metrics.totals.amounts = Amounts()
    metrics.records.labels("usage", "new").inc()
    known = set(re.findall(r"^(neuralinverse_economics_\w+)", metrics.exposition().decode(), re.MULTILINE))
    asked = {name for name in re.findall(r"neuralinverse_economics_\w+", FILE.read_text())}
    assert len(asked) >= 8 and asked <= known


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
