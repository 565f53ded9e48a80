"""The values files alone: valid for both versions of the chart, mergeable in any order, free of secrets and logic."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from traitlets.config import Config

from neuralinverse_hub.hub_config import _sections as sections
from neuralinverse_hub.hub_config import check_names
from tests.helm_values import layers

CHART = Path(__file__).parents[1] / "data" / "z2jh"
VERSIONS = ("4.4.0", "main")
COMBINATIONS = [pytest.param(each, id="+".join(each)) for each in layers.combinations()]


@pytest.fixture(scope="module", params=VERSIONS)
def chart(request: pytest.FixtureRequest) -> tuple[Draft7Validator, dict[str, Any]]:
    """Schema and default values of one version of the chart."""
    schema = yaml.safe_load((CHART / f"values.schema-{request.param}.yaml").read_text())
    return Draft7Validator(schema), yaml.safe_load((CHART / f"values-{request.param}.yaml").read_text())


@pytest.mark.parametrize("names", COMBINATIONS)
def test_every_combination_is_valid_for_the_chart(
    chart: tuple[Draft7Validator, dict[str, Any]], names: tuple[str, ...]
) -> None:
    schema, defaults = chart
    errors = [error.message for error in schema.iter_errors(layers.merge(defaults, layers.read(*names)))]
    assert errors == []


def test_a_typo_in_a_values_file_is_named(chart: tuple[Draft7Validator, dict[str, Any]]) -> None:
    schema, defaults = chart
    mistyped = layers.merge(layers.read("base"), {"singleuser": {"memmory": {"limit": "4G"}}})
    (error,) = schema.iter_errors(layers.merge(defaults, mistyped))
    assert "memmory" in error.message


@pytest.mark.parametrize("names", COMBINATIONS)
def test_files_merge_to_the_same_in_any_order(names: tuple[str, ...]) -> None:
    expected = layers.read(*names)
    for order in itertools.islice(itertools.permutations(names[1:]), 24):
        assert layers.read(names[0], *order) == expected


@pytest.mark.parametrize("names", COMBINATIONS)
def test_every_setting_below_hub_config_exists(names: tuple[str, ...]) -> None:
    c = Config(layers.read(*names)["hub"]["config"])
    check_names(c, sections(c))


def test_the_only_code_in_the_values_is_the_call_of_configure() -> None:
    for file in layers.FOLDER.glob("*.yaml"):
        code = (yaml.safe_load(file.read_text()).get("hub") or {}).get("extraConfig", {})
        assert all(value.strip().endswith("configure(c)") and "\n" not in value.strip() for value in code.values())
    assert len(layers.read("base")["hub"]["extraConfig"]) == 1


def test_no_file_holds_a_secret() -> None:
    def leaves(value: Any, path: str = "") -> Any:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from leaves(inner, f"{path}.{key}")
        else:
            yield path, value

    for file in layers.FOLDER.glob("*.yaml"):
        for path, value in leaves(yaml.safe_load(file.read_text())):
            last = path.rpartition(".")[2].lower()
            assert not any(word in last for word in ("password", "api_key", "apitoken", "client_secret")), (file, path)
            assert "BEGIN" not in str(value)


def test_every_line_of_the_list_in_the_readme_is_a_file() -> None:
    said = (layers.FOLDER / "README.md").read_text()
    for file in layers.FOLDER.glob("*.yaml"):
        assert file.name in said or file.name.startswith("region-")
