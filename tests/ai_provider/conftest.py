from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ai_provider.standin import StandIn


@pytest.fixture
def gateway() -> Iterator[StandIn]:
    standin = StandIn()
    yield standin
    standin.stop()
