"""Which of the rights that a view's table asks for the database's user does not have."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, text

from tellonce.declare.binding import Mirror
from tellonce.storage.subscriber.view import BoundView

__all__ = ["rights_lacking"]


def rights_lacking(
    connection: Connection, view: BoundView, name: str, quote: Callable[[str], str], needed: Sequence[str]
) -> list[str]:
    """Gives the rights that are missing, as GRANT has them; those to read and write may be given by column."""
    binding = view.binding
    written = dict.fromkeys((*(column.column for column in view.columns), *binding.mark))
    wanted = {"SELECT": needed, "UPDATE": list(written)}
    if isinstance(binding.scope, Mirror):
        wanted["INSERT"] = [*written, *binding.defaults]
    lacking = [
        f"{right} ({', '.join(quote(column) for column in missing)}) ON {name}"
        for right, columns in wanted.items()
        if (missing := _columns_without(connection, name, right, columns))
    ]
    if binding.on_delete == "delete" and not _may_delete(connection, name):
        lacking.append(f"DELETE ON {name}")
    return lacking


def _columns_without(connection: Connection, name: str, right: str, columns: Sequence[str]) -> list[str]:
    statement = text(
        "SELECT c FROM unnest(CAST(:columns AS pg_catalog.text[])) AS c"
        " WHERE NOT pg_catalog.has_column_privilege(CAST(:table AS pg_catalog.regclass), c, :right)"
    )
    return list(connection.execute(statement, {"columns": list(columns), "table": name, "right": right}).scalars())


def _may_delete(connection: Connection, name: str) -> bool:
    statement = text("SELECT pg_catalog.has_table_privilege(CAST(:table AS pg_catalog.regclass), 'DELETE')")
    return bool(connection.execute(statement, {"table": name}).scalar_one())
