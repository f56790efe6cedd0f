"""Capture in SQLite: triggers that note records in the outbox, in the writer's transaction.

What must be known of them:
- They name the key's columns alone, so that no other column's rename or drop is refused for them; every UPDATE notes
  its records, and one that changed nothing published is dropped by the relay.
- INSERT OR REPLACE, where the same key is there already, is seen as an insert, which is as good.
- What REPLACE removes because of a second unique column goes unseen without `recursive_triggers`; the sweep finds it.
- INSERT OR IGNORE that ignores a row fires nothing, rightly. No statement of ours can conflict, so that an outer
  OR IGNORE silences none of them.
- SQLite knows no handler of errors: if the outbox cannot be written (disk full, dropped by hand), neither can the row.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Dialect
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from tellonce.declare import Source, split_table
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture_plan import MOST_HISTORIES, Part, Step, filled
from tellonce.storage.database import OWN_SCHEMA
from tellonce.storage.outbox_table import outbox_table
from tellonce.storage.record_keys import key_text_sql

__all__ = ["lock_catalog", "lock_table", "parts", "removal_steps", "why_not_gone"]

_DIALECT: Dialect = sqlite.dialect()
_NOW_MS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
_TRIGGERS = ("insert", "update", "delete")
_EARLIER_TRIGGERS = ("rekey",)
"""What an earlier release installed."""


def lock_catalog(connection: Connection) -> None:
    """Does nothing: a transaction that writes has the whole database for itself."""


def lock_table(connection: Connection, source: Source) -> None:
    """Does nothing: a transaction that writes has the whole database for itself."""


def parts(connection: Connection, source: Source, *, is_installing: bool = True) -> list[Part]:
    """Gives everything that capturing the source consists of, each with what is wrong with it now.

    Raises:
        ConfigurationError: the table cannot be captured.
    """
    del is_installing
    _check(connection, source)
    found = [*_outbox_parts(connection, source)]
    triggers: list[Part] = []
    for name, (table, sql) in _wanted_triggers(source).items():
        present = _schema_sql(connection, "trigger", name)
        problem = None
        if present is None:
            problem = f"the trigger {name} on {table} is missing"
        elif present != sql:
            problem = f"the trigger {name} on {table} is not the one of this release and this declaration"
        drop = Step(sentence=f"Drop the trigger {name} of before.", sql=f"DROP TRIGGER {_quoted(name)}")
        create = Step(sentence=f"Create the trigger {name} on {table}.", sql=sql)
        triggers.append(_part(source, problem, *([] if present is None else [drop]), create))
    for name in _possible_triggers(source) - _wanted_triggers(source).keys():
        if _schema_sql(connection, "trigger", name) is not None:
            drop = Step(sentence=f"Drop the trigger {name} of before.", sql=f"DROP TRIGGER {_quoted(name)}")
            triggers.append(_part(source, f"the trigger {name} is of an earlier release or declaration", drop))
    return found + triggers


def why_not_gone(connection: Connection, source: Source) -> str | None:
    """Gives why a row that is missing from the source's table need not be gone, or nothing.

    Raises:
        ConfigurationError: the table cannot be captured.
    """
    _check(connection, source)
    for kind in _TRIGGERS:
        name = _trigger_name(source, kind)
        # A trigger goes with its table when that is renamed, and another may have taken the name.
        if _schema_sql(connection, "trigger", name) != _wanted_triggers(source)[name][1]:
            return f"the trigger {name} on it is missing or another"
    return None


def removal_steps(connection: Connection, source: Source) -> list[Step]:
    """Gives the steps that remove what was installed for the source, whatever became of its table."""
    names = sorted(_possible_triggers(source))
    steps = [
        Step(sentence=f"Drop the trigger {name}.", sql=f"DROP TRIGGER {_quoted(name)}")
        for name in names
        if _schema_sql(connection, "trigger", name) is not None
    ]
    outbox = outbox_table(source.record_type, "sqlite").name
    if _schema_sql(connection, "table", outbox) is not None:
        steps.append(
            Step(
                sentence=f"Drop the outbox {outbox} with all changes in it that are not published yet.",
                sql=f"DROP TABLE {_quoted(outbox)}",
            )
        )
    return steps


def _wrong(source: Source, message: str) -> ConfigurationError:
    return ConfigurationError(f"{source.place}: {message}", record_type=source.record_type, table=source.table)


def _check(connection: Connection, source: Source) -> None:
    schema, table = split_table(source.table)
    if schema not in {None, "main"}:
        raise _wrong(source, f"expected a table of this database file, found schema {schema}; name the table alone")
    columns = _columns(connection, source, table, [*source.key, *source.column_names])
    _check_key(source, table, columns, source.key)
    if not _is_unique(connection, table, source.key):
        msg = (
            f"expected a primary key or a unique index on exactly ({', '.join(source.key)}) of {table}, found none; "
            "two rows of one record key could not be told apart"
        )
        raise _wrong(source, msg)
    for history in source.former.values():
        order = [history.order_by] if history.order_by else []
        known = _columns(connection, source, history.table, [*history.key, history.column, *order])
        _check_key(source, history.table, known, history.key)


def _columns(connection: Connection, source: Source, table: str, names: Sequence[str]) -> dict[str, str]:
    """Gives the declared types of a table's columns by lower-case name, having seen that the named ones are there."""
    kind = connection.exec_driver_sql(
        "SELECT type FROM sqlite_master WHERE lower(name) = lower(?) AND type IN ('table', 'view')", (table,)
    ).scalar_one_or_none()
    if kind != "table":
        raise _wrong(source, f"expected the table {table} in this database, found {kind or 'none'}; name a table")
    rows = connection.exec_driver_sql("SELECT name, type FROM pragma_table_xinfo(?)", (table,))
    columns = {str(name).lower(): str(declared).upper() for name, declared in rows}
    missing = [name for name in names if name.lower() not in columns]
    if missing:
        raise _wrong(source, f"expected the column {missing[0]} in {table}, found {', '.join(columns)}")
    return columns


