from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spawner.pool import LONGEST_DELAY_S, STEP, BadPool, Bounds, Health, Seen, parse_bounds, plan, wanted

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)  # a Wednesday
GRACE = timedelta(minutes=2)

bounds = st.builds(lambda low, more: Bounds(min=low, max=low + more), st.integers(0, 30), st.integers(0, 30))
ages_s = st.lists(st.integers(-100, 7200), max_size=80)


@given(bounds, ages_s)
def test_wanted_is_always_between_min_and_max(limits: Bounds, ages: list[int]) -> None:
    claims = [NOW - timedelta(seconds=age) for age in ages]
    assert limits.min <= wanted(limits, NOW, claims) <= limits.max


def test_a_burst_is_kept_in_stock_for_half_an_hour() -> None:
    burst = [NOW + timedelta(seconds=n) for n in range(20)]
    limits = Bounds(min=2, max=50)
    assert wanted(limits, NOW + timedelta(minutes=1), burst) == 20
    assert wanted(limits, NOW + timedelta(minutes=29), burst) == 20
    assert wanted(limits, NOW + timedelta(minutes=31), burst) == 2
    assert wanted(Bounds(min=2, max=8), NOW + timedelta(minutes=1), burst) == 8


def test_steady_demand_wants_what_comes_while_a_pod_gets_ready() -> None:
    one_a_minute = [NOW - timedelta(minutes=n) for n in range(30)]
    assert wanted(Bounds(min=0, max=50), NOW, one_a_minute) == 3


def test_the_schedule_lifts_the_minimum_in_its_own_time_zone() -> None:
    limits = parse_bounds(
        "small",
        {
            "min": 1,
            "max": 10,
            "schedule": [
                {"days": "mon-fri", "from": "09:30", "to": "11:00", "zone": "Europe/Berlin", "min": 8},
                {"days": "sat", "from": "22:00", "to": "02:00", "min": 4},
            ],
        },
    )
    assert wanted(limits, datetime(2026, 11, 25, 8, 29, tzinfo=UTC), []) == 1
    assert wanted(limits, datetime(2026, 11, 25, 8, 30, tzinfo=UTC), []) == 8
    assert wanted(limits, datetime(2026, 11, 25, 10, 0, tzinfo=UTC), []) == 1
    assert wanted(limits, datetime(2026, 11, 28, 8, 30, tzinfo=UTC), []) == 1
    assert wanted(limits, datetime(2026, 11, 28, 23, 0, tzinfo=UTC), []) == 4
    assert wanted(limits, datetime(2026, 11, 29, 1, 59, tzinfo=UTC), []) == 4
    assert wanted(limits, datetime(2026, 11, 30, 1, 0, tzinfo=UTC), []) == 1


def test_a_fixed_number_ignores_clock_and_demand() -> None:
    assert wanted(Bounds(min=1, max=10, fixed=3), NOW, [NOW] * 9) == 3


def test_a_paused_pool_creates_nothing_and_takes_nothing_away() -> None:
    there = [Seen("a", "t", claimed=False, since=NOW, ready=True)]
    assert plan("t", 5, there, NOW, paused=True) == plan("t", 1, there, NOW)


# -- what a plan does -------------------------------------------------------------------------------------------------


@st.composite
def pods(draw: st.DrawFn) -> list[Seen]:
    count = draw(st.integers(0, 25))
    return [
        Seen(
            name=f"pod-{n}",
            template=draw(st.sampled_from(["now", "before"])),
            claimed=draw(st.booleans()),
            since=NOW - timedelta(seconds=draw(st.integers(0, 600))),
            ready=draw(st.booleans()),
            broken=draw(st.sampled_from(["", "", "", "ErrImagePull"])),
            leaving=draw(st.booleans()),
            known=draw(st.booleans()),
        )
        for n in range(count)
    ]


healths = st.sampled_from([Health(), Health(2, NOW - GRACE, "x"), Health(3, NOW + GRACE, "x")])


@given(st.integers(0, 30), pods(), healths)
def test_a_claimed_pod_is_touched_only_when_nobody_knew_it_for_the_grace_period(
    want: int, seen: list[Seen], health: Health
) -> None:
    made = plan("now", want, seen, NOW, health, grace=GRACE)
    by_name = {pod.name: pod for pod in seen}
    assert not any(by_name[name].claimed for name in made.drain)
    for name in made.sweep:
        pod = by_name[name]
        assert pod.claimed and not pod.known and NOW - pod.since > GRACE


