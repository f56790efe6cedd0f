"""Parked records as a person sees and decides them; `storage/ledger.py` keeps them and tries them again."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, select, update

from tellonce.storage.database import clock_ms
from tellonce.storage.statements import by_name
from tellonce.storage.tables import own_tables

__all__ = ["ParkedRecord", "discard", "list_parked", "release"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedRecord:
    """A parked record as operators see it, without the event's content. Instants are epoch milliseconds."""

    view: str
    pseudonym: str
    partition: int
    reason: str
    detail: str
    epoch: int
    version: int
    attempts: int
    parked_at_ms: int
    retry_at_ms: int | None


def list_parked(connection: Connection, view: str | None = None) -> list[ParkedRecord]:
    """Gives the parked records, of one view or of all, oldest first."""
    table = own_tables(connection.dialect.name).parked
    columns = [table.c[name] for name in ParkedRecord.__slots__]
    statement = select(*columns).order_by(table.c.parked_at_ms, table.c.pseudonym)
    rows = connection.execute(statement if view is None else statement.where(table.c.view == view))
    return [ParkedRecord(**by_name(row)) for row in rows]


def release(connection: Connection, view: str, pseudonyms: Sequence[str]) -> int:
    """Makes parked records due at once, whatever their reason; gives how many there are."""
    table = own_tables(connection.dialect.name).parked
    condition = table.c.view == view
    if pseudonyms:
        condition = and_(condition, table.c.pseudonym.in_(pseudonyms))
    return connection.execute(update(table).where(condition).values(retry_at_ms=clock_ms(connection))).rowcount


def discard(connection: Connection, view: str, pseudonyms: Sequence[str]) -> int:
    """Takes records off the list for good; they stay divergent until a newer event or a repair arrives."""
    table = own_tables(connection.dialect.name).parked
    done = connection.execute(delete(table).where(table.c.view == view, table.c.pseudonym.in_(pseudonyms)))
    return done.rowcount
