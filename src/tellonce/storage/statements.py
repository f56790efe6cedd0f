"""Small SQL shared by publishing and applying: bulk upserts and look-ups by many keys, in either dialect."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, Text, any_, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["among", "by_name", "in_slices", "insert_if_absent", "select_by_keys", "upsert"]

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
        return column == any_(bindparam(None, list(keys), type_=postgresql.ARRAY(Text)))
    given = func.json_each(json.dumps(list(keys))).table_valued("value")
    return column.in_(select(given.c.value))


def select_by_keys(
    connection: Connection, statement: Select[*tuple[object, ...]], column: ColumnElement[str], keys: Sequence[str]
) -> Iterator[Row[*tuple[object, ...]]]:
    """Gives the rows of `statement` whose `column` is one of the keys."""
    if keys:
        yield from connection.execute(statement.where(among(connection, column, keys)))


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
    """Inserts rows; on PostgreSQL by one statement with an array for each column, where one each takes 20 times longer.

    Of rows with one key the last counts, as it would if one came after the other.
    """
    names = list(rows[0])
    key = [column.name for column in table.primary_key.columns]
    last = list({tuple(row[name] for name in key): row for row in rows}.values())
    if isinstance(statement, sqlite.Insert):
        connection.execute(statement, [dict(row) for row in last])
        return
    arrays = (
        bindparam(f"tellonce_{name}", [row[name] for row in last], type_=postgresql.ARRAY(table.c[name].type))
        for name in names
    )
    given = func.unnest(*arrays).table_valued(*names).render_derived()
    connection.execute(statement.from_select(names, select(*(given.c[name] for name in names))))


def by_name(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Gives a row's values by the names of its columns."""
    # Public in SQLAlchemy, and underscored lest it meet a column of that name.
    return row._asdict()  # pyright: ignore[reportPrivateUsage]
