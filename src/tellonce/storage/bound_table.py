"""A department's own table, as its binding declares it: found, read and written in bulk, in either dialect.

Values go in and come out raw, as the driver has them; codecs turn them into fields and back.
Only the table's key columns are treated by type, because a row's key is kept as text in our own tables.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Executable,
    MetaData,
    Select,
    Table,
    and_,
    delete,
    insert,
    inspect,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.types import NullType, TypeEngine, UserDefinedType

from tellonce.avro import FieldSpec
from tellonce.declare import Binding, BoundColumn, Existing, Raw, Undecodable
from tellonce.model.change import Value
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.storage.copying import copy_rows, stage_name
from tellonce.storage.database import is_infrastructure_trouble, reading, sentence_of
from tellonce.storage.statements import in_slices

__all__ = ["BoundRow", "BoundTable", "RowChange", "RowKey"]

RowKey = str
"""A row's key as JSON text: the values of the key columns in their order."""

# Below this many rows a statement each is quicker than staging them.
_STAGE_FROM = 16
_KEY_TYPES: Mapping[type, Callable[[str], object]] = {UUID: UUID, date: date.fromisoformat, Decimal: Decimal}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundRow:
    """A row of the table: its key, whether it is in scope, and its fields; None where one is not understood."""

    key: RowKey
    is_open: bool
    fields: Mapping[str, Value] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """What to write to one row: raw values by column. Columns of the binding that are not named stay as they are."""

    key: RowKey
    values: Mapping[str, Raw]


