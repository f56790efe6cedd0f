"""Staging: unpublished rows become events with a sequence, and the ledger and sums move, all in one transaction.

Position rule 1: the sequence and the order of sending are stored before the first byte is sent.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, and_, delete, insert, select, update

from tellonce.avro.catalogue import Catalogue
from tellonce.declare import Raw
from tellonce.model.change import ChangeEvent, Fields, Operation, Origin
from tellonce.model.digest import from_hex, pseudonym_of, to_hex
from tellonce.model.divergence import RecordState
from tellonce.model.errors import PoisonMessageError
from tellonce.model.partitioning import partition_of
from tellonce.publish.images import Image, Publication
from tellonce.publish.staged import Staged, StagedEvent, StageLimits, marker_key
from tellonce.publish.streams import (
    Published,
    PublishedView,
    Stream,
    StreamId,
    load_published,
    load_streams,
    save_published,
    save_streams,
)
from tellonce.storage.database import clock_ms
from tellonce.storage.outbox import OutboxRow, collapse
from tellonce.storage.statements import upsert
from tellonce.storage.tables import own_tables

__all__ = ["Stager"]


class Stager:
    """Stages the changes of one department's record types. Not thread-safe."""

    def __init__(
        self, department: str, publications: Sequence[Publication], catalogue: Catalogue, limits: StageLimits
    ) -> None:
        self._department = department
        self._publications = publications
        self._catalogue = catalogue
        self._limits = limits

    def stage(self, connection: Connection, owed: Collection[StreamId] = ()) -> Staged:
        """Stages the oldest unpublished changes and the next records of a running snapshot, ordered per record.

        A stream in `owed` that gets no event otherwise gets a marker, so that its newest state can be attested.
        """
        staged = Staged()
        for publication in self._publications:
            batch = _Batch(connection, self._department, publication, self._catalogue, self._limits)
            if not batch.streams:
                continue
            batch.take_changes()
            batch.take_snapshot()
            batch.finish(owed)
            staged.events += batch.events
            staged.changes += batch.changes
            staged.snapshot_records += batch.snapshot_records
            staged.unpublished += len(batch.unpublished)
            staged.is_full |= batch.is_full
            staged.stopped |= {stream_id for stream_id, stream in batch.streams.items() if stream.stopped}
        return staged

    def pending(self, connection: Connection) -> tuple[int, int | None]:
        """Gives how many changes wait in the outboxes, and the commit time of the oldest in epoch milliseconds."""
        found = [publication.outbox.pending(connection) for publication in self._publications]
        times = [oldest for _, oldest in found if oldest is not None]
        return sum(count for count, _ in found), min(times, default=None)


