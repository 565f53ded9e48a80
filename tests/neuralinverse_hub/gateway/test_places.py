"""Regions and residency: the guarantees in the docstring of `places`, and what people see of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.gateway.catalogue import explicit_rows, parse_table, shipped_rows, stand_ins
from neuralinverse_hub.gateway.errors import ConfigurationError, NoUpstream
from neuralinverse_hub.gateway.places import Place
from neuralinverse_hub.gateway.router import Deployment, Table, Upstream, route
from neuralinverse_hub.gateway.tablefile import read_table
from neuralinverse_hub.gateway.tasks import Decision
from tests.neuralinverse_hub.gateway.azure import KEY, Azure, Fault, standing_in
from tests.neuralinverse_hub.gateway.conftest import Hub, prompt, serving

SHIPPED = parse_table(shipped_rows())
UPSTREAM = Upstream("u", "openai", "http://127.0.0.1:1/v1/")
REGIONS = st.sampled_from(["", "us", "eu", "sg", "jp"])
TAGS = st.sampled_from(["", "eu", "us"])


@st.composite
def places(draw: st.DrawFn) -> Place:
    order = tuple(draw(st.lists(REGIONS.filter(bool), unique=True, max_size=3)))
    people = draw(st.dictionaries(st.sampled_from(["ada", "bob"]), TAGS.filter(bool)))
    return Place(draw(REGIONS), order, draw(TAGS), people)


ROWS = st.lists(
    st.builds(
        Deployment,
        name=st.uuids().map(str),
        upstream=st.just(UPSTREAM),
        deployment=st.just("d"),
        models=st.just(frozenset({"llama-4"})),
        region=REGIONS,
        residency=TAGS,
    ),
    min_size=1,
    max_size=8,
)


@given(places(), ROWS, st.sampled_from(["ada", "bob", "cyd"]))
def test_nothing_leaves_where_it_has_to_stay_and_the_nearest_region_goes_first(
    place: Place, rows: list[Deployment], person: str
) -> None:
    tags = {tag for tag in (place.residency, place.people.get(person, "")) if tag}
    allowed = [row for row in rows if all(row.residency == tag for tag in tags)]

    def ways() -> list[Deployment]:
        found = route(
            Table(SHIPPED.tasks, SHIPPED.models, tuple(rows), place=place),
            model="llama-4",
            decide=lambda: Decision("general", ""),
            needs=frozenset({"chat"}),
            prompt_tokens=1,
            answer_tokens=1,
            today=date(2026, 1, 1),
            person=person,
        )
        return [way.deployment for way in found.ways]

    if not allowed:
        with pytest.raises(NoUpstream, match="has to stay"):
            ways()
        return
    found = ways()
    assert {row.name for row in found} == {row.name for row in allowed}
    if place.region:
        near = [place.region, *(name for name in place.order if name != place.region)]
        ranks = [
            near.index(row.region or place.region) if (row.region or place.region) in near else 99 for row in found
        ]
        assert ranks == sorted(ranks)


def test_where_a_deployment_is_comes_from_its_row_its_upstream_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    upstream = {"kind": "openai", "url": "http://127.0.0.1:1/v1", "region": "eu", "residency": "eu"}
    global_row = {"upstream": "a", "deployment": "global", "models": ["llama-4"], "residency": ""}
    file.write_text(
        json.dumps(
            {
                "upstreams": {"a": upstream},
                "deployments": [{"upstream": "a", "deployment": "d", "models": ["llama-4"]}, global_row],
                "residencies": {"bob": "us"},
            }
        )
    )
    table, rows = read_table(shipped_rows(), file, {}, Place("eu", residency="eu", people={"ada": "eu"}))
    assert [(row.region, row.residency) for row in rows] == [("eu", "eu"), ("eu", "")]
    assert table.place.people == {"ada": "eu", "bob": "us"}
    env = {"AZURE_AI_ENDPOINT": "https://r.openai.azure.com", "AZURE_AI_API_KEY": "k"}
    env |= {"AZURE_AI_REGION": "eu", "AZURE_AI_RESIDENCY": "eu", "OPENAI_UPSTREAM_URL": "http://vllm:8000/v1"}
    assert {(row.region, row.residency) for row in explicit_rows(table, env)} == {("eu", "eu"), ("", "")}
    found = {row.name: row.residency for row in stand_ins(table, {"OLLAMA_HOST": "http://ollama.far.example"})}
    assert found == {"ollama": ""}, "another machine may be anywhere"
    assert stand_ins(table, {})[0].residency == "eu", "this machine is where the gateway is"


@pytest.mark.parametrize("wrong", [["ada"], {"ada": 1}, {"ada": ""}])
def test_residencies_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="residencies"):
        Place().with_people(wrong)


@pytest.fixture
async def regions(tmp_path: Path) -> AsyncIterator[tuple[Azure, Azure, Path]]:
    async with standing_in() as here, standing_in() as there:
        file = tmp_path / "table.json"
        rows = [
            {"upstream": name, "deployment": "my-llama", "models": ["llama-4"]} for name in ("tokyo", "paris", "texas")
        ]
        where = {"tokyo": ("jp", "", there), "paris": ("eu", "eu", here), "texas": ("us", "us", there)}
        upstreams = {
            name: {"kind": "azure", "url": azure.url, "key_env": "KEY", "region": region, "residency": residency}
            for name, (region, residency, azure) in where.items()
        }
        file.write_text(json.dumps({"upstreams": upstreams, "deployments": rows, "residencies": {"bob": "eu"}}))
        yield here, there, file


async def test_the_own_region_answers_first_and_others_in_order(hub: Hub, regions: tuple[Azure, Azure, Path]) -> None:
    here, _, file = regions
    settings = {"table_file": str(file), "region": "eu", "region_order": ["us", "jp"]}
    async with serving(hub, {"KEY": KEY}, **settings) as gateway:
        async with gateway.post({**prompt(), "model": "llama-4"}) as response:
            assert response.headers["X-NeuralInverse-Upstream"] == "paris/my-llama"
            assert "X-NeuralInverse-Notice" not in response.headers
        here.faults = [Fault("429", times=1, headers={"Retry-After": "60"}), Fault("500", times=9)]
        async with gateway.post({**prompt(), "model": "llama-4"}) as response:
            assert response.headers["X-NeuralInverse-Upstream"] == "texas/my-llama"
            assert "region us did" in response.headers["X-NeuralInverse-Notice"]


async def test_a_residency_holds_when_its_only_deployment_is_away(hub: Hub, regions: tuple[Azure, Azure, Path]) -> None:
    here, there, file = regions
    async with serving(hub, {"KEY": KEY}, table_file=str(file), region="jp", region_order=["us", "eu"]) as gateway:
        await here.stop()
        async with gateway.post({**prompt(), "model": "auto"}, token="bob-token") as response:
            assert response.status == 503
            message = (await response.json())["error"]["message"]
        assert "paris/my-llama" in message and "texas" not in message and "tokyo" not in message
        async with gateway.post({**prompt(), "model": "texas/my-llama"}, token="bob-token") as response:
            assert response.status == 503
            assert "within 'eu', where what you send has to stay" in (await response.json())["error"]["message"]
        assert not there.seen
        async with gateway.post({**prompt(), "model": "auto"}, token="ada-token") as response:
            assert response.headers["X-NeuralInverse-Upstream"] == "tokyo/my-llama"
        await asyncio.gather(*(ask(gateway, "bob-token") for _ in range(3)))
        assert len(there.seen) == 1


async def ask(gateway: Any, token: str) -> None:
    async with gateway.post({**prompt(stream=True), "model": "coding"}, token=token) as response:
        await response.read()
