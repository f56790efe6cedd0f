"""Our own tables in a department's database: made, brought up to date, and removed without a trace."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ColumnClause, Connection, Engine, String, column, inspect, select, table, text

from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import OWN_SCHEMA, reading, writing
from tellonce.storage.tables import own_tables

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["check_own_schema", "create_own_schema", "drop_own_schema", "own_table_names"]

_MIGRATIONS = Path(__file__).parent / "migrations"


def _config(connection: Connection) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - as in `create_own_schema`

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def own_table_names(dialect_name: str) -> tuple[str, ...]:
    """Gives the qualified names of the tables that `create_own_schema` makes."""
    return tuple(table.fullname for table in own_tables(dialect_name).metadata.sorted_tables)


def create_own_schema(engine: Engine) -> None:
    """Makes our tables, or brings those of an earlier release up to date; no table of the department is touched."""
    # A service only looks whether they are there: Alembic would take it a fifth of its start.
    from alembic import command  # noqa: PLC0415

    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            # Two installations at once: the second waits, then finds everything there.
            connection.execute(text("SELECT pg_advisory_xact_lock(7435108, 1)"))
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {OWN_SCHEMA}"))
        command.upgrade(_config(connection), "head")


def drop_own_schema(engine: Engine) -> None:
    """Removes our tables and our schema with everything in it."""
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"DROP SCHEMA IF EXISTS {OWN_SCHEMA} CASCADE"))
            return
        names = [n for n in inspect(connection).get_table_names() if n.startswith(f"{OWN_SCHEMA}_")]
        for name in names:
            connection.execute(text(f'DROP TABLE "{name}"'))


def check_own_schema(engine: Engine, department: str) -> None:
    """Returns where our tables are there, as this release makes them.

    Raises:
        ConfigurationError: they are not; says which command makes them.
        RetryableError: the database is away.
    """
    with reading(engine) as connection:
        found = _revision(connection)
    newest = _newest_revision()
    if found == newest:
        return
    mend = f"run `tellonce install {department}`"
    if found is None:
        msg = f"expected tellonce's own tables in the database, found none; {mend}"
    elif found < newest:
        msg = f"expected tellonce's own tables at revision {newest}, found them at {found}; {mend}"
    else:
        msg = (
            f"expected tellonce's own tables at revision {newest}, found them at {found}, made by a newer release; "
            "run that release"
        )
    raise ConfigurationError(msg, department=department)


def _newest_revision() -> str:
    # A migration's file is named by its revision, and each follows the one before it.
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    is_postgres = connection.dialect.name == "postgresql"
    name, schema = ("migration", OWN_SCHEMA) if is_postgres else (f"{OWN_SCHEMA}_migration", None)
    if not inspect(connection).has_table(name, schema):
        return None
    number: ColumnClause[str] = column("version_num", String)
    return connection.scalar(select(number).select_from(table(name, schema=schema)))
