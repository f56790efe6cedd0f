"""Connections to a department's database, set up so that a commit that returned is on disk."""

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from tellonce.model.errors import ConfigurationError, RetryableError

__all__ = [
    "OWN_SCHEMA",
    "clock_ms",
    "is_infrastructure_trouble",
    "open_database",
    "own_table_name",
    "reading",
    "sentence_of",
    "writing",
]

OWN_SCHEMA = "tellonce"

_BUSY_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_SECONDS = 5
_SESSION_SECONDS = 3_600
"""No session is older: a temporary table holds back the freezing of all others for as long as its session lives."""
_POSTGRES_SETTINGS: Mapping[str, str] = {
    # How values look as text: as we read and write it, whatever the department has set for its role or its database.
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "idle_in_transaction_session_timeout": "60000",
    # A policy that would hide rows is an error: what is hidden would count as gone.
    "row_security": "off",
    # Compiling a claim costs more than running it, where the outbox grew since its last statistics.
    "jit": "off",
}
_SET_POSTGRES = "SELECT " + ", ".join(
    f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in _POSTGRES_SETTINGS.items()
)
# PostgreSQL classes of SQLSTATE that a later try may get past: connection, resources, operator intervention, system,
# and serialization or deadlock rollbacks (class 40).
_TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
# A server that only reads for a while, as after a failover.
_READ_ONLY = "25006"


def own_table_name(dialect_name: str, name: str) -> str:
    """Gives the qualified name of one of our tables: in our schema, or with a prefix where there are no schemas."""
    return f"{OWN_SCHEMA}.{name}" if dialect_name == "postgresql" else f"{OWN_SCHEMA}_{name}"


