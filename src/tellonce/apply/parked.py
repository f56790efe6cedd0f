"""Parked records: kept with their newest event, tried again where that may help, or decided by a person."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, or_, select, update

from tellonce.apply.incoming import Incoming
from tellonce.apply.plan import Decision
from tellonce.model.divergence import Reason
from tellonce.model.position import Header
from tellonce.storage.database import clock_ms
from tellonce.storage.statements import by_name, in_slices, upsert
from tellonce.storage.tables import own_tables

__all__ = ["ParkedRecord", "discard", "due", "hasten", "list_parked", "release", "save_parked"]

_RETRIED = (Reason.LOCKED, Reason.COLLISION, Reason.UNKNOWN_SCHEMA)
_LONGEST_WAIT_MS = 60_000
_FIRST_WAIT_MS = 1_000


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


def save_parked(connection: Connection, view: str, partition: int, decisions: Sequence[Decision]) -> None:
    """Parks the decisions that have a reason and takes those that have none off the list."""
    table = own_tables(connection.dialect.name).parked
    names = [d.incoming.pseudonym for d in decisions]
    attempts: dict[str, tuple[int, int, int]] = {}
    for some in in_slices(names):
        rows = connection.execute(
            select(table.c.pseudonym, table.c.version, table.c.attempts, table.c.parked_at_ms).where(
                table.c.view == view, table.c.pseudonym.in_(some)
            )
        )
        attempts |= {row.pseudonym: (row.version, row.attempts, row.parked_at_ms) for row in rows}
    healed = [d.incoming.pseudonym for d in decisions if d.reason is None and d.incoming.pseudonym in attempts]
    for some in in_slices(healed):
        connection.execute(delete(table).where(table.c.view == view, table.c.pseudonym.in_(some)))
    now = clock_ms(connection)
    rows_to_save: list[dict[str, object]] = []
    for decision in decisions:
        if decision.reason is None:
            continue
        header = decision.incoming.header
        version, tried, since = attempts.get(decision.incoming.pseudonym, (header.version, 0, now))
        wait = min(_FIRST_WAIT_MS << min(tried, 10), _LONGEST_WAIT_MS)
        rows_to_save.append(
            {
                "view": view,
                "pseudonym": decision.incoming.pseudonym,
                "partition": partition,
                "reason": decision.reason,
                "detail": decision.detail,
                "epoch": header.epoch,
                "version": header.version,
                "sequence": header.sequence,
                "payload": decision.incoming.payload,
                "attempts": tried + 1,
                "parked_at_ms": since if version == header.version else now,
                "retry_at_ms": now + wait if decision.reason in _RETRIED else None,
            }
        )
    upsert(connection, table, rows_to_save)


def due(connection: Connection, view: str, *, is_complete: bool, limit: int = 500) -> dict[int, list[Incoming]]:
    """Gives the events, by partition, of parked records that are to be tried now.

    Those that waited for the end of the epoch's snapshot are due as soon as `is_complete`.
    """
    table = own_tables(connection.dialect.name).parked
    when = table.c.retry_at_ms <= clock_ms(connection)
    if is_complete:
        when = or_(when, table.c.reason == Reason.AWAITING_SNAPSHOT)
    rows = connection.execute(select(table).where(table.c.view == view, when).order_by(table.c.pseudonym).limit(limit))
    found: dict[int, list[Incoming]] = {}
    for row in rows:
        header = Header(epoch=row.epoch, sequence=row.sequence, version=row.version, settled=0, flagged=False)
        incoming = Incoming(pseudonym=row.pseudonym, header=header, payload=bytes(row.payload))
        found.setdefault(int(row.partition), []).append(incoming)
    return found


def hasten(connection: Connection, view: str) -> None:
    """Makes records that collided or met a lock due at once, because other rows have changed."""
    table = own_tables(connection.dialect.name).parked
    connection.execute(
        update(table)
        .where(table.c.view == view, table.c.reason.in_((Reason.COLLISION, Reason.LOCKED)))
        .values(retry_at_ms=clock_ms(connection))
    )


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
