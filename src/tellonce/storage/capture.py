"""Capturing the changes of a department's tables: what is installed next to them, how it is checked and removed."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from tellonce.declare import Source
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.storage import capture_postgres, capture_sqlite
from tellonce.storage.capture_plan import Finding, Part, Step, check_record_types
from tellonce.storage.database import reading, sqlstate_of, writing
from tellonce.storage.tables import own_tables

__all__ = ["Finding", "Step", "install", "plan_install", "plan_uninstall", "uninstall", "verify", "why_not_gone"]

_LOCKED = "55P03"
_FORBIDDEN = "42501"


class _Parts(Protocol):
    """Gives everything that capturing a source consists of; who only looks needs no right to install."""

    def __call__(self, connection: Connection, source: Source, *, is_installing: bool = True) -> list[Part]: ...


@dataclass(frozen=True, slots=True)
class _Capture:
    """How one dialect captures."""

    parts: _Parts
    removal_steps: Callable[[Connection, Source], list[Step]]
    lock_catalog: Callable[[Connection], None]
    lock_table: Callable[[Connection, Source], None]
    why_not_gone: Callable[[Connection, Source], str | None]


_POSTGRES = _Capture(
    capture_postgres.parts,
    capture_postgres.removal_steps,
    capture_postgres.lock_catalog,
    capture_postgres.lock_table,
    capture_postgres.why_not_gone,
)
_SQLITE = _Capture(
    capture_sqlite.parts,
    capture_sqlite.removal_steps,
    capture_sqlite.lock_catalog,
    capture_sqlite.lock_table,
    capture_sqlite.why_not_gone,
)


def plan_install(engine: Engine, sources: Sequence[Source]) -> tuple[Step, ...]:
    """Gives what `install` would do now, in order; nothing where all is in place. Changes nothing.

    Our own schema and tables need not be there yet.

    Raises:
        ConfigurationError: a source's table cannot be captured (table or column missing, key not unique, no rights).
        RetryableError: the database is away.
    """
    check_record_types(sources)
    with _translated(), reading(engine) as connection:
        return _steps(_of(engine), connection, sources)


def install(engine: Engine, sources: Sequence[Source]) -> tuple[Step, ...]:
    """Puts the capture of the sources in place, all or none, and gives what was done.

    Needs our own tables. May be repeated and may run at the same time as another installation. Writers of a table wait
    while its triggers are made; where the table itself is in use for longer than 10 s, nothing is done.

    Raises:
        ConfigurationError: a source's table cannot be captured, or our own tables are not there yet.
        RetryableError: the database is away, or a table is in use for too long.
    """
    check_record_types(sources)
    capture = _of(engine)
    with _translated(), writing(engine) as connection:
        capture.lock_catalog(connection)
        _check_own_tables(connection)
        for source in sources:
            if any(part.problem for part in capture.parts(connection, source)):
                capture.lock_table(connection, source)
        steps = _steps(capture, connection, sources)
        _take(connection, steps)
    return steps


def plan_uninstall(engine: Engine, sources: Sequence[Source]) -> tuple[Step, ...]:
    """Gives what `uninstall` would do now, in order. Changes nothing.

    Raises:
        RetryableError: the database is away.
    """
    capture = _of(engine)
    with _translated(), reading(engine) as connection:
        return tuple(step for source in sources for step in capture.removal_steps(connection, source))


def uninstall(engine: Engine, sources: Sequence[Source]) -> tuple[Step, ...]:
    """Removes triggers, functions and outboxes of the sources, and gives what was done.

    That records wait is forgotten with the outbox; the ledger stays, so that a sweep finds them after another install.

    Raises:
        ConfigurationError: the rights are missing.
        RetryableError: the database is away, or a table is in use for too long.
    """
    capture = _of(engine)
    with _translated(), writing(engine) as connection:
        capture.lock_catalog(connection)
        steps = tuple(step for source in sources for step in capture.removal_steps(connection, source))
        _take(connection, steps)
    return steps


def verify(engine: Engine, sources: Sequence[Source]) -> tuple[Finding, ...]:
    """Gives everything about the capture that is not as `install` would leave it; nothing where all is well.

    A table that cannot be captured any more is a finding too.

    Raises:
        RetryableError: the database is away.
    """
    check_record_types(sources)
    capture, found = _of(engine), list[Finding]()
    with _translated(), reading(engine) as connection:
        for source in sources:
            try:
                parts = capture.parts(connection, source, is_installing=False)
            except ConfigurationError as error:
                found.append(Finding(record_type=source.record_type, sentence=str(error)))
                continue
            found += [Finding(record_type=part.record_type, sentence=part.problem) for part in parts if part.problem]
    return tuple(found)


def why_not_gone(connection: Connection, source: Source) -> str | None:
    """Gives why a row that is missing from the source's table need not be gone, as the end of a sentence, or nothing.

    Asked in the transaction that found it missing.

    Raises:
        ConfigurationError: the table cannot be captured any more.
    """
    return _of(connection).why_not_gone(connection, source)


def _of(database: Engine | Connection) -> _Capture:
    return _POSTGRES if database.dialect.name == "postgresql" else _SQLITE


def _steps(capture: _Capture, connection: Connection, sources: Sequence[Source]) -> tuple[Step, ...]:
    parts = [part for source in sources for part in capture.parts(connection, source)]
    return tuple(step for part in parts if part.problem for step in part.steps)


def _take(connection: Connection, steps: Sequence[Step]) -> None:
    # Without parameters, so that the driver takes neither a percent sign for one nor several statements amiss.
    plain = connection.execution_options(no_parameters=True)
    for step in steps:
        plain.exec_driver_sql(step.sql)


def _check_own_tables(connection: Connection) -> None:
    table = own_tables(connection.dialect.name).published
    if not inspect(connection).has_table(table.name, schema=table.schema):
        msg = (
            f"expected the table {table.fullname} of ours to be there before capture is installed, found none; make it"
        )
        raise ConfigurationError(msg, table=table.fullname)


@contextmanager
def _translated() -> Generator[None, None, None]:
    try:
        yield
    except DBAPIError as error:
        state = sqlstate_of(error)
        if state == _LOCKED:
            msg = "expected a lock on the table within 10 s, found it in use by a long transaction; try again"
            raise RetryableError(msg) from error
        if state == _FORBIDDEN:
            msg = "expected the right to install triggers here, found it missing; install as the tables' owner"
            raise ConfigurationError(msg) from error
        raise
