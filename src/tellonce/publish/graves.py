"""Burying: the null that follows a delete which everybody has attested, so that compaction forgets the record.

Each delete's null is sent once. A stream's newest event is never buried: what its log ends with must stay there, or a
relay that starts would miss what the broker had acknowledged. So a marker goes before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select, update

from tellonce.control.messages import Order
from tellonce.model.divergence import RecordState
from tellonce.publish.streams import StreamId
from tellonce.storage.database import clock_ms
from tellonce.storage.statements import among, by_name
from tellonce.storage.tables import own_tables

__all__ = ["Grave", "due_graves", "mark_graves", "note_buried", "streams_ending_in_graves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grave:
    """A deleted record whose delete every live subscription has attested; the place is its delete's."""

    view: str
    partition: int
    pseudonym: str
    epoch: int
    version: int
    sequence: int


def mark_graves(connection: Connection, order: Order) -> int:
    """Lets the deletes that an order speaks of be buried, and gives how many; what was buried stays so."""
    table = own_tables(connection.dialect.name).published
    done = connection.execute(
        update(table)
        .where(
            table.c.view == order.view,
            table.c.partition == order.partition,
            table.c.epoch == order.epoch,
            table.c.sequence <= order.up_to_sequence,
            table.c.state == RecordState.DELETED,
            table.c.buried_at_ms.is_(None),
        )
        .values(tombstone=True)
    )
    return done.rowcount


def due_graves(connection: Connection, views: Sequence[str], limit: int = 1_000) -> list[Grave]:
    """Gives the deleted records that are to be followed by a null, behind which more has been acknowledged."""
    own = own_tables(connection.dialect.name)
    published, stream = own.published, own.stream
    is_passed = or_(published.c.epoch < stream.c.epoch, published.c.sequence < stream.c.confirmed_sequence)
    rows = connection.execute(
        select(*(published.c[each.name] for each in fields(Grave)))
        .join(stream, _is_of(published, stream))
        .where(published.c.view.in_(views), published.c.tombstone, is_passed)
        .limit(limit)
    )
    return [Grave(**by_name(row)) for row in rows]


def streams_ending_in_graves(connection: Connection, views: Sequence[str]) -> list[StreamId]:
    """Gives the streams whose newest event is a delete that is to be buried."""
    own = own_tables(connection.dialect.name)
    published, stream = own.published, own.stream
    rows = connection.execute(
        select(stream.c.view, stream.c.partition)
        .distinct()
        .join(published, _is_of(published, stream))
        .where(
            stream.c.view.in_(views),
            published.c.tombstone,
            published.c.epoch == stream.c.epoch,
            published.c.sequence == stream.c.staged_sequence,
        )
    )
    return [(str(view), int(partition)) for view, partition in rows]


def note_buried(connection: Connection, graves: Sequence[Grave]) -> None:
    """Keeps that the nulls of these have arrived."""
    table, now = own_tables(connection.dialect.name).published, clock_ms(connection)
    for view in {grave.view for grave in graves}:
        pseudonyms = [grave.pseudonym for grave in graves if grave.view == view]
        connection.execute(
            update(table)
            .where(table.c.view == view, among(connection, table.c.pseudonym, pseudonyms))
            .values(tombstone=False, buried_at_ms=now)
        )


def _is_of(published: Table, stream: Table) -> ColumnElement[bool]:
    return and_(published.c.view == stream.c.view, published.c.partition == stream.c.partition)
