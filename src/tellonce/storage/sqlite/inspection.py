"""What SQLite's schema and a few trials say of a bound table, before anything is applied to it."""

import re
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tellonce.declare.codec import Raw
from tellonce.storage.database import is_infrastructure_trouble
from tellonce.storage.sqlite.rows import SqliteRows
from tellonce.storage.sqlite.table import SqliteTable, bound
from tellonce.storage.subscriber.table import (
    ColumnFacts,
    Refused,
    TableFacts,
    key_of,
    needed_columns,
    told_of_triggers,
    trials_of,
)
from tellonce.storage.subscriber.view import BoundView

__all__ = ["inspect_table", "open_table", "stamp_of"]

Quote = Callable[[str], str]

_HIDDEN_GENERATED = (2, 3)
_ROLLS_BACK = re.compile(r"RAISE\s*\(\s*ROLLBACK", re.IGNORECASE)
_DEFERRED = re.compile(r"INITIALLY\s+DEFERRED", re.IGNORECASE)
_LENGTH = re.compile(r"CHAR[^(]*\((\d+)\)", re.IGNORECASE)


def stamp_of(connection: Connection) -> str:
    """Gives what changes whenever the schema does."""
    return str(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())


def open_table(connection: Connection, view: BoundView, quote: Quote) -> SqliteTable:
    """Gives what statements need to know of a table that was judged to fit."""
    columns = _columns(connection, view)
    primary, unique = _unique(connection, view)
    not_null = [name for name, column in columns.items() if not column.is_nullable]
    return SqliteTable(view, key_of(view.binding, primary), unique, not_null, quote, _deferred(connection, view))


def inspect_table(connection: Connection, view: BoundView, quote: Quote) -> TableFacts:
    """Gives what the database says of a bound table; writes to a temporary table of its own only.

    Raises:
        DBAPIError: the database is away.
    """
    columns = _columns(connection, view)
    if not columns:
        return TableFacts(columns={})
    primary, unique = _unique(connection, view)
    key = key_of(view.binding, primary)
    facts = TableFacts(columns=columns, primary_key=primary, unique=unique, told=_told(connection, view))
    if not {*needed_columns(view), *key} <= columns.keys():
        return facts
    faults = _faults_of_relation(connection, view)
    if not faults and key:
        faults = _faults_of_statements(connection, open_table(connection, view, quote))
    return TableFacts(
        columns=columns,
        primary_key=primary,
        unique=unique,
        key_is_missing=bool(key) and not faults and _has_nulls(connection, view, [quote(each) for each in key], quote),
        tried=_try(connection, view, columns),
        faults=faults,
        told=facts.told,
    )


def _named(view: BoundView) -> dict[str, str]:
    schema, _, name = view.binding.table.rpartition(".")
    return {"name": name, "schema": schema or "main"}


def _columns(connection: Connection, view: BoundView) -> dict[str, ColumnFacts]:
    statement = text('SELECT name, type, "notnull", hidden FROM pragma_table_xinfo(:name, :schema) ORDER BY cid')
    return {
        name: ColumnFacts(
            type=kind or "no type",
            is_nullable=not not_null,
            is_computed=hidden in _HIDDEN_GENERATED,
            # A column of any other affinity keeps what it is given, or makes a number of what looks like one.
            is_number=not any(word in kind.upper() for word in ("CHAR", "CLOB", "TEXT", "BLOB")) and bool(kind),
            max_chars=int(found[1]) if (found := _LENGTH.search(kind)) else None,
        )
        for name, kind, not_null, hidden in connection.execute(statement, _named(view))
    }


