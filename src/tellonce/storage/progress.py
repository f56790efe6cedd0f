"""How far a task has come that outlives its process: a sweep, or a control topic being read."""

from sqlalchemy import Connection, select

from tellonce.storage.database import clock_ms
from tellonce.storage.statements import upsert
from tellonce.storage.tables import own_tables

__all__ = ["load_cursor", "load_places", "save_cursor", "save_place"]


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


def load_places(connection: Connection, task: str) -> dict[tuple[str, int], int]:
    """Gives, for each partition that a task reads, the offset of the next message that it has not dealt with."""
    table = own_tables(connection.dialect.name).progress
    prefix = f"{task}:"
    rows = connection.execute(
        select(table.c.task, table.c.cursor).where(table.c.task.startswith(prefix, autoescape=True))
    )
    places: dict[tuple[str, int], int] = {}
    for name, cursor in rows:
        topic, slash, partition = name.removeprefix(prefix).rpartition("/")
        if slash:
            places[topic, int(partition)] = int(cursor)
    return places


def save_place(connection: Connection, task: str, place: tuple[str, int], offset: int) -> None:
    """Keeps the offset of the next message of a partition, in the transaction that dealt with the one before."""
    save_cursor(connection, f"{task}:{place[0]}/{place[1]}", str(offset))
