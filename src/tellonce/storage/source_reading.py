"""Reading the authority's own table: records as they are now, and the former values of identifiers.

On PostgreSQL values come as text by their types' own output, so that none can break a fetch, whatever it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Executable,
    Select,
    TableClause,
    and_,
    column,
    select,
    true,
)
from sqlalchemy import table as table_clause
from sqlalchemy.exc import DBAPIError

from tellonce.declare import Raw, Source, split_table
from tellonce.model.errors import ConfigurationError
from tellonce.storage.database import sqlstate_of
from tellonce.storage.postgres.casting import castable
from tellonce.storage.postgres.catalogue import from_text
from tellonce.storage.postgres_catalog import CatalogColumn, CatalogTable, find_table, quoted
from tellonce.storage.record_keys import (
    is_after,
    is_any_of,
    key_parts,
    key_text_expression,
    key_text_sql,
    keys_per_statement,
    text_of,
)
from tellonce.storage.statements import in_slices

__all__ = ["UNREADABLE", "RecordImage", "SourceReader", "source_reader"]

UNREADABLE: Mapping[str, Raw] = MappingProxyType({})
"""The image of a row that is there, and that the database cannot give."""

FormerRow = tuple[str, str, Raw]
"""Field, record key and one former value."""


class RecordImage(NamedTuple):
    """A record as the table holds it: its key, and its declared columns by name, or None if the row is gone."""

    record_key: str
    image: Mapping[str, Raw] | None


class SourceReader(Protocol):
    """Reads one source in one dialect."""

    def chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        """Gives the next records in key order."""
        ...

    def records(self, connection: Connection, keys: Sequence[str]) -> Mapping[str, Mapping[str, Raw] | None]:
        """Gives those of the named records that are there; a row is a record's only if its own key is that text."""
        ...

    def former(self, connection: Connection, keys: Sequence[str]) -> Iterator[FormerRow]:
        """Gives the former values of the named records, per field in order."""
        ...


def source_reader(source: Source, dialect_name: str) -> SourceReader:
    """Gives the reader of a source for this dialect."""
    return _PostgresReader(source) if dialect_name == "postgresql" else _SqliteReader(source)