def _unique(connection: Connection, view: BoundView) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Gives the primary key, and every set of columns that must be unique together in all rows."""
    primary_key = text("SELECT name FROM pragma_table_info(:name, :schema) WHERE pk > 0 ORDER BY pk")
    primary = tuple(connection.execute(primary_key, _named(view)).scalars())
    indexes = text('SELECT name FROM pragma_index_list(:name, :schema) WHERE "unique" AND NOT partial')
    found = [primary] if primary else []
    for index in connection.execute(indexes, _named(view)).scalars().all():
        columns = text("SELECT name FROM pragma_index_info(:index, :schema) ORDER BY seqno")
        names = connection.execute(columns, {"index": index, "schema": _named(view)["schema"]}).scalars().all()
        # A part that is an expression has no name.
        if all(name is not None for name in names):
            found.append(tuple(names))
    return primary, found


def _deferred(connection: Connection, view: BoundView) -> list[str]:
    """Gives the tables with references from or to the bound one that wait for the commit."""
    name = _named(view)["name"]
    statement = text(
        "SELECT DISTINCT m.name, m.sql FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f"
        " WHERE m.type = 'table' AND (m.name = :name COLLATE NOCASE OR f.\"table\" = :name COLLATE NOCASE)"
    )
    return [each for each, sql in connection.execute(statement, {"name": name}) if _DEFERRED.search(sql)]


def _told(connection: Connection, view: BoundView) -> list[str]:
    statement = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name ORDER BY name")
    names = [name for name in connection.execute(statement, _named(view)).scalars() if not name.startswith("tellonce")]
    if not names:
        return []
    return [told_of_triggers(view.binding.table, names)]


def _faults_of_relation(connection: Connection, view: BoundView) -> list[str]:
    statement = text("SELECT type FROM pragma_table_list WHERE name = :name AND schema = :schema")
    kind = connection.execute(statement, _named(view)).scalar_one_or_none()
    if kind != "table":
        return [f"expected {view.binding.table} to be a table, found a {kind}; bind the table that it is made of"]
    triggers = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :name ORDER BY name")
    return [
        f"trigger {name} of {view.binding.table} refuses a row by RAISE(ROLLBACK), which undoes every other record's "
        "row as well; make it RAISE(ABORT)"
        for name, sql in connection.execute(triggers, _named(view))
        if _ROLLS_BACK.search(sql)
    ]


def _faults_of_statements(connection: Connection, table: SqliteTable) -> list[str]:
    rows, binding = SqliteRows(connection, table), table.view.binding
    plain = f"SELECT {table.open} FROM {table.name} LIMIT 0"  # noqa: S608 - quoted names
    if _is_refused(connection, lambda: connection.exec_driver_sql(plain)):
        return [f"the database refuses open= of {binding.table}; write a predicate over its columns"]
    rows.read_after(None, 0)
    return []


def _is_refused(connection: Connection, work: Callable[[], object]) -> bool:
    try:
        with connection.begin_nested():
            work()
    except DBAPIError as error:
        if is_infrastructure_trouble(error):
            raise
        return True
    return False


def _has_nulls(connection: Connection, view: BoundView, key: Sequence[str], quote: Quote) -> bool:
    table = ".".join(quote(part) for part in view.binding.table.split("."))
    missing = " OR ".join(f"{each} IS NULL" for each in key)
    statement = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {missing})"  # noqa: S608 - quoted names
    return bool(connection.exec_driver_sql(statement).scalar_one())


def _try(
    connection: Connection, view: BoundView, columns: Mapping[str, ColumnFacts]
) -> Mapping[str, Sequence[Raw | Refused]]:
    strict = text("SELECT strict FROM pragma_table_list WHERE name = :name AND schema = :schema")
    is_strict = bool(connection.execute(strict, _named(view)).scalar_one_or_none())
    found: dict[str, list[Raw | Refused]] = {}
    for each, raws in trials_of(view).items():
        kind = "" if columns[each].type == "no type" else columns[each].type
        declared = kind if is_strict else '"' + kind.replace('"', '""') + '"' if kind else ""
        connection.exec_driver_sql(
            f"CREATE TEMP TABLE tellonce_trial (value {declared}){' STRICT' if is_strict else ''}"
        )
        try:
            found[each] = [_back(connection, raw) for raw in raws]
        finally:
            connection.exec_driver_sql("DROP TABLE temp.tellonce_trial")
    return found


def _back(connection: Connection, raw: Raw) -> Raw | Refused:
    back: list[Raw] = []

    def write() -> None:
        statement = "INSERT INTO temp.tellonce_trial VALUES (:raw) RETURNING value"
        back.append(connection.exec_driver_sql(statement, {"raw": bound(raw)}).scalar_one())

    return Refused("refused") if _is_refused(connection, write) else back[0]
