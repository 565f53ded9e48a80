from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from neuralinverse_hub.githost.names import account_names

_ACCEPTED = re.compile(r"[\da-zA-Z](?:[-._]?[\da-zA-Z])*")


@given(st.text(min_size=1, max_size=300))
def test_every_name_is_one_that_gitea_accepts(person: str) -> None:
    for name in account_names(person):
        assert _ACCEPTED.fullmatch(name) and len(name) <= 40


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_last_resort_of_two_people_is_never_the_same(one: str, other: str) -> None:
    assert (account_names(one)[-1] == account_names(other)[-1]) == (one == other)


@given(st.text(min_size=1))
def test_nobodys_plain_name_is_another_ones_escaped_name(person: str) -> None:
    escaped = account_names(person)[-1]
    assert escaped not in account_names(escaped)


def test_plain_names_stay_readable() -> None:
    assert account_names("ada.lovelace_1")[0] == "ada.lovelace_1"
    assert account_names("zoë@example.org")[0].startswith("zo-example-org-")
    assert account_names("a--b") == [account_names("a--b")[-1]]
