"""What PostgreSQL's catalog and a few trials say of a bound table, before anything is applied to it."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from tellonce.declare.binding import Mirror
from tellonce.declare.codec import Raw
from tellonce.storage.database import is_infrastructure_trouble, sqlstate_of
from tellonce.storage.postgres.catalogue import columns_of, from_text, stamp_of, to_text, unique_columns_of
from tellonce.storage.postgres.rights import rights_lacking
from tellonce.storage.postgres.rows import PostgresRows
from tellonce.storage.postgres.table import PostgresTable
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

__all__ = ["inspect_table", "open_table", "table_name"]

Quote = Callable[[str], str]

_MAY_STAGE = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')"


def table_name(view: BoundView, quote: Quote) -> str:
    """Gives the bound table's quoted name."""
    return ".".join(quote(part) for part in view.binding.table.split("."))


def open_table(connection: Connection, view: BoundView, quote: Quote) -> PostgresTable:
    """Gives what statements need to know of a table that was judged to fit."""
    name = table_name(view, quote)
    unique = unique_columns_of(connection, name)
    key = key_of(view.binding, _primary_key(connection, name))
    may_stage = connection.execute(text(_MAY_STAGE)).scalar_one()
    return PostgresTable(view, columns_of(connection, name), key, unique, quote, may_stage=bool(may_stage))


def inspect_table(connection: Connection, view: BoundView, quote: Quote) -> TableFacts:
    """Gives what the database says of a bound table; writes nothing, and reads the rows for their keys alone.

    Raises:
        DBAPIError: the database is away.
    """
    name = table_name(view, quote)
    if not stamp_of(connection, name):
        return TableFacts(columns={})
    columns = _columns(connection, name)
    primary = _primary_key(connection, name)
    facts = TableFacts(columns=columns, primary_key=primary, told=_told(connection, name))
    needed = list(dict.fromkeys((*needed_columns(view), *key_of(view.binding, primary))))
    if not set(needed) <= columns.keys():
        return facts
    lacking = rights_lacking(connection, view, name, quote, needed)
    user = connection.exec_driver_sql("SELECT current_user").scalar_one()
    faults = [f"{user} lacks a right; run as the owner: GRANT {right} TO {quote(user)}" for right in lacking]
    faults += _faults_of_relation(connection, view, name)
    unique: Sequence[Sequence[str]] = unique_columns_of(connection, name)
    key, doubled, missing = key_of(view.binding, primary), False, False
    if not faults and key:
        faults = _faults_of_statements(connection, open_table(connection, view, quote))
    vouches = _vouches(connection, name)
    if not faults and key:
        doubled = not vouches and _has_doubles(connection, name, [quote(each) for each in key])
        missing = _has_nulls(connection, name, [quote(each) for each in key])
    return TableFacts(
        columns=columns,
        primary_key=primary,
        # Of what no index is about every row of, the rows themselves tell.
        unique=unique if vouches else [key],
        key_is_doubled=doubled,
        key_is_missing=missing,
        tried=_try(connection, view, name),
        faults=faults,
        told=facts.told,
    )


def _primary_key(connection: Connection, name: str) -> tuple[str, ...]:
    statement = text(
        "SELECT a.attname FROM pg_catalog.pg_index i"
        " CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (number, place)"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number"
        " WHERE i.indrelid = CAST(:table AS pg_catalog.regclass) AND i.indisprimary ORDER BY k.place"
    )
    return tuple(connection.execute(statement, {"table": name}).scalars())


def _columns(connection: Connection, name: str) -> dict[str, ColumnFacts]:
    statement = text(
        "SELECT a.attname, a.attgenerated <> '' OR a.attidentity = 'a',"
        " a.attcollation <> 0 AND NOT coalesce(l.collisdeterministic, true)"
        " FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation"
        " WHERE a.attrelid = CAST(:table AS pg_catalog.regclass) AND a.attnum > 0 AND NOT a.attisdropped"
        " ORDER BY a.attnum"
    )
    more = {each: (computed, folds) for each, computed, folds in connection.execute(statement, {"table": name})}
    found = columns_of(connection, name)
    labels = _labels(connection, sorted({column.cast for column in found.values()}))
    return {
        each: ColumnFacts(
            type=found[each].full,
            is_nullable=found[each].is_nullable,
            is_computed=computed,
            is_number=found[each].kind in ("int2", "int4", "int8", "numeric"),
            folds_case=folds or found[each].kind == "citext",
            max_chars=_length(found[each].full) if found[each].kind in ("varchar", "bpchar") else None,
            labels=labels.get(found[each].cast, ()),
        )
        for each, (computed, folds) in more.items()
    }


def _length(full: str) -> int | None:
    _, _, rest = full.partition("(")
    return int(rest.rstrip(")")) if rest else None