class _Batch:
    """One record type's part of one staging transaction."""

    def __init__(
        self,
        connection: Connection,
        department: str,
        publication: Publication,
        catalogue: Catalogue,
        limits: StageLimits,
    ) -> None:
        self._connection = connection
        self._department = department
        self._publication = publication
        self._catalogue = catalogue
        self._limits = limits
        self._own = own_tables(connection.dialect.name)
        self._now = clock_ms(connection)
        self._known: dict[str, dict[str, Published]] = {view.name: {} for view in publication.views}
        self._changed: dict[str, dict[str, Published]] = {view.name: {} for view in publication.views}
        self.streams: dict[StreamId, Stream] = load_streams(
            connection, [view.name for view in publication.views], lock=True
        )
        self.events: list[StagedEvent] = []
        self.unpublished: dict[tuple[str, str], Mapping[str, object]] = {}
        self._published_again: list[tuple[str, str]] = []
        self.changes = 0
        self.snapshot_records = 0

    @property
    def is_full(self) -> bool:
        return self.changes >= self._limits.changes or self.snapshot_records >= self._limits.snapshot_records

    def take_changes(self) -> None:
        outbox = self._publication.outbox
        rows = outbox.claim(self._connection, self._limits.changes)
        self.changes = len(rows)
        self._stage_rows(collapse(rows))
        outbox.remove(self._connection, rows)

    def take_snapshot(self) -> None:
        table = self._own.snapshot
        run = self._connection.execute(
            select(table).where(table.c.record_type == self._publication.source.record_type)
        ).one_or_none()
        if run is None or run.complete:
            return
        limit = self._limits.snapshot_records
        if not run.read_to_end:
            chunk = self._publication.outbox.read_chunk(self._connection, run.last_key, limit)
            self._save_snapshot(
                last_key=chunk[-1][0] if chunk else run.last_key,
                records=run.records + len(chunk),
                read_to_end=len(chunk) < limit,
            )
        else:
            # What was published in an earlier epoch and is not there any more: its delete belongs to the epoch, too.
            keys = self._keys_of_earlier_epochs(limit)
            chunk = self._publication.outbox.read_records(self._connection, keys, lock=False)
        self._stage_rows([self._snapshot_row(*image) for image in chunk])
        self.snapshot_records = len(chunk)
        if not run.read_to_end or len(chunk) == limit:
            return
        # Everything of the epoch is staged: one marker in every stream ends it, and marks are made from here on.
        for stream in self.streams.values():
            stream.complete = True
            self._append_marker(stream)
        self._save_snapshot(complete=True)

    def _snapshot_row(self, key: str, version: int, raw: Mapping[str, Raw] | None) -> OutboxRow:
        return OutboxRow(
            record_key=key,
            version=version,
            committed_at_ms=self._now,
            origin=Origin.SNAPSHOT,
            after=raw,
        )

    def _keys_of_earlier_epochs(self, limit: int) -> list[str]:
        published, stream = self._own.published, self._own.stream
        is_earlier = and_(
            published.c.view == stream.c.view,
            published.c.partition == stream.c.partition,
            published.c.epoch < stream.c.epoch,
        )
        statement = (
            select(published.c.record_key)
            .distinct()
            .join_from(published, stream, is_earlier)
            .where(
                published.c.view.in_([view.name for view in self._publication.views]),
                published.c.state != RecordState.DELETED,
            )
            .limit(limit)
        )
        return [str(key) for key in self._connection.execute(statement).scalars()]

    def finish(self, owed: Collection[StreamId]) -> None:
        touched = {event.stream_id for event in self.events}
        for stream_id in owed:
            if stream_id in self.streams and stream_id not in touched:
                self._append_marker(self.streams[stream_id])
        self._end_batch()
        for view, entries in self._changed.items():
            save_published(self._connection, view, list(entries.values()))
        table = self._own.unpublished
        for view, record_key in self._published_again:
            self._connection.execute(delete(table).where(table.c.view == view, table.c.record_key == record_key))
        if self.unpublished:
            upsert(self._connection, self._own.unpublished, list(self.unpublished.values()))
        if self.events:
            names = StagedEvent.__slots__
            self._connection.execute(
                insert(self._own.staged), [{name: getattr(event, name) for name in names} for event in self.events]
            )
            save_streams(self._connection, list(self.streams.values()))

    def _save_snapshot(self, **values: object) -> None:
        table = self._own.snapshot
        self._connection.execute(
            update(table).where(table.c.record_type == self._publication.source.record_type).values(**values)
        )

    def _stage_rows(self, rows: Sequence[OutboxRow]) -> None:
        keys = list(dict.fromkeys(row.record_key for row in rows))
        if not keys:
            return
        former = self._publication.outbox.read_former(self._connection, keys)
        for view in self._publication.views:
            missing = [key for key in keys if key not in self._known[view.name]]
            self._known[view.name].update(load_published(self._connection, view.name, missing))
        for row in rows:
            after = self._publication.image(row.after, former.get(row.record_key, {}))
            for view in self._publication.views:
                self._stage_row(view, row, after)

    def _stage_row(self, view: PublishedView, row: OutboxRow, after: Image) -> None:
        known = self._known[view.name].get(row.record_key)
        pseudonym = known.pseudonym if known else pseudonym_of(view.keys.pseudonym, row.record_key)
        partition = partition_of(pseudonym.encode(), view.view.partitions)
        stream = self.streams[view.name, partition]
        is_repair = row.origin == Origin.REPAIR
        is_current = known is not None and known.epoch == stream.epoch
        # A change that an earlier epoch's snapshot has overtaken must not come behind it: the new snapshot tells it.
        is_new_to_epoch = row.origin == Origin.SNAPSHOT and not is_current
        if known and not is_repair and not is_new_to_epoch and known.seen_version >= row.version:
            return
        was_live = known is not None and known.state != RecordState.DELETED
        held = from_hex(known.digest) if known and is_current and known.digest else None
        digest = self._publication.element_of(view, pseudonym, row.version, after)
        if digest is None and not was_live and not (is_repair and known):
            return
        if known and not is_repair and is_current and digest == held and known.state == RecordState.LIVE:
            known.seen_version = row.version
            self._changed[view.name][row.record_key] = known
            return
        event = self._event(view, stream, row, after, pseudonym, is_known=was_live)
        state = RecordState.LIVE if digest is not None else RecordState.DELETED
        trouble = after.trouble or self._append(view, stream, event, pseudonym, row)
        if trouble is not None:
            state = RecordState.UNPUBLISHED
            self._park(view, stream, row, trouble)
        elif known and known.state == RecordState.UNPUBLISHED:
            self._published_again.append((view.name, row.record_key))
        stream.move(held, digest)
        entry = Published(
            record_key=row.record_key,
            pseudonym=pseudonym,
            partition=partition,
            epoch=stream.epoch,
            version=row.version,
            seen_version=row.version,
            sequence=stream.staged_sequence,
            digest=None if digest is None else to_hex(digest),
            state=state,
        )
        self._known[view.name][row.record_key] = self._changed[view.name][row.record_key] = entry

    def _event(
        self, view: PublishedView, stream: Stream, row: OutboxRow, after: Image, pseudonym: str, *, is_known: bool
    ) -> ChangeEvent:
        if after.fields is None:
            op = Operation.DELETE
        elif row.origin in (Origin.SNAPSHOT, Origin.REPAIR):
            op = Operation.READ
        else:
            op = Operation.UPDATE if is_known else Operation.CREATE
        return ChangeEvent(
            op=op,
            department=self._department,
            record_type=view.view.record_type,
            view=view.name,
            # The authority's own key stays at home.
            record_key=pseudonym,
            epoch=stream.epoch,
            version=row.version,
            sequence=stream.staged_sequence + 1,
            origin=Origin(row.origin),
            committed_at_ms=row.committed_at_ms,
            published_at_ms=self._now,
            after=_restricted(view, after.fields),
        )

    def _append(
        self, view: PublishedView, stream: Stream, event: ChangeEvent, kafka_key: str, row: OutboxRow
    ) -> PoisonMessageError | None:
        """Appends an event to its stream, or gives the reason why it cannot be published."""
        try:
            payload = self._encoded(view, event)
        except PoisonMessageError as error:
            return error
        self._push(stream, kafka_key, row.record_key, row.version, payload, row.committed_at_ms)
        return None

    def _encoded(self, view: PublishedView, event: ChangeEvent) -> bytes:
        payload = self._catalogue.encode(view.name, event)
        if len(payload) > self._limits.max_event_bytes:
            msg = f"the event has {len(payload)} bytes; at most {self._limits.max_event_bytes} are published"
            raise PoisonMessageError(msg, reason="too_large", view=view.name)
        return payload

    def _append_marker(self, stream: Stream) -> None:
        # A marker's version says whether the epoch's snapshot lies wholly before it.
        version = int(stream.complete)
        event = ChangeEvent(
            op=Operation.MARKER,
            department=self._department,
            record_type=stream.view.partition(".")[0],
            view=stream.view,
            record_key="",
            epoch=stream.epoch,
            version=version,
            sequence=stream.staged_sequence + 1,
            origin=Origin.MARKER,
            committed_at_ms=self._now,
            published_at_ms=self._now,
        )
        payload = self._catalogue.encode(stream.view, event)
        self._push(stream, marker_key(stream.view, stream.partition), None, version, payload, self._now)

    def _push(
        self, stream: Stream, kafka_key: str, record_key: str | None, version: int, payload: bytes, committed_at_ms: int
    ) -> None:
        stream.staged_sequence += 1
        self.events.append(
            StagedEvent(
                view=stream.view,
                partition=stream.partition,
                epoch=stream.epoch,
                sequence=stream.staged_sequence,
                record_key=record_key,
                kafka_key=kafka_key,
                version=version,
                payload=payload,
                committed_at_ms=committed_at_ms,
            )
        )

    def _park(self, view: PublishedView, stream: Stream, row: OutboxRow, trouble: PoisonMessageError) -> None:
        # The sum has moved although no event tells of it, so a marker takes a sequence: no two sums stand at one place.
        self._append_marker(stream)
        self.unpublished[view.name, row.record_key] = {
            "view": view.name,
            "record_key": row.record_key,
            "version": row.version,
            "reason": str(trouble.facts.get("reason", "cannot_publish")),
            "detail": str(trouble),
            "at_ms": self._now,
        }

    def _end_batch(self) -> None:
        last: dict[StreamId, StagedEvent] = {event.stream_id: event for event in self.events}
        for stream_id, event in last.items():
            stream = self.streams[stream_id]
            event.ends_batch = True
            if stream.complete:
                event.mark_sum, event.mark_count = to_hex(stream.sum), stream.count


def _restricted(view: PublishedView, fields: Fields | None) -> Fields | None:
    if fields is None:
        return None
    return {
        **{name: fields[name] for name in view.view.fields},
        **{name: fields.get(name, ()) for name in view.view.match_only},
    }
