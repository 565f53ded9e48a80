"""Which snapshots are kept: the promise is every push for an hour, one an hour for a day, one a day for thirty days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.sync import history

NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)

ages = st.lists(st.timedeltas(timedelta(seconds=1), timedelta(days=60)), max_size=60)


def names(kind, ages):
    return {f"{kind}/{history.stamp((NOW - age).timestamp())}" for age in ages}


@given(ages)
def test_every_hour_of_a_day_and_every_day_of_thirty_keeps_its_newest(ages):
    everything = names("at", ages)
    over = history.outdated(everything, NOW.timestamp())
    assert over <= everything
    for name in everything:
        at = history.time_of(name)
        assert at is not None
        same_hour = {n for n in everything if history.time_of(n).strftime("%Y%m%d%H") == at.strftime("%Y%m%d%H")}
        same_day = {n for n in everything if history.time_of(n).strftime("%Y%m%d") == at.strftime("%Y%m%d")}
        if NOW - at > timedelta(days=30):
            assert name in over
        elif name == max(same_day) or (NOW - at <= timedelta(days=1) and name == max(same_hour)):
            assert name not in over


@given(ages)
def test_no_more_are_kept_than_promised(ages):
    everything = names("at", ages)
    kept = everything - history.outdated(everything, NOW.timestamp())
    assert len(kept) <= 25 + 31


@given(ages)
def test_pruning_twice_prunes_no_more(ages):
    everything = names("at", ages) | names("recent", ages)
    kept = everything - history.outdated(everything, NOW.timestamp())
    assert history.outdated(kept, NOW.timestamp()) == set()


@given(ages)
def test_the_pushes_of_the_last_hour_stay(ages):
    everything = names("recent", ages)
    over = history.outdated(everything, NOW.timestamp())
    assert not {name for name in over if NOW - history.time_of(name) <= timedelta(hours=1)}


def test_other_names_are_left_alone():
    assert history.outdated(["snap", "claim", "at/nonsense", "recent/2026"], NOW.timestamp()) == set()