@given(st.integers(0, 30), pods(), healths)
def test_a_plan_never_goes_above_what_is_wanted_and_never_storms(want: int, seen: list[Seen], health: Health) -> None:
    made = plan("now", want, seen, NOW, health)
    alive = [pod for pod in seen if not (pod.claimed or pod.leaving or pod.broken) and pod.template == "now"]
    assert made.create <= STEP
    if made.create:
        assert len(alive) + made.create <= want
    working = [name for name in made.drain if not {p.name: p for p in seen}[name].broken]
    assert len(working) <= STEP
    assert len(set(made.drain)) == len(made.drain)


@given(st.integers(0, 30), pods())
def test_a_template_that_fails_is_tried_with_one_pod_after_its_delay(want: int, seen: list[Seen]) -> None:
    waiting = Health(4, NOW + timedelta(seconds=1), "ErrImagePull")
    assert plan("now", want, seen, NOW, waiting).create == 0
    assert plan("now", want, seen, NOW + timedelta(seconds=2), waiting).create <= 1


def test_the_delay_after_failures_grows_and_ends_growing() -> None:
    health, delays = Health(), []
    for _ in range(30):
        health = health.failed(NOW, "ErrImagePull")
        assert health.retry_at
        delays.append((health.retry_at - NOW).total_seconds())
    assert delays[:4] == [10, 20, 40, 80]
    assert delays[-1] == LONGEST_DELAY_S


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), pods(), st.data())
def test_with_a_cluster_that_obeys_every_plan_comes_to_an_end(want: int, seen: list[Seen], data: st.DataObject) -> None:
    """Claims happen meanwhile; each pod has one owner at most, and the pool ends as it is wanted."""
    world = {pod.name: pod for pod in seen}
    owners: dict[str, int] = {}
    now, made = NOW, 0
    for round_ in range(25):
        step = plan("now", want, list(world.values()), now, grace=GRACE)
        for name in [*step.drain, *step.sweep]:
            world.pop(name, None)
        for _ in range(step.create):
            made += 1
            world[f"new-{made}"] = Seen(f"new-{made}", "now", claimed=False, since=now)
        for name, pod in list(world.items()):
            if pod.leaving:
                del world[name]
            elif not pod.ready and not pod.claimed and not pod.broken:
                world[name] = Seen(name, pod.template, claimed=False, since=pod.since, ready=True)
        ready = [p.name for p in world.values() if p.ready and not p.claimed and p.template == "now" and not p.broken]
        if ready and round_ < 10 and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(ready)))
            assert name not in owners
            owners[name] = round_
            world[name] = Seen(name, "now", claimed=True, since=now, ready=True)
        now += timedelta(seconds=30)
    left = [pod for pod in world.values() if not pod.claimed]
    assert len(left) == want
    assert all(pod.ready and pod.template == "now" and not pod.broken for pod in left)
    assert all(pod.known for pod in world.values() if pod.claimed)
    assert set(owners) <= set(world)


def test_old_templates_leave_a_few_at_a_time_while_new_pods_come() -> None:
    old = [Seen(f"old-{n}", "before", claimed=False, since=NOW, ready=True) for n in range(12)]
    first = plan("now", 12, old, NOW)
    assert (first.create, len(first.drain)) == (STEP, STEP)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (3, "write a dict like"),
        ({"min": -1}, "min is -1"),
        ({"min": 5, "max": 2}, "min cannot be larger"),
        ({"mni": 5}, "has 'mni'; known: min, max"),
        ({"fixed": "three"}, "fixed is 'three'"),
        ({"schedule": [{"days": "mon-fry", "from": "07:00", "to": "09:00", "min": 3}]}, "schedule has"),
        ({"schedule": [{"from": "7 o'clock", "to": "09:00", "min": 3}]}, "schedule has"),
        ({"schedule": [{"from": "07:00", "to": "09:00", "zone": "Mars/Base", "min": 3}]}, "schedule has"),
        ({"schedule": [{"from": "07:00", "to": "09:00", "min": -3}]}, "schedule's min is -3"),
    ],
)
def test_what_is_no_pool_is_refused_with_its_value(written: Any, says: str) -> None:
    with pytest.raises(BadPool) as refused:
        parse_bounds("small", written)
    assert says in str(refused.value)
