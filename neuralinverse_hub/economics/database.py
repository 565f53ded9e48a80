"""The database below the ledger: connections, transactions, and which version its tables have. Knows no record.

SQLite and PostgreSQL; what differs between them stands here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite

from neuralinverse_hub.economics import schema
from neuralinverse_hub.economics.errors import LedgerAway

__all__ = ["Database"]


class Database:
    """One database. ``url`` is SQLAlchemy's, e.g. ``sqlite:///economics.sqlite`` or ``postgresql+psycopg://…``."""

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
            self.engine = sa.create_engine(parsed, pool_pre_ping=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as error:
            raise LedgerAway(f"{url!r} is not the URL of a database; write e.g. sqlite:///economics.sqlite") from error
        except ModuleNotFoundError as error:
            raise LedgerAway(
                f"the database's driver {error.name} is not installed: pip install 'neuralinverse-hub[postgres]'"
            ) from error
        # Never with a password in it.
        self.name = parsed.render_as_string(hide_password=True)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writing = threading.Lock()
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _set_up_sqlite)

    def close(self) -> None:
        self.engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection. Raises `LedgerAway`."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except (sa.exc.IntegrityError, sa.exc.DataError):
            # Ours: the database is well.
            raise
        except (sa.exc.DatabaseError, sa.exc.InterfaceError) as error:
            raise LedgerAway(f"the ledger {self.name} does not answer: {error.orig}") from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose changes are all taken at the end, or none. Raises `LedgerAway`."""
        # SQLite has one writer at a time; a turn here is cheaper than a busy database.
        with self._writing, self.reading() as connection, connection.begin():
            if self.is_sqlite:
                # From the start, or two processes could read the same and both write.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def insert(self, table: sa.Table) -> Any:
        """An INSERT that knows what to do with a conflict."""
        return (sqlite if self.is_sqlite else postgresql).insert(table)

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables to this version's, or to ``revision``. Raises `LedgerAway`."""
        with self.writing() as connection:
            if not self.is_sqlite:
                # Replicas that start together wait for each other.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7160538)"))
            head = ScriptDirectory.from_config(_alembic(connection)).get_current_head()
            options = {"version_table": schema.VERSION_TABLE}
            now = MigrationContext.configure(connection, opts=options).get_current_revision()
            known = {each.revision for each in ScriptDirectory.from_config(_alembic(connection)).walk_revisions()}
            if now is not None and now not in known:
                raise LedgerAway(
                    f"the ledger {self.name} has tables of a newer version ({now}); this one knows {head}: upgrade it"
                )
            command.upgrade(_alembic(connection), revision)

    def downgrade(self, revision: str) -> None:
        """Back to the tables of ``revision``; ``base`` removes them all."""
        with self.writing() as connection:
            command.downgrade(_alembic(connection), revision)


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # Transactions begin where we say so.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=20000", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def _alembic(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    return config
