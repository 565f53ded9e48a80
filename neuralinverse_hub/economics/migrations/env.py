"""Where alembic finds the ledger; `Ledger` hands its connection over."""

from __future__ import annotations

from alembic import context

from neuralinverse_hub.economics.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
