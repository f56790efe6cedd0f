"""Small SQL shared by publishing and applying: bulk upserts and look-ups by many keys, in either dialect."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import NULLTYPE, TypeEngine

__all__ = ["among", "by_name", "given_rows", "in_slices", "insert_if_absent", "select_by_keys", "upsert"]

# SQLite's default limit is 32,766 bound parameters in one statement; PostgreSQL's is 65,535.
_KEYS_PER_STATEMENT = 5_000

T = TypeVar("T")


def in_slices(items: Sequence[T], size: int = _KEYS_PER_STATEMENT) -> Iterator[Sequence[T]]:
    """Gives the items in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def among(connection: Connection, column: ColumnElement[str], keys: Collection[str]) -> ColumnElement[bool]:
    """Gives that a column is one of the keys: one parameter however many there are, so one plan serves all batches."""
    if connection.dialect.name == "postgresql":
        return column == any_(_array(keys, Text()))
    given = func.json_each(json.dumps(list(keys))).table_valued("value")
    return column.in_(select(given.c.value))


def select_by_keys(
    connection: Connection, statement: Select[*tuple[object, ...]], column: ColumnElement[str], keys: Sequence[str]
) -> Iterator[Row[*tuple[object, ...]]]:
    """Gives the rows of `statement` whose `column` is one of the keys."""
    if keys:
        # All at once: they are here already, and the driver takes a step for each row that is fetched by itself.
        yield from connection.execute(statement.where(among(connection, column, keys))).all()


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, object]],
    guard: ColumnElement[bool] | None = None,
) -> None:
    """Writes rows by primary key; an existing row is replaced in the columns given, where `guard` lets it.

    All rows must name the same columns.
    """
    if not rows:
        return
    key = [column.name for column in table.primary_key.columns]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    _insert(connection, table, statement.on_conflict_do_update(index_elements=key, set_=changed, where=guard), rows)


def given_rows(connection: Connection, table: Table, columns: Mapping[str, Sequence[object]]) -> FromClause:
    """Gives values of some of a table's columns, in their order, as a table that a statement joins."""
    if connection.dialect.name == "postgresql":
        arrays = (_array(some, table.c[name].type) for name, some in columns.items())
        return func.unnest(*arrays).table_valued(*columns).render_derived()
    rows = json.dumps(list(zip(*columns.values(), strict=True)))
    each = func.json_each(rows).table_valued("value")
    fields = (func.json_extract(each.c.value, f"$[{place}]").label(name) for place, name in enumerate(columns))
    return select(*fields).subquery()


def _array(values: Collection[object], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """Gives values as one parameter, in PostgreSQL's own notation, since the driver takes a step for each value."""
    text = f"{{{_elements(values)}}}"
    # Without a type of its own the parameter is an array from the start; a cast of text would be made for each row.
    return cast(bindparam(None, text, type_=NULLTYPE), postgresql.ARRAY(kind))


def _elements(values: Collection[object]) -> str:
    """Gives the elements of an array; where all are texts or all whole numbers, without a step for each."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return ",".join(map(str, values))
    if kinds == {str}:
        joined = _BETWEEN.join(map(str, values))
        # No quote but those between them, so none has to be quoted one by one.
        if "\\" not in joined and joined.count('"') == (len(values) - 1) * _BETWEEN.count('"'):
            return f'"{joined}"'
    return ",".join(map(_element, values))


def _element(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case int():
            return str(value).lower()
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case _:
            text = str(value)
            # Four letters may spell NULL.
            return text if text.isalnum() and len(text) != _NULL_LENGTH else f'"{text.translate(_QUOTED)}"'


_BETWEEN = '","'
_NULL_LENGTH = len("NULL")
_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"'})


def insert_if_absent(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Inserts rows whose primary key is not there yet and leaves the others as they are."""
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        _insert(connection, table, dialect.insert(table).on_conflict_do_nothing(), rows)


def _insert(
    connection: Connection,
    table: Table,
    statement: postgresql.Insert | sqlite.Insert,
    rows: Sequence[Mapping[str, object]],
) -> None:
    """Inserts rows; on PostgreSQL by one statement with an array for each column, and not by one for each row.

    Of rows with one key the last counts, as it would if one came after the other.
    """
    names = list(rows[0])
    key = [column.name for column in table.primary_key.columns]
    last = list({tuple(row[name] for name in key): row for row in rows}.values())
    if isinstance(statement, sqlite.Insert):
        connection.execute(statement, [dict(row) for row in last])
        return
    given = given_rows(connection, table, {name: [row[name] for row in last] for name in names})
    connection.execute(statement.from_select(names, select(*(given.c[name] for name in names))))


def by_name(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Gives a row's values by the names of its columns."""
    # Public in SQLAlchemy, and underscored lest it meet a column of that name.
    return row._asdict()  # pyright: ignore[reportPrivateUsage]
