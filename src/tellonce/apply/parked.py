"""Parked records: kept with their newest event, tried again where that may help, or decided by a person."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, or_, select, update

from tellonce.apply.incoming import Incoming
from tellonce.model.divergence import Reason
from tellonce.model.position import Header
from tellonce.storage.database import clock_ms
from tellonce.storage.statements import by_name
from tellonce.storage.tables import own_tables

__all__ = ["ParkedRecord", "discard", "due", "list_parked", "release"]


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


def due(connection: Connection, view: str, *, is_complete: bool, limit: int = 500) -> dict[int, list[Incoming]]:
    """Gives the events, by partition, of parked records that are to be tried now.

    Those that waited for the end of the epoch's snapshot are due as soon as `is_complete`.
    """
    table = own_tables(connection.dialect.name).parked
    when = table.c.retry_at_ms <= clock_ms(connection)
    if is_complete:
        when = or_(when, table.c.reason == Reason.AWAITING_SNAPSHOT)
    # Whoever has waited longest comes first, so that nobody starves behind many that fail again and again.
    since = func.coalesce(table.c.retry_at_ms, table.c.parked_at_ms)
    statement = select(table).where(table.c.view == view, when).order_by(since, table.c.pseudonym).limit(limit)
    rows = connection.execute(statement)
    found: dict[int, list[Incoming]] = {}
    for row in rows:
        header = Header(epoch=row.epoch, sequence=row.sequence, version=row.version, settled=0, flagged=False)
        incoming = Incoming(pseudonym=row.pseudonym, header=header, payload=bytes(row.payload))
        found.setdefault(int(row.partition), []).append(incoming)
    return found


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