def _check_key(source: Source, table: str, columns: dict[str, str], key: Sequence[str]) -> None:
    for name in key:
        declared = columns[name.lower()]
        # SQLite's own rules of affinity, in their order; a column without one would not equal a key's text.
        is_text = "INT" in declared or any(word in declared for word in ("CHAR", "CLOB", "TEXT"))
        is_inexact = not declared or any(word in declared for word in ("BLOB", "REAL", "FLOA", "DOUB"))
        if not is_text and is_inexact:
            msg = (
                f"expected the key column {name} of {table} to be declared as integer, numeric or text, found "
                f"{declared or 'no type'}; choose another key"
            )
            raise _wrong(source, msg)


def _is_unique(connection: Connection, table: str, key: Sequence[str]) -> bool:
    wanted = {name.lower() for name in key}
    primary = connection.exec_driver_sql("SELECT name FROM pragma_table_info(?) WHERE pk > 0", (table,)).scalars()
    if {str(name).lower() for name in primary} == wanted:
        return True
    indexes = connection.exec_driver_sql(
        'SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0', (table,)
    ).scalars()
    return any(
        {
            str(name).lower()
            for name in connection.exec_driver_sql("SELECT name FROM pragma_index_info(?)", (i,)).scalars()
        }
        == wanted
        for i in list(indexes)
    )