class _BareType(UserDefinedType[Any]):
    """A column's type without length or precision: a cast to varchar(30) would cut a longer value without a word."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_options: object) -> str:
        return self.name


class BoundTable:
    """One binding's table in one database."""

    def __init__(self, engine: Engine, binding: Binding, specs: Sequence[FieldSpec]) -> None:
        """Look the table up in the database.

        Raises:
            ConfigurationError: the table, a column that the binding names, or a usable key is not there.
            RetryableError: the database is away.
        """
        self.binding = binding
        self.columns: tuple[BoundColumn, ...] = binding.columns_for(specs)
        self._is_postgres = engine.dialect.name == "postgresql"
        names, types, key = _look_up(engine, binding)
        bare = _bare_types(engine, binding) if self._is_postgres else {}
        self._check_columns(names)
        schema, _, name = binding.table.rpartition(".")
        columns: list[Column[object]] = [
            Column(n, types[n] if n in key else bare.get(n, NullType()), primary_key=n in key) for n in names
        ]
        self._table = Table(name, MetaData(), *columns, schema=schema or None)
        self._held = [self._table.c[column.column] for column in self.columns]
        self._labelled = [c.label(f"held_{i}") for i, c in enumerate(self._held)]
        self._written = sorted({column.column for column in self.columns} | set(binding.mark))
        self._quote = engine.dialect.identifier_preparer.quote
        self._quoted_table = ".".join(self._quote(part) for part in binding.table.split("."))
        self._key = [self._table.c[name] for name in key]
        scope = binding.scope
        predicate = scope.open if isinstance(scope, Existing) and scope.open else "1 = 1"
        self._open: ColumnElement[bool] = literal_column(f"({predicate})", Boolean)
        self._by_field = {column.field: column for column in self.columns}

    def find(self, connection: Connection, identifier: str, values: Iterable[Value]) -> dict[Value, list[RowKey]]:
        """Gives the keys of the open rows whose column for the field `identifier` holds one of the values, by value."""
        column = self._by_field[identifier]
        wanted = set(values)
        spellings = [raw for value in wanted for raw in column.spellings(value)]
        found: dict[Value, list[RowKey]] = {}
        for some in in_slices(spellings):
            statement = select(*self._key, self._table.c[column.column].label("held")).where(
                self._table.c[column.column].in_([self._bound(raw) for raw in some]), self._open
            )
            for row in _rows(connection, statement):
                try:
                    value = column.decode(cast("Raw", row[-1]))
                except Undecodable:
                    continue
                if value in wanted:
                    found.setdefault(value, []).append(self._row_key(row))
        return found

    def probe(
        self, connection: Connection, keys: Sequence[RowKey], *, lock: bool, wait: bool = False
    ) -> dict[RowKey, bool]:
        """Gives which rows are there and whether each is open.

        With `lock` the rows are locked until the transaction ends, and those that another transaction holds are left
        out, or waited for with `wait`. SQLite locks the whole database for a writer, so there none is ever left out.
        """
        found: dict[RowKey, bool] = {}
        for some in in_slices(keys, 1_000):
            statement = select(*self._key, self._open.label("is_open_")).where(self._is_one_of(some))
            if lock:
                statement = statement.with_for_update(skip_locked=not wait)
            for row in _rows(connection, statement):
                found[self._row_key(row)] = bool(row[-1])
        return found

    def read(self, connection: Connection, keys: Sequence[RowKey]) -> dict[RowKey, BoundRow]:
        """Gives the rows that are there, by key."""
        rows: dict[RowKey, BoundRow] = {}
        for some in in_slices(keys, 1_000):
            for row in map(tuple, connection.execute(self._selection().where(self._is_one_of(some)))):
                bound = self._bound_row(row)
                rows[bound.key] = bound
        return rows

    def read_after(self, connection: Connection, after: RowKey | None, limit: int) -> list[BoundRow]:
        """Gives the next rows in the order of their keys."""
        statement = self._selection().order_by(*self._key).limit(limit)
        if after is not None:
            statement = statement.where(self._is_behind(self._key_values(after)))
        return [self._bound_row(tuple(row)) for row in connection.execute(statement)]

    def update(self, connection: Connection, changes: Sequence[RowChange]) -> dict[RowKey, BoundRow]:
        """Writes rows and gives them, under their old keys, as they read back; a row that is gone is left out."""
        if not changes:
            return {}
        if self._is_postgres and len(changes) >= _STAGE_FROM:
            return self._update_staged(connection, changes)
        done: dict[RowKey, BoundRow] = {}
        for change in changes:
            values = {name: self._bound(raw) for name, raw in change.values.items()}
            statement = update(self._table).where(self._is_one_of([change.key])).values(values)
            returned = connection.execute(statement.returning(*self._returned())).one_or_none()
            if returned is not None:
                done[change.key] = self._bound_row(tuple(returned))
        return done

    def insert(self, connection: Connection, rows: Sequence[Mapping[str, Raw]]) -> list[BoundRow]:
        """Inserts rows and gives them, in the same order, as they read back."""
        if not rows:
            return []
        values = [{name: self._bound(raw) for name, raw in row.items()} for row in rows]
        statement = insert(self._table).returning(*self._returned(), sort_by_parameter_order=True)
        return [self._bound_row(tuple(row)) for row in connection.execute(statement, values)]

    def delete(self, connection: Connection, keys: Sequence[RowKey]) -> None:
        """Deletes rows by key."""
        for some in in_slices(keys, 1_000):
            connection.execute(delete(self._table).where(self._is_one_of(some)))

    def _returned(self) -> list[ColumnElement[Any]]:
        return [*self._key, self._open.label("is_open_"), *self._labelled]

    def _selection(self) -> Select[*tuple[object, ...]]:
        return select(*self._returned())

    def _bound_row(self, row: Sequence[object]) -> BoundRow:
        """Gives what a row of `_returned`, or one in that order, holds."""
        held = row[len(self._key) + 1 :]
        try:
            fields = {c.field: c.decode(cast("Raw", raw)) for c, raw in zip(self.columns, held, strict=True)}
        except Undecodable:
            fields = None
        return BoundRow(key=self._row_key(row), is_open=bool(row[len(self._key)]), fields=fields)

    def _row_key(self, row: Sequence[object]) -> RowKey:
        return json.dumps(list(row[: len(self._key)]), ensure_ascii=False, separators=(",", ":"), default=str)

    def _key_values(self, key: RowKey) -> list[object]:
        return [
            _KEY_TYPES[kind](value) if (kind := column.type.python_type) in _KEY_TYPES else value
            for column, value in zip(self._key, json.loads(key), strict=True)
        ]

    def _is_one_of(self, keys: Sequence[RowKey]) -> ColumnElement[bool]:
        values = [self._key_values(key) for key in keys]
        if len(self._key) == 1:
            return self._key[0].in_([value for (value,) in values])
        return or_(*(and_(*(c == v for c, v in zip(self._key, some, strict=True))) for some in values))

    def _is_behind(self, values: Sequence[object]) -> ColumnElement[bool]:
        # Spelt out because a row comparison does not use the index in every version of SQLite.
        steps = [
            and_(*(c == v for c, v in zip(self._key[:i], values[:i], strict=True)), self._key[i] > values[i])
            for i in range(len(self._key))
        ]
        return or_(*steps)

    def _bound(self, raw: Raw) -> Raw:
        """Gives a raw value as the driver takes it: sqlite3 knows no decimals, dates and booleans of its own."""
        if self._is_postgres or raw is None or isinstance(raw, str | bytes | float):
            return raw
        if isinstance(raw, bool):
            return int(raw)
        if isinstance(raw, datetime | date):
            return raw.isoformat()
        return str(raw) if isinstance(raw, Decimal) else raw

    def _update_staged(self, connection: Connection, changes: Sequence[RowChange]) -> dict[RowKey, BoundRow]:
        """Writes many rows at once: binary COPY into a temporary table, then one UPDATE joined to it."""
        kept = sorted({c for change in changes for c in self._written if c not in change.values})
        written = [name for name in self._written if any(name in change.values for change in changes)]
        names = [*(f"key_{i}" for i in range(len(self._key))), *(f"new_{name}" for name in written)]
        names += [f"keep_{name}" for name in kept if name in written]
        stage = stage_name(self.binding.view)
        quoted = self._quote
        shape = [f"t.{quoted(c.name)} AS {quoted(n)}" for c, n in zip(self._key, names, strict=False)]
        shape += [f"t.{quoted(name)} AS {quoted('new_' + name)}" for name in written]
        shape += [f"false AS {quoted(n)}" for n in names[len(shape) :]]
        table = self._quoted_table
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {stage}")
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS "  # noqa: S608 - quoted names only
            f"SELECT {', '.join(shape)} FROM {table} t WITH NO DATA"
        )
        copy_rows(
            connection,
            stage,
            names,
            (
                (
                    *self._key_values(change.key),
                    *(change.values.get(name) for name in written),
                    *(name not in change.values for name in kept if name in written),
                )
                for change in changes
            ),
        )
        sets = [
            f"{quoted(name)} = "
            + (f"CASE WHEN s.{quoted('keep_' + name)} THEN t.{quoted(name)} ELSE " if name in kept else "")
            + f"s.{quoted('new_' + name)}"
            + (" END" if name in kept else "")
            for name in written
        ]
        join = " AND ".join(f"t.{quoted(c.name)} = s.{quoted(n)}" for c, n in zip(self._key, names, strict=False))
        old_key = ", ".join(f"s.{quoted(n)}" for n in names[: len(self._key)])
        new_key = ", ".join(f"t.{quoted(c.name)}" for c in self._key)
        held = ", ".join(f"t.{quoted(c.name)}" for c in self._held)
        scope = self.binding.scope
        predicate = scope.open if isinstance(scope, Existing) and scope.open else "true"
        # The predicate is the department's own SQL over its own column names, so it is evaluated where no other
        # table is in sight.
        returned = connection.exec_driver_sql(
            f"UPDATE {table} t SET {', '.join(sets)} FROM {stage} s WHERE {join} RETURNING {old_key}, {new_key}, "  # noqa: S608 - quoted names; values are copied
            f"(SELECT {predicate.replace('%', '%%')} FROM (SELECT t.*) only_row), {held}"
        )
        size = len(self._key)
        return {self._row_key(row): self._bound_row(row[size:]) for row in map(tuple, returned)}

    def _check_columns(self, names: Sequence[str]) -> None:
        binding = self.binding
        wanted = [c.column for c in self.columns] + list(binding.mark) + list(binding.defaults)
        for name in wanted:
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"; is {near[0]} meant?" if near else f"; it has {', '.join(names)}"
                msg = f"{binding.place}: expected a column {name} in the table {binding.table}, found none{hint}"
                raise ConfigurationError(msg, view=binding.view, table=binding.table, column=name)


