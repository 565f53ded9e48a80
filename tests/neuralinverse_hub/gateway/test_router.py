"""Routes: the guarantees in the docstring of `router`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.gateway.catalogue import explicit_rows, parse_table, shipped_rows, stand_ins
from neuralinverse_hub.gateway.errors import GatewayError, Incapable, NoUpstream, PromptTooLong, UnknownModel
from neuralinverse_hub.gateway.router import Deployment, Need, Route, Table, Upstream, route
from neuralinverse_hub.gateway.tasks import Decision

SHIPPED = parse_table(shipped_rows())
AZURE = {"AZURE_AI_ENDPOINT": "https://res.openai.azure.com", "AZURE_AI_API_KEY": "k"}
BEFORE, AFTER = date(2026, 8, 12), date(2026, 8, 13)


def table(env: dict[str, str]) -> Table:
    return replace(SHIPPED, deployments=explicit_rows(SHIPPED, env))


def way(name: str, env: dict[str, str] = AZURE, today: date = AFTER, **more: Any) -> Route:
    settings: dict[str, Any] = {"needs": frozenset({"chat"}), "prompt_tokens": 10, "answer_tokens": 0, **more}
    return route(table(env), model=name, decide=lambda: Decision("coding", "because"), today=today, **settings)


def models(found: Route) -> list[str]:
    return [way.model.name for way in found.ways]


def test_a_retired_model_is_served_by_its_successor_and_says_so() -> None:
    found = way("deepseek-r1")
    assert models(found)[0] == "deepseek-v4-pro"
    assert found.notes == ("deepseek-r1 retired on 2026-08-13; its successor is deepseek-v4-pro",)
    assert models(way("reasoning"))[0] == "deepseek-v4-pro"


def test_before_it_retires_a_model_serves_itself() -> None:
    env = {**AZURE, "AZURE_AI_DEPLOYMENTS": "deepseek-r1=my-r1"}
    found = way("deepseek-r1", env, BEFORE)
    assert models(found)[0] == "deepseek-r1" and found.notes == ()


def test_auto_has_the_general_models_ways_behind_its_guess() -> None:
    found = way("auto")
    assert (found.task, found.reason) == ("coding", "because")
    assert models(found)[0] == "llama-4"
    assert set(models(way("general"))) <= set(models(found))


def test_a_deployment_that_was_named_is_the_only_way() -> None:
    assert [each.deployment.name for each in way("azure/Mistral-Large-3").ways] == ["azure/Mistral-Large-3"]


def test_what_nothing_can_do_is_refused_in_words() -> None:
    with pytest.raises(Incapable, match="embeddings"):
        way("general", needs=frozenset({"embeddings"}))
    with pytest.raises(PromptTooLong, match="1,000,000 tokens"):
        way("general", prompt_tokens=2_000_000)
    with pytest.raises(UnknownModel, match="known: auto"):
        way("x" * 10_000)
    with pytest.raises(NoUpstream, match="AZURE_AI_ENDPOINT"):
        way("general", {})


def test_an_answer_limit_that_fits_nowhere_is_the_upstreams_to_cut() -> None:
    assert way("general", answer_tokens=10**9).ways


def test_a_stand_in_has_no_price_and_its_own_window() -> None:
    demo = next(
        row
        for row in stand_ins(SHIPPED, {"NEURALINVERSE_DEMO_MODEL_URL": "http://127.0.0.1:1/v1"})
        if row.name == "demo"
    )
    assert demo.prices_for(SHIPPED.models["mistral-large"]) == ()
    assert demo.window_for(SHIPPED.models["mistral-large"]) == 4096
    assert "tools" not in demo.can_for(SHIPPED.models["mistral-large"])


NEEDS = st.frozensets(st.sampled_from(get_args(Need)))
UPSTREAM = Upstream("u", "openai", "http://127.0.0.1:1/v1/")


@st.composite
def deployments(draw: st.DrawFn) -> tuple[Deployment, ...]:
    rows = draw(
        st.lists(
            st.builds(
                Deployment,
                name=st.sampled_from("abcdefgh"),
                upstream=st.just(UPSTREAM),
                deployment=st.just("d"),
                models=st.frozensets(st.sampled_from(sorted(SHIPPED.models)), min_size=1),
                window=st.none() | st.integers(1, 10**6),
                can=st.none() | NEEDS,
                rank=st.integers(0, 3),
            ),
            max_size=8,
            unique_by=lambda row: row.name,
        )
    )
    return tuple(rows)


@given(deployments(), st.sampled_from([*SHIPPED.names()]), NEEDS, st.integers(0, 2 * 10**6))
def test_no_way_lacks_what_the_request_needs(
    rows: tuple[Deployment, ...], name: str, needs: frozenset[Need], tokens: int
) -> None:
    try:
        found = route(
            Table(SHIPPED.tasks, SHIPPED.models, rows),
            model=name,
            decide=lambda: Decision("reasoning", "because"),
            needs=needs,
            prompt_tokens=tokens,
            answer_tokens=0,
            today=AFTER,
        )
    except GatewayError:
        return
    assert found.ways
    for each in found.ways:
        assert needs <= each.deployment.can_for(each.model)
        assert tokens < each.deployment.window_for(each.model)
        assert each.model.name in each.deployment.models
    ranks = [each.deployment.rank for each in found.ways]
    assert ranks == sorted(ranks)
    names = [each.deployment.name for each in found.ways]
    assert len(names) == len(set(names))
