"""How Alembic runs our migrations: always from code, on a connection that is handed over."""

from alembic import context

from tellonce.storage.database import OWN_SCHEMA

connection = context.config.attributes["connection"]
is_postgres = connection.dialect.name == "postgresql"
context.configure(
    connection=connection,
    target_metadata=None,
    version_table="migration" if is_postgres else f"{OWN_SCHEMA}_migration",
    version_table_schema=OWN_SCHEMA if is_postgres else None,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
