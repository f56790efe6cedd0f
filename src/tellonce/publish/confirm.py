"""Confirming: acknowledged events leave the staging table, and the marks behind them become sayable."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, and_, delete, func, select, update

from tellonce.avro.catalogue import Catalogue
from tellonce.control.messages import Mark
from tellonce.model.change import ChangeEvent, Operation, Origin
from tellonce.model.divergence import RecordState
from tellonce.publish.staged import StagedEvent, marker_key
from tellonce.publish.streams import Stream, StreamId
from tellonce.storage.database import clock_ms
from tellonce.storage.statements import by_name, upsert
from tellonce.storage.tables import own_tables

__all__ = ["confirm", "count_staged", "load_staged", "newest_mark", "replace_refused"]


def confirm(connection: Connection, acknowledged: Mapping[StreamId, Sequence[StagedEvent]]) -> None:
    """Takes acknowledged events out of the staging table and keeps each stream's newest mark."""
    own = own_tables(connection.dialect.name)
    staged, stream = own.staged, own.stream
    for (view, partition), events in acknowledged.items():
        if not events:
            continue
        last = events[-1]
        of_stream = and_(staged.c.view == view, staged.c.partition == partition, staged.c.epoch == last.epoch)
        connection.execute(delete(staged).where(of_stream, staged.c.sequence <= last.sequence))
        values: dict[str, object] = {"confirmed_sequence": last.sequence}
        marked = next((event for event in reversed(events) if event.mark_sum is not None), None)
        if marked is not None:
            values |= {
                "mark_sequence": marked.sequence,
                "mark_sum": marked.mark_sum,
                "mark_count": marked.mark_count,
            }
        connection.execute(
            update(stream)
            .where(stream.c.view == view, stream.c.partition == partition, stream.c.epoch == last.epoch)
            .values(**values)
        )


def count_staged(connection: Connection, views: Sequence[str]) -> dict[StreamId, int]:
    """Gives of how many events each stream's staging is, where there are any."""
    staged = own_tables(connection.dialect.name).staged
    rows = connection.execute(
        select(staged.c.view, staged.c.partition, func.count())
        .where(staged.c.view.in_(views))
        .group_by(staged.c.view, staged.c.partition)
        .order_by(staged.c.view, staged.c.partition)
    )
    return {(str(view), int(partition)): int(count) for view, partition, count in rows}


def load_staged(
    connection: Connection, stream_id: StreamId, rows: int, fitting: Callable[[Sequence[int]], int]
) -> tuple[list[StagedEvent], bool]:
    """Gives a stream's next events in the order of sending, and whether these are all.

    `fitting` says of the sizes of the next ones, at most `rows`, how many to load: what is too much for memory is
    never read.
    """
    staged = own_tables(connection.dialect.name).staged
    view, partition = stream_id
    of_stream = and_(staged.c.view == view, staged.c.partition == partition)
    order = (staged.c.epoch, staged.c.sequence)
    measured = select(func.length(staged.c.payload)).where(of_stream).order_by(*order).limit(rows + 1)
    sizes = [int(size) for size in connection.execute(measured).scalars()]
    count = fitting(sizes[:rows])
    found = connection.execute(select(staged).where(of_stream).order_by(*order).limit(count)) if count else ()
    return [StagedEvent(**by_name(row)) for row in found], count == len(sizes)


def newest_mark(department: str, stream: Stream, at_ms: int) -> Mark | None:
    """Gives a stream's newest confirmed mark, to be said again when a relay starts; nothing within an open epoch."""
    if stream.mark_sequence is None or stream.mark_sum is None or stream.mark_count is None:
        return None
    return Mark(
        view=stream.view,
        partition=stream.partition,
        department=department,
        epoch=stream.epoch,
        sequence=stream.mark_sequence,
        sum=stream.mark_sum,
        count=stream.mark_count,
        at_ms=at_ms,
    )


def replace_refused(
    connection: Connection, department: str, catalogue: Catalogue, event: StagedEvent, why: str
) -> None:
    """Puts something else in the place of an event that the broker will never take.

    An event that is about no record fills its sequence, and the record is parked.
    """
    own = own_tables(connection.dialect.name)
    now = clock_ms(connection)
    of_event = [own.staged.c[name] == getattr(event, name) for name in ("view", "partition", "epoch", "sequence")]
    marker = ChangeEvent(
        op=Operation.MARKER,
        department=department,
        record_type=event.view.partition(".")[0],
        view=event.view,
        record_key="",
        epoch=event.epoch,
        version=0,
        sequence=event.sequence,
        origin=Origin.MARKER,
        committed_at_ms=event.committed_at_ms,
        published_at_ms=now,
    )
    event.payload = catalogue.encode(event.view, marker)
    # Its key is its own: behind the snapshot's end it would take that marker's place, and it cannot say what that says.
    event.kafka_key = f"{marker_key(event.view, event.partition)}/refused"
    connection.execute(
        update(own.staged)
        .where(*of_event)
        .values(payload=event.payload, kafka_key=event.kafka_key, record_key=None, version=0)
    )
    if event.record_key is not None:
        connection.execute(
            update(own.published)
            .where(
                own.published.c.view == event.view,
                own.published.c.record_key == event.record_key,
                own.published.c.version == event.version,
            )
            .values(state=RecordState.UNPUBLISHED)
        )
        parked = {
            "view": event.view,
            "record_key": event.record_key,
            "version": event.version,
            "reason": "refused_by_broker",
            "detail": why,
            "at_ms": now,
        }
        upsert(connection, own.unpublished, [parked])
    event.record_key, event.version = None, 0
