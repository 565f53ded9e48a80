"""Workspace-hours are exact whatever is reported late, twice, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.economics.ledger import micros, moment
from neuralinverse_hub.economics.stints import HOUR, Stint, closed, merged, pieces

SECOND = 10**6


def stint(started: int = 0, ended: int | None = None, exact: bool = True, seen: int = 0, workspace: str = "w") -> Stint:
    return Stint("ada", workspace, started, "medium", "eastus", ended, exact, seen)


REPORTS = st.lists(
    st.one_of(
        st.builds(stint, seen=st.integers(0, 100)),
        st.builds(stint, ended=st.integers(0, 100), seen=st.integers(0, 100)),
        # Who infers an end says with it when it was last seen.
        st.integers(0, 100).map(lambda at: stint(ended=at, exact=False, seen=at)),
    ),
    min_size=1,
    max_size=6,
)


@given(REPORTS, st.randoms())
def test_reports_of_one_stint_say_the_same_in_any_order_and_twice(reports: list[Stint], random: object) -> None:
    shuffled = [*reports, *reports]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = reduce(merged, reports), reduce(merged, shuffled)
    assert (one.ended, one.seen) == (other.ended, other.seen)
    assert one.ended is None or one.exact == other.exact


def test_an_end_that_was_seen_beats_one_that_was_inferred() -> None:
    assert merged(stint(ended=90, exact=False), stint(ended=60)).ended == 60
    assert merged(stint(ended=60), stint(ended=90, exact=False)).ended == 60
    assert merged(stint(ended=50, exact=False), stint(ended=70, exact=False)).ended == 70


def test_who_is_seen_after_an_inferred_end_runs() -> None:
    assert merged(stint(ended=50, exact=False, seen=50), stint(seen=60)).ended is None
    assert merged(stint(seen=40), stint(ended=50, exact=False, seen=50)).ended == 50


@given(st.integers(0, 10 * HOUR), st.integers(0, 10 * HOUR), st.integers(0, 10 * HOUR))
def test_hours_add_up_to_the_whole(started: int, length: int, cut: int) -> None:
    whole = stint(started, started + length)
    found = list(pieces(whole, 0, 100 * HOUR))
    assert sum(part for _, part in found) == length
    assert all(0 < part <= HOUR for _, part in found)
    assert len({hour for hour, _ in found}) == len(found)
    # Nothing is counted twice, and nothing lost, where two reports meet.
    halves = [*pieces(whole, 0, cut), *pieces(whole, cut, 100 * HOUR)]
    assert sum(part for _, part in halves) == length


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.none() | st.integers(0, 1000)), max_size=8, unique_by=lambda each: each[0]
    )
)
def test_no_workspace_runs_twice_at_a_time(spans: list[tuple[int, int | None]]) -> None:
    found = closed([stint(started, ended) for started, ended in spans], now=1000)
    assert len(found) == len(spans)
    for before, after in pairwise(found):
        assert before.ended is not None and before.started <= before.ended <= after.started


def test_what_crashed_unseen_ends_where_its_next_start_begins() -> None:
    found = closed([stint(0), stint(50, 60), stint(0, workspace="other")], now=100)
    assert [(each.workspace, each.started, each.ended) for each in found] == [
        ("other", 0, 100),
        ("w", 0, 50),
        ("w", 50, 60),
    ]


def test_the_night_the_clocks_change_has_as_many_hours_as_pass() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for evening, morning, hours in (
        (datetime(2026, 10, 24, 22, tzinfo=berlin), datetime(2026, 10, 25, 6, tzinfo=berlin), 9),
        (datetime(2026, 3, 28, 22, tzinfo=berlin), datetime(2026, 3, 29, 6, tzinfo=berlin), 7),
    ):
        night = stint(micros(evening), micros(morning))
        assert [part for _, part in pieces(night, 0, 10**18)] == [HOUR] * hours


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))
def test_times_come_back_to_the_microsecond(at: datetime) -> None:
    assert moment(micros(at)) == at.astimezone(UTC)
