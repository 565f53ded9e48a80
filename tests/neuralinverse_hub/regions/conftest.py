from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.neuralinverse_hub.regions.rig import World, world
from tests.neuralinverse_hub.regions.wires import why_not


@pytest.fixture(scope="session")
def networks() -> None:
    """Tests that need networks of their own are skipped, with the reason, where there can be none."""
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def three(networks: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three whole regions and their git host. Shared: keep to your own people, and leave every region up."""
    with world(tmp_path_factory.mktemp("regions"), ("us", "europe", "japan")) as regions:
        yield regions