class _PostgresReader:
    """Reads each time by what the catalog says, since the department may alter its table at any time."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        table = self._find(connection, self._source.table, [*self._source.key, *self._source.column_names])
        keys = [table.columns[name] for name in self._source.key]
        order, given, behind = _names(keys), dict[str, Any](), "true"
        parts = None if after_key is None else key_parts(after_key, len(keys))
        if parts is not None:
            given = {f"k{place}": part for place, part in enumerate(parts)}
            behind = f"({order}) > ({', '.join(_given_part(key, f'%(k{n})s') for n, key in enumerate(keys))})"
        from_there = f"FROM {_plain(table.sql)} AS t WHERE {behind} ORDER BY {order} LIMIT {limit:d}"
        try:
            with connection.begin_nested():
                rows = connection.exec_driver_sql(f"SELECT {self._selected(table)} {from_there}", given).all()
            return [self._image(table, row) for row in rows]
        except DBAPIError as error:
            if not _is_of_a_value(error):
                raise
        found = [str(key) for (key,) in connection.exec_driver_sql(f"SELECT {_key_text(keys)} {from_there}", given)]
        images = self._named(connection, table, found)
        return [RecordImage(key, images[key]) for key in found if key in images]

    def records(self, connection: Connection, keys: Sequence[str]) -> Mapping[str, Mapping[str, Raw] | None]:
        table = self._find(connection, self._source.table, [*self._source.key, *self._source.column_names])
        return self._named(connection, table, keys)

    def _named(
        self, connection: Connection, table: CatalogTable, keys: Sequence[str]
    ) -> dict[str, Mapping[str, Raw] | None]:
        """Gives the named records; one with a value that the database itself cannot give hides no other."""
        key_columns = [table.columns[name] for name in self._source.key]
        given = _keys_given(connection, key_columns, keys)
        try:
            with connection.begin_nested():
                statement = f"SELECT {self._selected(table)} FROM {_asked(table, key_columns)}"  # noqa: S608 - quoted names
                rows = connection.exec_driver_sql(statement, given).all()
        except DBAPIError as error:
            if not _is_of_a_value(error):
                raise
            middle = len(keys) // 2
            if not middle:
                return {keys[0]: UNREADABLE}
            halves = (self._named(connection, table, some) for some in (keys[:middle], keys[middle:]))
            return {key: image for half in halves for key, image in half.items()}
        return dict(self._image(table, row) for row in rows)

    def former(self, connection: Connection, keys: Sequence[str]) -> Iterator[FormerRow]:
        for field, history in self._source.former.items():
            order = [history.order_by] if history.order_by else []
            table = self._find(connection, history.table, [*history.key, history.column, *order])
            key_columns = [table.columns[name] for name in history.key]
            statement = (
                f"SELECT {_key_text(key_columns)}, {_value_text(history.column)} "  # noqa: S608 - quoted names
                f"FROM {_asked(table, key_columns)} "
                f"ORDER BY {_names(key_columns)}, t.{_plain(quoted(history.order_by or history.column))}"
            )
            kind = table.columns[history.column].type_name
            for key, value in connection.exec_driver_sql(statement, _keys_given(connection, key_columns, keys)):
                yield field, str(key), from_text(kind, value)

    def _find(self, connection: Connection, declared: str, names: Sequence[str]) -> CatalogTable:
        table = find_table(connection, declared)
        missing = [name for name in names if table is None or name not in table.columns]
        if table is None or missing:
            what = f"the column {missing[0]} in {declared}" if table else f"the table {declared}"
            msg = (
                f"{self._source.place}: expected {what}, found none; declare it as it is now, and run tellonce install"
            )
            raise ConfigurationError(msg, record_type=self._source.record_type)
        return table

    def _selected(self, table: CatalogTable) -> str:
        keys = [table.columns[name] for name in self._source.key]
        return ", ".join([_key_text(keys), *map(_value_text, self._source.column_names)])

    def _image(self, table: CatalogTable, row: Sequence[Any]) -> RecordImage:
        key, *values = row
        raws = zip(self._source.column_names, values, strict=True)
        return RecordImage(str(key), {name: from_text(table.columns[name].type_name, value) for name, value in raws})


def _is_of_a_value(error: DBAPIError) -> bool:
    # Data exceptions, such as bytes that are no text in the encoding.
    return (sqlstate_of(error) or "").startswith("22")


def _plain(sql: str) -> str:
    """Gives SQL as the driver takes it beside parameters, where a percent sign would name one."""
    return sql.replace("%", "%%")


def _names(columns: Sequence[CatalogColumn]) -> str:
    return _plain(", ".join(f"t.{quoted(column.name)}" for column in columns))


def _key_text(columns: Sequence[CatalogColumn]) -> str:
    return _plain(key_text_sql([text_of("t", column) for column in columns]))


def _value_text(name: str) -> str:
    return _plain(f"CAST(t.{quoted(name)} AS pg_catalog.text)")


def _given_part(column: CatalogColumn, given: str) -> str:
    # Cast to the column's type and not the column to text, so that the key's index is used.
    return f"CAST(CAST({given} AS pg_catalog.text) AS {column.key_type})"


def _asked(table: CatalogTable, keys: Sequence[CatalogColumn]) -> str:
    """Gives the rows of the keys that `_keys_given` gives."""
    arrays = ", ".join(f"pg_catalog.unnest(%(k{place})s::pg_catalog.text[])" for place in range(len(keys)))
    parts = ", ".join(f"tellonce_{place}" for place in range(len(keys)))
    same = " AND ".join(
        f"t.{_plain(quoted(key.name))} = {_given_part(key, f's.tellonce_{place}')}" for place, key in enumerate(keys)
    )
    return f"ROWS FROM ({arrays}) AS s ({parts}) JOIN {_plain(table.sql)} AS t ON {same}"


def _keys_given(connection: Connection, columns: Sequence[CatalogColumn], keys: Sequence[str]) -> dict[str, list[str]]:
    """Gives keys as parameters, a list for each column; without those that no row of these columns can have."""
    parts = [found for key in keys if (found := key_parts(key, len(columns))) is not None]
    for place, key in enumerate(columns):
        possible = set(castable(connection, key.type_name, str(key.key_type), [part[place] for part in parts]))
        parts = [part for part in parts if part[place] in possible]
    return {f"k{place}": [part[place] for part in parts] for place in range(len(columns))}


class _SqliteReader:
    """Reads values in their own storage classes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._columns = source.column_names
        self._table = _plain_table(source.table, dict.fromkeys((*source.key, *self._columns))).alias("t")
        self._keys = [self._table.c[name] for name in source.key]
        self._key = key_text_expression(self._keys)

    def _select(self, condition: ColumnElement[bool]) -> Select[*tuple[object, ...]]:
        images = [self._table.c[name].label(f"c{at}") for at, name in enumerate(self._columns)]
        has_key = and_(*(part.is_not(None) for part in self._keys))
        return select(self._key.label("record_key"), *images).where(has_key, condition).order_by(*self._keys)

    def _images(self, connection: Connection, statement: Executable) -> list[RecordImage]:
        return [
            RecordImage(str(key), dict(zip(self._columns, values, strict=True)))
            for key, *values in connection.execute(statement)
        ]

    def chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        parts = None if after_key is None else key_parts(after_key, len(self._keys))
        after = true() if parts is None else is_after(self._keys, parts)
        return self._images(connection, self._select(after).limit(limit))

    def records(self, connection: Connection, keys: Sequence[str]) -> Mapping[str, Mapping[str, Raw] | None]:
        found: list[RecordImage] = []
        parts = [each for key in keys if (each := key_parts(key, len(self._keys))) is not None]
        for some in in_slices(parts, keys_per_statement(len(self._keys))):
            found += self._images(connection, self._select(is_any_of(self._keys, some)))
        # A column's collation may have found `K` for `k`: that is another record, under its own key.
        return dict(found)

    def former(self, connection: Connection, keys: Sequence[str]) -> Iterator[FormerRow]:
        for field, history in self._source.former.items():
            order = [history.order_by] if history.order_by else []
            rows = _plain_table(history.table, dict.fromkeys((*history.key, history.column, *order)))
            key_columns = [rows.c[name] for name in history.key]
            statement = select(key_text_expression(key_columns), rows.c[history.column]).order_by(
                *key_columns, rows.c[history.order_by or history.column]
            )
            parts = [each for key in keys if (each := key_parts(key, len(key_columns))) is not None]
            for some in in_slices(parts, keys_per_statement(len(key_columns))):
                for key, value in connection.execute(statement.where(is_any_of(key_columns, some))):
                    yield field, str(key), value


def _plain_table(name: str, columns: Iterable[str]) -> TableClause:
    schema, bare = split_table(name)
    plain: list[ColumnClause[Raw]] = [column(name) for name in columns]
    return table_clause(bare, *plain, schema=schema)
