"""What tests on a real cluster start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster.fresh() as made:
        yield made


@pytest.fixture
def proxy(installed: Any) -> list[str]:
    return list(installed.proxy_command)
