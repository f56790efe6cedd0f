"""Rows into a PostgreSQL table by binary COPY, the quickest way measured (benchmarks/README.md)."""

from collections.abc import Iterable, Sequence
from typing import cast

from psycopg import Connection as PsycopgConnection
from psycopg import sql
from sqlalchemy import Connection

__all__ = ["copy_rows", "stage_name"]

# Types whose binary form psycopg writes from the values that codecs give. Any other type makes the COPY use text.
_BINARY_TYPES = frozenset(
    (
        "text",
        "varchar",
        "bpchar",
        "int2",
        "int4",
        "int8",
        "numeric",
        "bool",
        "date",
        "timestamptz",
        "timestamp",
        "uuid",
        "bytea",
    )
)


def stage_name(view: str) -> str:
    """Gives the name of the temporary table in which a view's rows are staged."""
    return f"tellonce_stage_{view.replace('.', '_')}"


def copy_rows(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Copies rows into a table of this session; values must be of their column's type."""
    # The caller's dialect is PostgreSQL, whose driver this is.
    driver = cast("PsycopgConnection[tuple[object, ...]]", connection.connection.driver_connection)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    target = sql.Identifier(table)
    with driver.cursor() as cursor:
        described = cursor.execute(sql.SQL("SELECT {} FROM {} LIMIT 0").format(names, target)).description or []
        kinds = [driver.adapters.types[column.type_code].name for column in described]
        is_binary = _BINARY_TYPES.issuperset(kinds)
        form = sql.SQL(" (FORMAT BINARY)" if is_binary else "")
        with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN{}").format(target, names, form)) as copy:
            if is_binary:
                copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)
