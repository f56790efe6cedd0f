"""A line for each database that is bound: which store a subscriber's view has there, and what keeps it from one."""

from sqlalchemy import Engine

from tellonce.storage.database import reading
from tellonce.storage.postgres import inspection as postgres
from tellonce.storage.postgres.catalogue import stamp_of
from tellonce.storage.postgres.rows import PostgresRows
from tellonce.storage.postgres.table import PostgresTable
from tellonce.storage.sql.bound import BoundTable
from tellonce.storage.sql.department import SqlDepartment
from tellonce.storage.sql.subscriber import SqlStore
from tellonce.storage.sqlite import inspection as sqlite
from tellonce.storage.sqlite.rows import SqliteRows
from tellonce.storage.sqlite.table import SqliteTable
from tellonce.storage.subscriber.department import DepartmentStore
from tellonce.storage.subscriber.store import SubscriberStore
from tellonce.storage.subscriber.table import Judgement
from tellonce.storage.subscriber.view import BoundView

__all__ = ["department_store", "judge_table", "subscriber_store"]


def judge_table(engine: Engine, view: BoundView) -> Judgement:
    """Says whether a view can be applied to its table, before anything is.

    Raises:
        RetryableError: the database is away.
    """
    with reading(engine) as connection:
        return _bound_table(engine, view).judge(connection)


def subscriber_store(engine: Engine, view: BoundView, partitions: int) -> SubscriberStore:
    """Gives the store of a view in a department's database, whose table was judged to fit."""
    return SqlStore(engine, view.name, partitions, _bound_table(engine, view))


def department_store(engine: Engine) -> DepartmentStore:
    """Gives what a department's database keeps beside its views."""
    return SqlDepartment(engine)


def _bound_table(engine: Engine, view: BoundView) -> BoundTable[PostgresTable] | BoundTable[SqliteTable]:
    quote = engine.dialect.identifier_preparer.quote
    if engine.dialect.name == "postgresql":
        name = postgres.table_name(view, quote)
        return BoundTable(
            view,
            stamp_of=lambda connection: stamp_of(connection, name),
            inspect=lambda connection: postgres.inspect_table(connection, view, quote),
            open_table=lambda connection: postgres.open_table(connection, view, quote),
            rows_of=PostgresRows,
        )
    return BoundTable(
        view,
        stamp_of=sqlite.stamp_of,
        inspect=lambda connection: sqlite.inspect_table(connection, view, quote),
        open_table=lambda connection: sqlite.open_table(connection, view, quote),
        rows_of=SqliteRows,
    )
