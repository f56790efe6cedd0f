"""A line for each database that is bound: which store a subscriber's view has there."""

from collections.abc import Sequence

from sqlalchemy import Engine, inspect

from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import reading
from tellonce.storage.postgres.catalogue import columns_of, unique_columns_of
from tellonce.storage.postgres.rows import PostgresRows, PostgresTable
from tellonce.storage.sql.subscriber import SqlStore
from tellonce.storage.sqlite.rows import SqliteRows, SqliteTable
from tellonce.storage.subscriber.store import SubscriberStore
from tellonce.storage.subscriber.view import BoundView

__all__ = ["subscriber_store"]


def subscriber_store(engine: Engine, view: BoundView, partitions: int) -> SubscriberStore:
    """Gives the store of a view in a department's database.

    Raises:
        ConfigurationError: the binding's table has no key.
        RetryableError: the database is away.
    """
    if engine.dialect.name == "postgresql":
        table = _postgres_table(engine, view)
        return SqlStore(engine, view.name, partitions, lambda connection: PostgresRows(connection, table))
    small = _sqlite_table(engine, view)
    return SqlStore(engine, view.name, partitions, lambda connection: SqliteRows(connection, small))


def _postgres_table(engine: Engine, view: BoundView) -> PostgresTable:
    quote = engine.dialect.identifier_preparer.quote
    name = ".".join(quote(part) for part in view.binding.table.split("."))
    with reading(engine) as connection:
        columns, unique = columns_of(connection, name), unique_columns_of(connection, name)
    return PostgresTable(view, columns, _key_of(engine, view), unique, quote)


def _sqlite_table(engine: Engine, view: BoundView) -> SqliteTable:
    inspector = inspect(engine)
    name = view.binding.table
    unique = [tuple(str(each) for each in one["column_names"]) for one in inspector.get_unique_constraints(name)]
    unique += [tuple(str(each) for each in one["column_names"]) for one in inspector.get_indexes(name) if one["unique"]]
    unique.append(tuple(inspector.get_pk_constraint(name)["constrained_columns"]))
    not_null = [column["name"] for column in inspector.get_columns(name) if not column["nullable"]]
    quote = engine.dialect.identifier_preparer.quote
    return SqliteTable(view, _key_of(engine, view), [names for names in unique if names], not_null, quote)


def _key_of(engine: Engine, view: BoundView) -> Sequence[str]:
    schema, _, name = view.binding.table.rpartition(".")
    primary = inspect(engine).get_pk_constraint(name, schema=schema or None)["constrained_columns"]
    key = view.binding.key or tuple(primary)
    if not key:
        place, table = view.binding.place, view.binding.table
        msg = f"{place}: the table {table} has no primary key; name columns that identify a row: key=..."
        raise ConfigurationError(msg, view=view.name, table=table)
    return key
