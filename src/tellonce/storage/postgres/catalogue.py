"""What PostgreSQL's catalog says of a bound table's columns, and how their values travel as text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy import Connection, text

from tellonce.declare.codec import Raw

__all__ = ["Column", "columns_of", "from_text", "stamp_of", "to_text", "unique_columns_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: the type under all domains, as a cast has it, its short name, and whether it may be null.

    `full` is that type with its length or precision.
    """

    name: str
    cast: str
    kind: str
    is_nullable: bool
    full: str


def columns_of(connection: Connection, table: str) -> Mapping[str, Column]:
    """Gives the columns of a table (`table` is quoted), by name.

    The casts have no length and no precision: one to varchar(3), or to a domain over it, would cut without a word.
    """
    statement = text(
        "WITH RECURSIVE chain (number, type, modifier) AS ("
        " SELECT attnum, atttypid, atttypmod FROM pg_catalog.pg_attribute"
        " WHERE attrelid = CAST(:table AS pg_catalog.regclass) AND attnum > 0 AND NOT attisdropped"
        " UNION ALL SELECT chain.number, t.typbasetype, t.typtypmod FROM chain"
        " JOIN pg_catalog.pg_type t ON t.oid = chain.type WHERE t.typtype = 'd') "
        "SELECT a.attname, pg_catalog.format_type(t.oid, -1), t.typname, NOT a.attnotnull,"
        " pg_catalog.format_type(t.oid, chain.modifier) FROM chain"
        " JOIN pg_catalog.pg_type t ON t.oid = chain.type AND t.typtype <> 'd'"
        " JOIN pg_catalog.pg_attribute a"
        " ON a.attrelid = CAST(:table AS pg_catalog.regclass) AND a.attnum = chain.number"
    )
    rows = connection.execute(statement, {"table": table})
    return {
        name: Column(name=name, cast=cast, kind=kind, is_nullable=null, full=full)
        for name, cast, kind, null, full in rows
    }


def stamp_of(connection: Connection, table: str) -> str:
    """Gives what changes whenever a table, its columns or its unique indexes are altered; "" where there is none."""
    statement = text(
        "SELECT md5(pg_catalog.concat_ws('/', c.oid, c.relkind, c.relrowsecurity,"
        " (SELECT string_agg(pg_catalog.concat_ws(',', attnum, attname, atttypid, atttypmod, attnotnull, attgenerated,"
        " attidentity, attcollation), ';' ORDER BY attnum)"
        " FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),"
        " (SELECT string_agg(pg_catalog.concat_ws(',', indexrelid, indisvalid), ';' ORDER BY indexrelid)"
        " FROM pg_catalog.pg_index WHERE indrelid = c.oid AND indisunique)))"
        " FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(:table)"
    )
    return connection.execute(statement, {"table": table}).scalar_one_or_none() or ""


def unique_columns_of(connection: Connection, table: str) -> list[tuple[str, ...]]:
    """Gives the sets of columns that must be unique together, of indexes over plain columns and all rows."""
    statement = text(
        "SELECT array_agg(a.attname ORDER BY k.place) FROM pg_catalog.pg_index i"
        " CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (number, place)"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number"
        " WHERE i.indrelid = CAST(:table AS pg_catalog.regclass) AND i.indisunique AND i.indisvalid"
        " AND i.indexprs IS NULL AND i.indpred IS NULL GROUP BY i.indexrelid"
    )
    return [tuple(names) for (names,) in connection.execute(statement, {"table": table})]


def _number(value: str) -> Raw:
    number = Decimal(value)
    return number if number.is_finite() else value


def _instant(value: str) -> Raw:
    return datetime.fromisoformat(value)


_FROM_TEXT: Mapping[str, Callable[[str], Raw]] = {
    "int2": int,
    "int4": int,
    "int8": int,
    "numeric": _number,
    "float4": float,
    "float8": float,
    "bool": lambda value: value == "true",
    "date": date.fromisoformat,
    "timestamp": _instant,
    "timestamptz": _instant,
    "bytea": lambda value: bytes.fromhex(value.removeprefix("\\x")),
}


def from_text(kind: str, value: str | None) -> Raw:
    """Gives a column's value from its type's own output; what Python has no value for stays text."""
    if value is None:
        return None
    try:
        return _FROM_TEXT.get(kind, str)(value)
    except (ValueError, InvalidOperation):
        return value


def to_text(raw: Raw) -> str | None:
    """Gives a raw value as the input of whatever type its column has."""
    match raw:
        case None | str():
            return raw
        case bool():
            return "true" if raw else "false"
        case bytes():
            return f"\\x{raw.hex()}"
        case Decimal():
            return format(raw, "f")
        case date():
            # A datetime is one, too.
            return raw.isoformat()
        case _:
            return str(raw)
