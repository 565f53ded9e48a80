from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from spawner.names import folder_name

_COMPONENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@given(st.text(min_size=1, max_size=300))
def test_every_name_gives_one_safe_path_component(name: str) -> None:
    assert _COMPONENT.fullmatch(folder_name(name))


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_never_share_a_folder(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one == other)


@given(st.text(min_size=1))
def test_a_name_that_looks_like_an_escaped_one_does_not_take_its_folder(name: str) -> None:
    escaped = folder_name(name)
    assert escaped == name or folder_name(escaped) != escaped


def test_plain_names_stay_readable() -> None:
    assert folder_name("ada.lovelace-1") == "ada.lovelace-1"
    assert folder_name("../../etc").startswith("etc--")
    assert folder_name("Zoë/x").startswith("zo-x--")