def _rows(connection: Connection, statement: Executable) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(statement)]


def _bare_types(engine: Engine, binding: Binding) -> dict[str, _BareType]:
    """Gives PostgreSQL's own names of the columns' types, without their modifiers."""
    table = ".".join(engine.dialect.identifier_preparer.quote(part) for part in binding.table.split("."))
    statement = text(
        "SELECT attname, pg_catalog.format_type(atttypid, -1) FROM pg_catalog.pg_attribute "
        "WHERE attrelid = CAST(:name AS pg_catalog.regclass) AND attnum > 0 AND NOT attisdropped"
    )
    with reading(engine) as connection:
        return {name: _BareType(kind) for name, kind in connection.execute(statement, {"name": table})}


def _look_up(engine: Engine, binding: Binding) -> tuple[list[str], dict[str, TypeEngine[object]], tuple[str, ...]]:
    """Gives the table's columns, their types, and the key: the one declared, or the primary key."""
    schema, _, name = binding.table.rpartition(".")
    try:
        inspector = inspect(engine)
        columns = inspector.get_columns(name, schema=schema or None)
        primary = inspector.get_pk_constraint(name, schema=schema or None)["constrained_columns"]
    except NoSuchTableError as error:
        msg = (
            f"{binding.place}: expected the table {binding.table} in the department's database, found none of that name"
        )
        raise ConfigurationError(msg, view=binding.view, table=binding.table) from error
    except DBAPIError as error:
        if is_infrastructure_trouble(error):
            raise RetryableError(sentence_of(engine, error)) from error
        raise
    key = binding.key or tuple(primary)
    if not key:
        msg = (
            f"{binding.place}: the table {binding.table} has no primary key; name columns that identify a row: key=..."
        )
        raise ConfigurationError(msg, view=binding.view, table=binding.table)
    names = [column["name"] for column in columns]
    if missing := [name for name in key if name not in names]:
        msg = f"{binding.place}: expected the key column {missing[0]} in the table {binding.table}, found none"
        raise ConfigurationError(msg, view=binding.view, table=binding.table)
    return names, {column["name"]: column["type"] for column in columns}, key