def _outbox_parts(connection: Connection, source: Source) -> Iterator[Part]:
    outbox = outbox_table(source.record_type, "sqlite")
    present = list(connection.exec_driver_sql("SELECT name FROM pragma_table_info(?)", (outbox.name,)).scalars())
    create = Step(
        sentence=f"Create the outbox {outbox.name}, where changed records wait.",
        sql=f"{CreateTable(outbox).compile(dialect=_DIALECT)}".strip(),
    )
    columns = [column.name for column in outbox.columns]
    if not present:
        yield _part(source, f"the outbox {outbox.name} is missing", create)
    elif present != columns:
        # SQLite can take no NOT NULL away, so the table is made anew; what waits there goes on waiting. It is not
        # renamed, since SQLite would let the triggers that write it follow.
        kept, names = f"{outbox.name}_kept", ", ".join(columns)
        sql = [
            f"CREATE TABLE {kept} AS SELECT {names} FROM {outbox.name}",  # noqa: S608 - our own names
            f"DROP TABLE {outbox.name}",
            create.sql,
            f"INSERT INTO {outbox.name} ({names}) SELECT {names} FROM {kept}",  # noqa: S608 - our own names
            f"DROP TABLE {kept}",
        ]
        sentence = f"Keep of the outbox {outbox.name} which records wait; what they hold is read later."

        problem = f"the outbox {outbox.name} has other columns than this release writes"
        yield _part(source, problem, *(Step(sentence=sentence, sql=each) for each in sql))


def _possible_triggers(source: Source) -> set[str]:
    """Gives the name of every trigger that this or an earlier release or declaration may have made."""
    home = {_trigger_name(source, kind) for kind in (*_TRIGGERS, *_EARLIER_TRIGGERS)}
    return home | {_watch_name(source, place, kind) for place in range(MOST_HISTORIES) for kind in _TRIGGERS}


def _wanted_triggers(source: Source) -> dict[str, tuple[str, str]]:
    """Gives table and SQL of each trigger by its name: those of the source's table, then those of its histories."""
    home = split_table(source.table)[1]
    found: dict[str, tuple[str, str]] = {}
    for kind in _TRIGGERS:
        name = _trigger_name(source, kind)
        found[name] = (home, _trigger_sql(source, name, kind, home, source.key))
    for place, (table, key) in enumerate(source.histories[:MOST_HISTORIES]):
        for kind in _TRIGGERS:
            name = _watch_name(source, place, kind)
            found[name] = (table, _trigger_sql(source, name, kind, split_table(table)[1], key))
    return found


def _trigger_sql(source: Source, name: str, kind: str, table: str, key: Sequence[str]) -> str:
    is_rekeyed = f"{_key('old', key)} IS NOT {_key('new', key)} COLLATE BINARY"
    statements = {
        "insert": [_noting_sql(source, "new", key)],
        "update": [_noting_sql(source, "old", key), _noting_sql(source, "new", key, is_rekeyed)],
        "delete": [_noting_sql(source, "old", key)],
    }[kind]
    return filled(
        "capture_trigger_sqlite.sql",
        name=_quoted(name),
        event=kind.upper(),
        table=_quoted(table),
        statements="\n".join(statements),
    )


def _noting_sql(source: Source, row: str, key: Sequence[str], condition: str = "1") -> str:
    """Gives the statement that notes a row's record; a row without a whole key is of no record."""
    there = [f"{row}.{_quoted(name)} IS NOT NULL" for name in key]
    return filled(
        "capture_record_sqlite.sql",
        outbox=_quoted(outbox_table(source.record_type, "sqlite").name),
        key=_key(row, key),
        now_ms=_NOW_MS,
        condition=" AND ".join([condition, *there]),
    )


def _trigger_name(source: Source, kind: str) -> str:
    return f"{OWN_SCHEMA}_capture_{source.record_type}_{kind}"


def _watch_name(source: Source, place: int, kind: str) -> str:
    return f"{OWN_SCHEMA}_watch{place}_{source.record_type}_{kind}"


def _key(row: str, key: Sequence[str]) -> str:
    return key_text_sql([f"CAST({row}.{_quoted(name)} AS text)" for name in key])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _schema_sql(connection: Connection, kind: str, name: str) -> str | None:
    found = connection.exec_driver_sql(
        "SELECT coalesce(sql, '') FROM sqlite_master WHERE type = ? AND name = ?", (kind, name)
    ).scalar_one_or_none()
    return None if found is None else str(found)


def _part(source: Source, problem: str | None, *steps: Step) -> Part:
    return Part(record_type=source.record_type, problem=problem, steps=steps)
