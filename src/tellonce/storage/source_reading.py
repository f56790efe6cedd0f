"""Reading the authority's own table: rows with their version in one state, and the former values of identifiers.

A record whose counter is not there yet is at version 1: it was there before capture was.
On PostgreSQL the reading functions that capture installs do it, whose image is the trigger's own expression.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnClause,
    ColumnElement,
    Connection,
    Executable,
    FromClause,
    Integer,
    Select,
    TableClause,
    Text,
    and_,
    bindparam,
    column,
    func,
    literal,
    select,
    table,
    true,
)

from tellonce.declare import Raw, Source, split_table
from tellonce.storage.database import OWN_SCHEMA
from tellonce.storage.outbox_table import image_from_json, mapped_columns
from tellonce.storage.record_keys import is_after, is_any_of, key_parts, key_text_expression, keys_per_statement
from tellonce.storage.statements import in_slices
from tellonce.storage.tables import own_tables

__all__ = ["FIRST_VERSION", "RecordImage", "SourceReader", "fetch", "source_reader"]

FIRST_VERSION = 1
"""The version of a record that no counter is kept for: it was there before capture was."""

FormerRow = tuple[str, str, Raw]
"""Field, record key and one former value."""


class RecordImage(NamedTuple):
    """A record as the table holds it: its key, its present version, its mapped columns or None if the row is gone."""

    record_key: str
    version: int
    image: Mapping[str, Raw] | None


class SourceReader(Protocol):
    """Reads one source in one dialect."""

    def chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        """Gives the next records in key order."""
        ...

    def records(self, connection: Connection, keys: Sequence[str], *, lock: bool) -> list[RecordImage]:
        """Gives the named records, also those whose row is gone."""
        ...

    def former(self, connection: Connection, keys: Sequence[str]) -> Iterator[FormerRow]:
        """Gives the former values of the named records, per field in order."""
        ...


def source_reader(source: Source, dialect_name: str) -> SourceReader:
    """Gives the reader of a source for this dialect."""
    return _PostgresReader(source) if dialect_name == "postgresql" else _SqliteReader(source)


class _PostgresReader:
    """Calls the functions that capture installs next to the trigger."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def _call(self, name: str, columns: Sequence[str], *arguments: ColumnElement[object]) -> FromClause:
        function = getattr(getattr(func, OWN_SCHEMA), f"{name}_{self._source.record_type}")
        types = {"version": BigInteger()}
        called: FromClause = function(*arguments).table_valued(
            *(column(name, types.get(name, Text())) for name in columns)
        )
        return called

    def chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        called = self._call(
            "read_chunk",
            ("record_key", "version", "image"),
            bindparam("after_key", after_key, Text()),
            bindparam("limit", limit, Integer()),
        )
        return _records(fetch(connection, select(called)))

    def records(self, connection: Connection, keys: Sequence[str], *, lock: bool) -> list[RecordImage]:
        called = self._call(
            "read_records",
            ("record_key", "version", "image"),
            bindparam("keys", list(keys), ARRAY(Text())),
            bindparam("lock", lock, Boolean()),
        )
        return _records(fetch(connection, select(called)))

    def former(self, connection: Connection, keys: Sequence[str]) -> Iterator[FormerRow]:
        if self._source.former:
            called = self._call(
                "read_former", ("field", "record_key", "value"), bindparam("keys", list(keys), ARRAY(Text()))
            )
            for field, key, value in fetch(connection, select(called)):
                yield str(field), str(key), value


def _records(rows: Sequence[Sequence[Raw]]) -> list[RecordImage]:
    return [
        RecordImage(str(key), int(str(version)), image_from_json(None if image is None else str(image)))
        for key, version, image in rows
    ]


class _SqliteReader:
    """Reads values in their own storage classes; a transaction that writes is alone, so it needs no lock."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._columns = mapped_columns(source)
        names = dict.fromkeys((*source.key, *self._columns))
        self._table = _plain_table(source.table, names).alias("t")
        self._keys = [self._table.c[name] for name in source.key]
        self._key = key_text_expression(self._keys)
        versions = own_tables("sqlite").record_version
        self._version = func.coalesce(versions.c.version, literal(FIRST_VERSION))
        self._from = self._table.outerjoin(
            versions, and_(versions.c.record_type == source.record_type, versions.c.record_key == self._key)
        )
        self._versions = versions

    def _select(self, condition: ColumnElement[bool]) -> Select[*tuple[object, ...]]:
        images = [self._table.c[name].label(f"c{at}") for at, name in enumerate(self._columns)]
        has_key = and_(*(part.is_not(None) for part in self._keys))
        return (
            select(self._key.label("record_key"), self._version.label("version"), *images)
            .select_from(self._from)
            .where(has_key, condition)
            .order_by(*self._keys)
        )

    def _images(self, rows: Sequence[Sequence[Raw]]) -> list[RecordImage]:
        return [
            RecordImage(str(key), int(str(version)), dict(zip(self._columns, values, strict=True)))
            for key, version, *values in rows
        ]

    def chunk(self, connection: Connection, after_key: str | None, limit: int) -> list[RecordImage]:
        after = true() if after_key is None else is_after(self._keys, key_parts(after_key, len(self._keys)))
        return self._images(fetch(connection, self._select(after).limit(limit)))

    def records(self, connection: Connection, keys: Sequence[str], *, lock: bool) -> list[RecordImage]:
        del lock
        found: list[RecordImage] = []
        for some in in_slices(keys, keys_per_statement(len(self._keys))):
            parts = [key_parts(key, len(self._keys)) for key in some]
            found += self._images(fetch(connection, self._select(is_any_of(self._keys, parts))))
        # The column's collation may have found `K` for `k`, which is another record.
        asked = set(keys)
        there = [record for record in found if record.record_key in asked]
        return there + self._gone(connection, sorted(asked - {record.record_key for record in there}))

    def _gone(self, connection: Connection, keys: Sequence[str]) -> list[RecordImage]:
        known: dict[str, int] = {}
        versions = self._versions
        for some in in_slices(keys):
            rows = connection.execute(
                select(versions.c.record_key, versions.c.version).where(
                    versions.c.record_type == self._source.record_type, versions.c.record_key.in_(some)
                )
            )
            known.update({str(key): int(version) for key, version in rows})
        return [RecordImage(key, known.get(key, FIRST_VERSION), None) for key in keys]

    def former(self, connection: Connection, keys: Sequence[str]) -> Iterator[FormerRow]:
        for field, history in self._source.former.items():
            order = [history.order_by] if history.order_by else []
            rows = _plain_table(history.table, dict.fromkeys((*history.key, history.column, *order)))
            key_columns = [rows.c[name] for name in history.key]
            statement = select(key_text_expression(key_columns), rows.c[history.column]).order_by(
                *key_columns, rows.c[history.order_by or history.column]
            )
            for some in in_slices(keys, keys_per_statement(len(key_columns))):
                parts = [key_parts(key, len(key_columns)) for key in some]
                for key, value in fetch(connection, statement.where(is_any_of(key_columns, parts))):
                    yield field, str(key), value


def _plain_table(name: str, columns: Iterable[str]) -> TableClause:
    schema, bare = split_table(name)
    plain: list[ColumnClause[Raw]] = [column(name) for name in columns]
    return table(bare, *plain, schema=schema)


def fetch(connection: Connection, statement: Executable) -> Sequence[Sequence[Raw]]:
    """Gives all rows."""
    rows: Sequence[Sequence[Raw]] = connection.execute(statement).all()
    return rows
