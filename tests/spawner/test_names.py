from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from spawner.names import safe_name, workspace_name

_COMPONENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@given(st.text(min_size=1, max_size=300))
def test_every_name_gives_one_safe_component(name: str) -> None:
    assert _COMPONENT.fullmatch(safe_name(name))


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_never_share_a_folder(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(st.text(min_size=1))
def test_a_name_that_looks_like_an_escaped_one_does_not_take_its_folder(name: str) -> None:
    escaped = safe_name(name)
    assert escaped == name or safe_name(escaped) != escaped


@given(st.text() | st.just("default"), st.text() | st.just("default"))
def test_two_servers_of_a_person_never_share_a_workspace(one: str, other: str) -> None:
    assert _COMPONENT.fullmatch(workspace_name(one))
    assert (workspace_name(one) == workspace_name(other)) == (one == other)


def test_plain_names_stay_readable() -> None:
    assert safe_name("ada_lovelace-1") == "ada_lovelace-1"
    assert safe_name("../../etc").startswith("etc--")
    assert safe_name("Zoë/x").startswith("zo-x--")
    assert workspace_name("") == "default"
    assert workspace_name("default").startswith("default--")
