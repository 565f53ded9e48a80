from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from spawner.workspace import next_generation, person_key


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


def test_everybody_has_a_key_of_their_own_that_stays_the_same() -> None:
    secret = b"of the hub"
    assert person_key(secret, "ada") == person_key(secret, "ada")
    assert len({person_key(secret, "ada"), person_key(secret, "grace"), person_key(b"another", "ada")}) == 3
    assert len(base64.b64decode(person_key(secret, "ada"))) == 32
