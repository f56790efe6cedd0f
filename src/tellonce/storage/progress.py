"""How far a task has come that outlives its process: a sweep, or a control topic being read."""

from sqlalchemy import Connection, select

from tellonce.storage.database import clock_ms
from tellonce.storage.statements import upsert
from tellonce.storage.tables import own_tables

__all__ = ["load_cursor", "save_cursor"]


def load_cursor(connection: Connection, task: str) -> str | None:
    """Gives where a task stands, or nothing if it never began."""
    table = own_tables(connection.dialect.name).progress
    return connection.execute(select(table.c.cursor).where(table.c.task == task)).scalar_one_or_none()


def save_cursor(connection: Connection, task: str, cursor: str, *, finished: bool = False) -> None:
    """Keeps where a task stands, in the transaction that did its work."""
    table = own_tables(connection.dialect.name).progress
    now = clock_ms(connection)
    row = {
        "task": task,
        "cursor": cursor,
        "started_at_ms": now,
        "finished_at_ms": now if finished else None,
    }
    upsert(connection, table, [row])
