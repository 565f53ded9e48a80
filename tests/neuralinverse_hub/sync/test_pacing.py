"""When the daemon saves: bursts, retries, and the doubt about a mass deletion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.sync import pacing
from neuralinverse_hub.sync.pacing import Burst, Deletion, Retry


@pytest.mark.parametrize(
    ("push_s", "waits_s"),
    [(0.0, pacing.QUIET_S), (0.15, 0.3), (5.0, pacing.BURST_S)],
    ids=["a quick host", "twice the time of a push", "a slow host"],
)
def test_a_burst_is_waited_for_by_the_time_of_a_push(push_s: float, waits_s: float) -> None:
    assert Burst().begins(100.0, push_s) == pytest.approx(100.0 + waits_s)


def test_a_program_that_writes_for_ever_is_saved_every_second() -> None:
    burst, now = Burst(), 1000.0
    while now < 1000.0 + pacing.LONG_S:
        end = burst.begins(now, 0.0)
        assert end == pytest.approx(now + pacing.QUIET_S)
        burst.ended(end)
        now = end + 1.0
    assert burst.begins(now, 0.0) == pytest.approx(now + pacing.BURST_S)
    # After a rest the next writes are a person's again.
    burst.ended(now)
    assert burst.begins(now + 60.0, 0.0) == pytest.approx(now + 60.0 + pacing.QUIET_S)


@given(failures=st.integers(1, 200), now=st.floats(0, 1e9))
def test_each_retry_is_later_within_a_limit_and_one_success_forgets_them(failures: int, now: float) -> None:
    retry = Retry()
    for nth in range(failures):
        wait_s = retry.failed(now)
        usual_s = min(pacing.SLOWEST_RETRY_S, 2.0**nth)
        assert 0.75 * usual_s <= wait_s <= 1.25 * usual_s
        assert retry.at == now + wait_s
    assert retry.failures == failures
    retry.worked()
    assert (retry.failures, retry.at) == (0, 0.0)


def test_a_failure_that_a_look_settles_is_looked_at_at_once_but_only_once() -> None:
    retry = Retry()
    assert retry.failed(0.0, at_once=True) == pytest.approx(0.1)
    assert retry.failed(0.0, at_once=True) > 1.0


def test_what_is_put_off_is_not_forgotten() -> None:
    retry = Retry()
    retry.put_off(5.0)
    assert (retry.failures, retry.at) == (1, 5.0)


def test_a_mass_deletion_is_believed_after_a_while_and_never_at_the_end() -> None:
    deletion = Deletion()
    assert deletion.doubted_until(0.0, 100, 49, final=False) == pacing.DELETION_PATIENCE_S
    assert deletion.doubted_until(4.9, 49, 49, final=False) == pacing.DELETION_PATIENCE_S
    assert deletion.doubted_until(9.0, 49, 49, final=True) == pacing.DELETION_PATIENCE_S
    assert deletion.doubted_until(9.0, 49, 49, final=False) is None
    assert deletion.doubted_until(9.1, 49, 49, final=False) is None


@given(before=st.integers(0, 1000), after=st.integers(0, 1000))
def test_only_the_loss_of_more_than_half_of_the_files_is_doubted(before: int, after: int) -> None:
    doubted = Deletion().doubted_until(0.0, before, after, final=False) is not None
    assert doubted == (before >= 2 and after * 2 < before)
