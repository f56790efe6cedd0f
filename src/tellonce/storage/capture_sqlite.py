"""Capture in SQLite: triggers that copy the row's columns natively into the outbox, in the writer's transaction.

What must be known of them:
- INSERT OR REPLACE, where the same key is there already, is seen as an insert: the record gets its next version and
  the relay knows from its ledger that it is an update. With `recursive_triggers` on, it is a delete and an insert.
- What REPLACE removes because of a second unique column goes unseen without `recursive_triggers`; the sweep finds it.
- INSERT OR IGNORE that ignores a row fires nothing, rightly. No statement of ours can conflict, so that an outer
  OR IGNORE silences none of them.
- SQLite knows no handler of errors: if the outbox cannot be written (disk full, dropped by hand), neither can the row.
- Every record of the table gets a counter when capture is installed, so that a REPLACE right after it is told apart
  from a new record.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Dialect, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tellonce.declare import Source, split_table
from tellonce.model.errors import ConfigurationError
from tellonce.storage.capture_plan import Part, Step, filled, literal
from tellonce.storage.database import OWN_SCHEMA
from tellonce.storage.outbox_table import mapped_columns, outbox_table
from tellonce.storage.record_keys import key_text_sql

__all__ = ["lock_catalog", "lock_table", "parts", "removal_steps"]

_DIALECT: Dialect = sqlite.dialect()
_RECORD_VERSION = f"{OWN_SCHEMA}_record_version"
_NOW_MS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
_TRIGGERS = ("insert", "update", "rekey", "delete")


def lock_catalog(connection: Connection) -> None:
    """Does nothing: a transaction that writes has the whole database for itself."""


def lock_table(connection: Connection, source: Source) -> None:
    """Does nothing: a transaction that writes has the whole database for itself."""


def parts(connection: Connection, source: Source) -> list[Part]:
    """Gives everything that capturing the source consists of, each with what is wrong with it now.

    Raises:
        ConfigurationError: the table cannot be captured, or rows wait that were captured with other columns.
    """
    _check(connection, source)
    found = [*_outbox_parts(connection, source)]
    table = split_table(source.table)[1]
    triggers: list[Part] = []
    for kind in _TRIGGERS:
        name = _trigger_name(source, kind)
        sql = _trigger_sql(source, kind)
        present = _schema_sql(connection, "trigger", name)
        problem = None
        if present is None:
            problem = f"the trigger {name} on {table} is missing"
        elif present != sql:
            problem = f"the trigger {name} on {table} is not the one of this release and this declaration"
        drop = Step(sentence=f"Drop the trigger {name} of before.", sql=f"DROP TRIGGER {_quoted(name)}")
        create = Step(sentence=f"Create the trigger {name} on {table}.", sql=sql)
        triggers.append(_part(source, problem, *([] if present is None else [drop]), create))
    if any(part.problem for part in triggers):
        problem = f"records of {table} may be without a version counter"
        counting = Step(sentence=f"Give each record of {table} its first version.", sql=_counting_sql(source))
        found.append(_part(source, problem, counting))
    return found + triggers


def removal_steps(connection: Connection, source: Source) -> list[Step]:
    """Gives the steps that remove what was installed for the source, whatever became of its table."""
    names = [_trigger_name(source, kind) for kind in _TRIGGERS]
    steps = [
        Step(sentence=f"Drop the trigger {name}.", sql=f"DROP TRIGGER {_quoted(name)}")
        for name in names
        if _schema_sql(connection, "trigger", name) is not None
    ]
    outbox = outbox_table(source, "sqlite").name
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
    columns = _columns(connection, source, table, [*source.key, *mapped_columns(source)])
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
    outbox = outbox_table(source, "sqlite")
    present = list(connection.exec_driver_sql("SELECT name FROM pragma_table_info(?)", (outbox.name,)).scalars())
    problem, steps = None, list[Step]()
    if not present:
        problem = f"the outbox {outbox.name} is missing"
    elif present != [column.name for column in outbox.columns]:
        problem = f"the outbox {outbox.name} has other columns than the declaration"
        steps = [Step(sentence=f"Drop the empty outbox {outbox.name}.", sql=f"DROP TABLE {_quoted(outbox.name)}")]
        if connection.execute(select(outbox.c.outbox_id).limit(1)).first() is not None:
            msg = (
                f"expected no change of {source.record_type} to wait when its columns are declared otherwise, found "
                "some in the outbox; let the relay publish them, then install again"
            )
            raise _wrong(source, msg)
    create = f"{CreateTable(outbox).compile(dialect=_DIALECT)}".strip()
    steps.append(Step(sentence=f"Create the outbox {outbox.name}, where changes wait.", sql=create))
    yield _part(source, problem, *steps)
    for index in sorted(outbox.indexes, key=lambda index: str(index.name)):
        missing = _schema_sql(connection, "index", str(index.name)) is None or problem is not None
        yield _part(
            source,
            f"the index {index.name} is missing" if missing else None,
            Step(
                sentence=f"Create the index {index.name} of the outbox.",
                sql=f"{CreateIndex(index).compile(dialect=_DIALECT)}",
            ),
        )


def _counting_sql(source: Source) -> str:
    keys = [f"t.{_quoted(name)}" for name in source.key]
    there = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    return (
        f"INSERT INTO {_RECORD_VERSION} (record_type, record_key, version)\n"
        f"SELECT {literal(source.record_type)}, {key_text_sql(keys)}, 1 FROM {_table(source)} AS t\n"
        f"WHERE {there} ON CONFLICT DO NOTHING"
    )


def _trigger_sql(source: Source, kind: str) -> str:
    columns = mapped_columns(source)
    same_key = f"{_key('old', source)} IS {_key('new', source)} COLLATE BINARY"
    changed = " OR ".join(
        # A column's own collation may take `x` for `X`, and 1 equals 1.0.
        f"old.{name} IS NOT new.{name} COLLATE BINARY OR typeof(old.{name}) <> typeof(new.{name})"
        for name in map(_quoted, columns)
    )
    gone = _record_sql(source, "old", is_new=False)
    come = _record_sql(source, "new", is_new=True)
    condition, statements = {
        "insert": ("1", [come]),
        "update": (f"{same_key} AND ({changed})", [gone]),
        "rekey": (f"NOT ({same_key})", [gone, come]),
        "delete": ("1", [gone]),
    }[kind]
    return filled(
        "capture_trigger_sqlite.sql",
        name=_quoted(_trigger_name(source, kind)),
        event={"insert": "INSERT", "delete": "DELETE"}.get(kind, "UPDATE"),
        table=_table(source),
        condition=condition,
        statements="\n".join(statements),
    )


def _record_sql(source: Source, row: str, *, is_new: bool) -> str:
    """Gives the statements that give a row's record its next version and write down what is there now."""
    names = [_quoted(name) for name in mapped_columns(source)]
    key, keys = _key(row, source), [_quoted(name) for name in source.key]
    # The bare comparison finds the row by its index, the other one is exact where a collation is not.
    is_this = [f"t.{name} = {row}.{name}" for name in keys] + [f"{_key('t', source)} = {key} COLLATE BINARY"]
    there = " AND ".join(f"{row}.{name} IS NOT NULL" for name in keys)
    if is_new:
        present = f"SELECT 1 FROM {_table(source)} AS t WHERE {' AND '.join(is_this)}"  # noqa: S608 - quoted names
        there += f" AND EXISTS ({present})"
    sides = ([] if is_new else ["b"]) + ["a"]
    values = ([] if is_new else [f"old.{name}" for name in names]) + [f"t.{name}" for name in names]
    columns = [_quoted(f"{side}_{name}") for side in sides for name in mapped_columns(source)]
    return filled(
        "capture_record_sqlite.sql",
        record_version=_RECORD_VERSION,
        record_type=literal(source.record_type),
        outbox=_quoted(outbox_table(source, "sqlite").name),
        table=_table(source),
        key=key,
        condition=there,
        # A record without a counter that is changed or goes was there before capture was, at version 1.
        version_before="0" if is_new else "1",
        now_ms=_NOW_MS,
        has_before="0" if is_new else "1",
        is_there=f"t.{keys[0]} IS NOT NULL",
        is_this=" AND ".join(is_this),
        columns="".join(f", {name}" for name in columns),
        values="".join(f", {value}" for value in values),
    )


def _trigger_name(source: Source, kind: str) -> str:
    return f"{OWN_SCHEMA}_capture_{source.record_type}_{kind}"


def _table(source: Source) -> str:
    return _quoted(split_table(source.table)[1])


def _key(row: str, source: Source) -> str:
    return key_text_sql([f"{row}.{_quoted(name)}" for name in source.key])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _schema_sql(connection: Connection, kind: str, name: str) -> str | None:
    found = connection.exec_driver_sql(
        "SELECT coalesce(sql, '') FROM sqlite_master WHERE type = ? AND name = ?", (kind, name)
    ).scalar_one_or_none()
    return None if found is None else str(found)


def _part(source: Source, problem: str | None, *steps: Step) -> Part:
    return Part(record_type=source.record_type, problem=problem, steps=steps)
