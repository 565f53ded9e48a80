from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spawner.workspace import next_generation


@given(st.lists(st.integers(min_value=0, max_value=2**53), min_size=1))
def test_generations_grow_whatever_the_clock_does(clock_readings_ms: list[int]) -> None:
    generation, seen = 0, []
    for now_ms in clock_readings_ms:
        generation = next_generation(generation, now_ms)
        seen.append(generation)
    assert seen == sorted(set(seen))


def test_a_hub_that_lost_its_database_still_issues_newer_generations() -> None:
    before = next_generation(0, 1_790_000_000_000)
    assert next_generation(0, 1_790_000_060_000) > before
