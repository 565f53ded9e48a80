"""Words for the person reach them on every page and in every answer of the hub's API."""

from __future__ import annotations

import pytest
from tornado import web

from spawner.refusing import Refused, saying
from spawner.sizes import DEFAULT_SIZES, UnknownSize, find, parse_sizes


def test_what_has_words_for_the_person_becomes_an_answer_with_them() -> None:
    with pytest.raises(Refused) as refused, saying():
        find(parse_sizes(DEFAULT_SIZES), "100%")
    assert refused.value.status_code == 400
    assert isinstance(refused.value.__cause__, UnknownSize)
    assert "there is no size '100%'" in refused.value.jupyterhub_message
    # As the hub's API makes its message, in JupyterHub 5 and 6.
    assert (refused.value.log_message or "") % refused.value.args == refused.value.jupyterhub_message


@pytest.mark.parametrize(
    "error", [web.HTTPError(409, "elsewhere"), TimeoutError("slow"), ValueError("a fault of ours")]
)
def test_what_has_none_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, saying():
        raise error
    assert raised.value is error
