"""Which texts a type of PostgreSQL can be, found out where nothing else can fail."""

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tellonce.storage.database import is_infrastructure_trouble

__all__ = ["castable"]

_TYPES_OF_TEXT = frozenset(("text", "varchar", "bpchar", "citext"))


def castable(connection: Connection, kind: str, cast: str, values: Sequence[str]) -> Sequence[str]:
    """Gives those values that a type can be, since one that it cannot be would fail the statement for all.

    `kind` is the type's short name and `cast` its name as a cast has it. Halving, as most often all can be, or none.
    """
    if not values or kind in _TYPES_OF_TEXT:
        return values
    try:
        with connection.begin_nested():
            statement = f"SELECT count(CAST(value AS {cast})) FROM unnest(%(values)s::text[]) AS s (value)"  # noqa: S608 - a type's own name
            connection.exec_driver_sql(statement, {"values": list(values)})
    except DBAPIError as error:
        if is_infrastructure_trouble(error):
            raise
        middle = len(values) // 2
        if not middle:
            return []
        return [
            *castable(connection, kind, cast, values[:middle]),
            *castable(connection, kind, cast, values[middle:]),
        ]
    return values