def open_database(url: str, *, connect_seconds: int = _CONNECT_TIMEOUT_SECONDS) -> Engine:
    """Gives an engine for a department's database; nothing is connected yet.

    SQLite: every transaction that writes begins with BEGIN IMMEDIATE, waits up to 10 s for another writer, and is
    flushed with `synchronous=EXTRA`, which lost nothing in either journal mode; the journal mode stays as it is.
    PostgreSQL: transactions speak UTF-8 and UTC, and an idle one is ended after a minute, so that a paused process
    does not hold up its successor. Nothing outlives a transaction in the session, which a pooler may take away then.
    Connecting takes `connect_seconds` at most, from 2 up, at each address of the host.

    Raises:
        ConfigurationError: the URL is of no database that is bound today.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        msg = "expected a database URL such as postgresql+psycopg://user@host/database or sqlite:///file.db"
        raise ConfigurationError(msg) from error
    if parsed.get_backend_name() == "postgresql":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_recycle=_SESSION_SECONDS,
            # Whatever a role has for its default: what is read after a claim must be newer than the claim.
            isolation_level="READ COMMITTED",
            connect_args={
                "connect_timeout": connect_seconds,
                "client_encoding": "UTF8",
                # A pooler gives each transaction another of the server's sessions, which does not know our statements.
                "prepare_threshold": None,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
            },
        )
        event.listen(engine, "connect", _set_up_postgres)
        event.listen(engine, "begin", _begin_postgres)
        return engine
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    msg = f"expected a PostgreSQL or SQLite database, found {parsed.get_backend_name()}; only these two are bound today"
    raise ConfigurationError(msg)


class _AnyText(Loader):
    """Loads text from a database that converts none."""

    def load(self, data: Buffer) -> str:
        return _any_text(bytes(data))


def _any_text(data: bytes) -> str:
    """Gives text, where it is not UTF-8 with its bytes as lone surrogates.

    So a codec refuses that one value, where the driver would refuse the whole answer.
    """
    return data.decode("utf-8", "surrogateescape")


def _set_up_postgres(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # Such a database keeps whatever bytes it was given; every other one converts, or refuses.
    if (
        isinstance(connection, psycopg.Connection)
        and connection.info.parameter_status("server_encoding") == "SQL_ASCII"
    ):
        for kind in ("text", "varchar", "bpchar", "name"):
            connection.adapters.register_loader(kind, _AnyText)


def _begin_postgres(connection: Connection) -> None:
    # In each transaction, since behind a pooler no session is ours for longer, and none takes startup parameters.
    connection.exec_driver_sql(_SET_POSTGRES)


def _set_up_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver must not open transactions of its own: BEGIN IMMEDIATE is sent by _begin_sqlite.
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = None
        # SQLite keeps whatever bytes it is given as text.
        connection.text_factory = _any_text
        for pragma in ("synchronous=EXTRA", "foreign_keys=ON", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
            connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    mode = "DEFERRED" if connection.get_execution_options().get("reading") else "IMMEDIATE"
    connection.exec_driver_sql(f"BEGIN {mode}")


@contextmanager
def writing(engine: Engine, *, lock_timeout_ms: int | None = None) -> Generator[Connection]:
    """Gives a connection inside one transaction, committed when the block ends well.

    Raises:
        RetryableError: the database is away, full or out of connections; nothing of the block is certain to be there.
    """
    try:
        with engine.begin() as connection:
            _bound_waits(connection, lock_timeout_ms)
            yield connection
    except DBAPIError as error:
        if is_infrastructure_trouble(error):
            raise RetryableError(sentence_of(engine, error), database=str(engine.url.database)) from error
        raise


@contextmanager
def reading(engine: Engine, *, lock_timeout_ms: int | None = None) -> Generator[Connection]:
    """Gives a connection that sees one unchanging state of the database until the block ends.

    Raises:
        RetryableError: the database is away.
    """
    try:
        with engine.connect() as plain:
            connection = plain.execution_options(reading=True)
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                _bound_waits(connection, lock_timeout_ms)
                yield connection
    except DBAPIError as error:
        if is_infrastructure_trouble(error):
            raise RetryableError(sentence_of(engine, error), database=str(engine.url.database)) from error
        raise


def _bound_waits(connection: Connection, lock_timeout_ms: int | None) -> None:
    if lock_timeout_ms is not None and connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {lock_timeout_ms:d}"))


def sqlstate_of(error: DBAPIError) -> str | None:
    """Gives PostgreSQL's five-character code of an error, if it has one."""
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_infrastructure_trouble(error: DBAPIError) -> bool:
    """Tells whether an error speaks of the server or the connection, and not of the statement's data."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    state = sqlstate_of(error)
    if state is not None:
        return state == _READ_ONLY or state.startswith(_TRANSIENT_CLASSES)
    # sqlite3 raises OperationalError both for a locked or full database and, as SQLITE_ERROR, for a table that is not
    # there; the connection of a server has no code while it is not made.
    is_sqlite = isinstance(error.orig, sqlite3.Error)
    code = getattr(error.orig, "sqlite_errorname", "SQLITE_ERROR")
    return isinstance(error, OperationalError) and not (is_sqlite and code == "SQLITE_ERROR")


def sentence_of(engine: Engine, error: DBAPIError) -> str:
    """Gives one sentence about a database that is in trouble, without the statement or its values."""
    where = engine.url.render_as_string(hide_password=True)
    what = sqlstate_of(error) or type(error.orig).__name__
    reason = str(error.orig).strip().splitlines()[0] if _is_connecting(error) and str(error.orig).strip() else what
    return f"expected the database {where} to answer, found {reason}; see that it runs and may be reached from here"


def _is_connecting(error: DBAPIError) -> bool:
    # Only an error of connecting is shown in the server's words: one of a statement may quote a row, and so may one of
    # a commit, where a department's deferred trigger speaks; that has no statement either, but PostgreSQL's code.
    return error.statement is None and sqlstate_of(error) is None


def clock_ms(connection: Connection) -> int:
    """Gives the database's own clock in epoch milliseconds, also within a long transaction."""
    if connection.dialect.name == "postgresql":
        statement = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    else:
        statement = "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    return int(connection.execute(text(statement)).scalar_one())