def _labels(connection: Connection, casts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    statement = text(
        "SELECT pg_catalog.format_type(enumtypid, -1), array_agg(enumlabel ORDER BY enumsortorder)"
        " FROM pg_catalog.pg_enum GROUP BY enumtypid HAVING pg_catalog.format_type(enumtypid, -1) = ANY(:casts)"
    )
    return {cast: tuple(map(str, labels)) for cast, labels in connection.execute(statement, {"casts": casts})}


def _told(connection: Connection, name: str) -> list[str]:
    triggers = text(
        "SELECT tgname FROM pg_catalog.pg_trigger WHERE tgrelid = CAST(:table AS pg_catalog.regclass)"
        " AND NOT tgisinternal AND tgenabled <> 'D' AND tgfoid NOT IN"
        " (SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'tellonce') ORDER BY tgname"
    )
    deferred = text(
        "SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = CAST(:table AS pg_catalog.regclass)"
        " AND condeferred ORDER BY conname"
    )
    found: list[str] = []
    if names := list(connection.execute(triggers, {"table": name}).scalars()):
        found.append(told_of_triggers(name, names))
    if names := list(connection.execute(deferred, {"table": name}).scalars()):
        found.append(
            f"constraints of {name} wait for the end of a transaction: {', '.join(names)}; ours are checked at once"
        )
    if not connection.execute(text(_MAY_STAGE)).scalar_one():
        found.append(
            "the role may make no temporary tables, so every record is decided about by itself, which is slower; "
            "GRANT TEMPORARY ON DATABASE to it"
        )
    return found


def _vouches(connection: Connection, name: str) -> bool:
    """Tells whether a unique index is about every row: a view has none, and tables that inherit have their own."""
    statement = text(
        "SELECT c.relkind IN ('r', 'p') AND (c.relkind = 'p' OR NOT c.relhassubclass)"
        " FROM pg_catalog.pg_class c WHERE c.oid = CAST(:table AS pg_catalog.regclass)"
    )
    return bool(connection.execute(statement, {"table": name}).scalar_one())


def _has_doubles(connection: Connection, name: str, key: Sequence[str]) -> bool:
    names = ", ".join(key)
    statement = f"SELECT EXISTS (SELECT FROM {name} GROUP BY {names} HAVING count(*) > 1)"  # noqa: S608 - quoted names
    return bool(connection.exec_driver_sql(statement, {}).scalar_one())


def _has_nulls(connection: Connection, name: str, key: Sequence[str]) -> bool:
    missing = " OR ".join(f"{each} IS NULL" for each in key)
    statement = f"SELECT EXISTS (SELECT FROM {name} WHERE {missing})"  # noqa: S608 - quoted names
    return bool(connection.exec_driver_sql(statement, {}).scalar_one())


def _faults_of_relation(connection: Connection, view: BoundView, name: str) -> list[str]:
    statement = text(
        "SELECT pg_catalog.pg_relation_is_updatable(oid, true), pg_catalog.row_security_active(oid), current_user"
        " FROM pg_catalog.pg_class WHERE oid = CAST(:table AS pg_catalog.regclass)"
    )
    can, hides, user = connection.execute(statement, {"table": name}).one()
    binding, found = view.binding, list[str]()
    wanted = {"UPDATE": 4} | ({"INSERT": 8} if isinstance(binding.scope, Mirror) else {})
    wanted |= {"DELETE": 16} if binding.on_delete == "delete" else {}
    if lacks := [what for what, bit in wanted.items() if not can & bit]:
        found.append(f"{binding.table} takes no {' and no '.join(lacks)}; bind the table that it is made of")
    if hides:
        found.append(
            f"row security hides rows of {binding.table} from {user}, and what is hidden would count as gone; "
            f"let {user} see all (ALTER ROLE {user} BYPASSRLS), and say in open= which rows are files"
        )
    return found


def _faults_of_statements(connection: Connection, table: PostgresTable) -> list[str]:
    """Gives what cannot be asked of the table: a predicate it refuses, a key without an order, a number without =."""
    rows, binding, nowhere = PostgresRows(connection, table), table.view.binding, json.dumps([None for _ in table.key])
    found: list[str] = []
    plain = f"SELECT {table.open} FROM {table.name} LIMIT 0"  # noqa: S608 - quoted names
    if code := _code(connection, lambda: connection.exec_driver_sql(plain, {})):
        found.append(
            f"the database refuses open= of {binding.table} (SQLSTATE {code}); write a predicate over its columns"
        )
    elif code := _code(connection, lambda: (rows.read_after(None, 0), rows.read([nowhere]))):
        names = ", ".join(column.name for column in table.key)
        found.append(
            f"rows of {binding.table} cannot be told apart and put in order by {names} (SQLSTATE {code}); "
            "name another key"
        )
    # What such a type shows is the name of something that can be renamed, or dropped.
    found += [
        f"the key {column.name} ({column.kind}) of {binding.table} is no value that stays as it is; name another key"
        for column in table.key
        if column.kind.startswith("reg")
    ]
    for field in table.view.identifiers:
        column = table.view.by_field[field].column
        same = f"SELECT {table.column(column)} = {table.cast(column, 'NULL')} FROM {table.name} LIMIT 0"  # noqa: S608 - quoted names
        if code := _code(connection, partial(connection.exec_driver_sql, same, {})):
            found.append(f"column {column} (field {field}) cannot be searched (SQLSTATE {code}); bind another")
    return found


def _code(connection: Connection, work: Callable[[], object]) -> str:
    """Gives the SQLSTATE with which the database refuses; "" where it does not.

    Raises:
        DBAPIError: the database is away.
    """
    try:
        with connection.begin_nested():
            work()
    except DBAPIError as error:
        if is_infrastructure_trouble(error):
            raise
        return sqlstate_of(error) or type(error.orig).__name__
    return ""


def _try(connection: Connection, view: BoundView, name: str) -> Mapping[str, Sequence[Raw | Refused]]:
    columns = columns_of(connection, name)
    found: dict[str, list[Raw | Refused]] = {}
    for each, raws in trials_of(view).items():
        column = columns[each]
        # As it is written, and then as a column of this length and precision keeps it.
        statement = f"SELECT CAST(CAST(CAST(%(raw)s AS pg_catalog.text) AS {column.cast}) AS {column.full})::text"
        found[each] = [_back(connection, statement, column.kind, raw) for raw in raws]
    return found


def _back(connection: Connection, statement: str, kind: str, raw: Raw) -> Raw | Refused:
    back: list[str | None] = []
    code = _code(
        connection, lambda: back.append(connection.exec_driver_sql(statement, {"raw": to_text(raw)}).scalar_one())
    )
    return Refused(code) if code else from_text(kind, back[0])
