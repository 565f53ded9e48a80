"""Ledgers on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

from neuralinverse_hub.economics.ledger import Ledger
from tests.neuralinverse_hub.economics import postgres

hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL server."""
    if postgres.binaries() is None:
        if os.environ.get("NEURALINVERSE_REQUIRE_POSTGRES"):
            pytest.fail("no PostgreSQL on this machine, and NEURALINVERSE_REQUIRE_POSTGRES says that it must be there")
        pytest.skip("needs PostgreSQL: Debian's package postgresql")
    with postgres.serving() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/economics.sqlite"
    server: str = request.getfixturevalue("server")
    name = f"ledger{next(_NUMBERS)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def open_ledger(url: str) -> Iterator[Callable[[], Ledger]]:
    """Opens the database, again and again if need be, as processes beside each other would."""
    opened: list[Ledger] = []

    def open_it() -> Ledger:
        ledger = Ledger(url, b"a secret of the tests")
        opened.append(ledger)
        return ledger

    yield open_it
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A ledger that is ready to take records."""
    ledger = open_ledger()
    ledger.upgrade()
    return ledger
