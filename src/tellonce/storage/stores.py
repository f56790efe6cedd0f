"""A line for each database that is bound: which store a subscriber's view has there."""

from sqlalchemy import Engine, inspect

from tellonce.storage.bound_table import key_of_table
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
        ConfigurationError: the table, a column that the binding names, or a usable key is not there.
        RetryableError: the database is away.
    """
    if engine.dialect.name == "postgresql":
        table = _postgres_table(engine, view)
        return SqlStore(engine, view.name, partitions, lambda connection: PostgresRows(connection, table))
    small = _sqlite_table(engine, view)
    return SqlStore(engine, view.name, partitions, lambda connection: SqliteRows(connection, small))


def _postgres_table(engine: Engine, view: BoundView) -> PostgresTable:
    key = key_of_table(engine, view.binding, view.schema.fields)
    quote = engine.dialect.identifier_preparer.quote
    name = ".".join(quote(part) for part in view.binding.table.split("."))
    with reading(engine) as connection:
        columns, unique = columns_of(connection, name), unique_columns_of(connection, name)
    return PostgresTable(view, columns, key, unique, quote)


def _sqlite_table(engine: Engine, view: BoundView) -> SqliteTable:
    key = key_of_table(engine, view.binding, view.schema.fields)
    inspector = inspect(engine)
    name = view.binding.table
    unique = [tuple(str(each) for each in one["column_names"]) for one in inspector.get_unique_constraints(name)]
    unique += [tuple(str(each) for each in one["column_names"]) for one in inspector.get_indexes(name) if one["unique"]]
    unique.append(tuple(inspector.get_pk_constraint(name)["constrained_columns"]))
    not_null = [column["name"] for column in inspector.get_columns(name) if not column["nullable"]]
    quote = engine.dialect.identifier_preparer.quote
    return SqliteTable(view, key, [names for names in unique if names], not_null, quote)
