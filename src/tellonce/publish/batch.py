"""One record type's part of one staging transaction."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, and_, delete, insert, select, update

from tellonce.avro.catalogue import Catalogue
from tellonce.declare import Raw
from tellonce.model.change import ChangeEvent, Operation, Origin
from tellonce.model.digest import from_hex, pseudonym_of, to_hex
from tellonce.model.divergence import RecordState
from tellonce.model.errors import ConfigurationError, PoisonMessageError
from tellonce.model.partitioning import partition_of
from tellonce.publish.deciding import Publish, Seen, Skip, Unpublishable, decide
from tellonce.publish.deletes import HELD, RELEASED, DeleteGate
from tellonce.publish.images import Image, Publication, ViewImage, unpublished_element, view_image
from tellonce.publish.log_check import begun_views, why_refused
from tellonce.publish.looks import Look, looks_of
from tellonce.publish.staged import StagedEvent, StageLimits, marker_key
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
from tellonce.storage.outbox import OutboxRow
from tellonce.storage.statements import upsert
from tellonce.storage.tables import own_tables

__all__ = ["StagingBatch"]


class StagingBatch:
    """One record type's part of one staging transaction."""

    def __init__(
        self,
        connection: Connection,
        department: str,
        publication: Publication,
        catalogue: Catalogue,
        limits: StageLimits,
        gate: DeleteGate,
    ) -> None:
        self._connection = connection
        self._gate = gate
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
        self.refused = _refused(publication.views, self.streams)
        self._views = begun_views(publication.views, self.streams)
        self.events: list[StagedEvent] = []
        self.unpublished: dict[tuple[str, str], Mapping[str, object]] = {}
        self._published_again: list[tuple[str, str]] = []
        self.changes = 0
        self.snapshot_records = 0
        self.held_deletes = 0
        self.sweeps_now = False

    @property
    def is_full(self) -> bool:
        """Whether a limit was reached, so that more may wait."""
        limits = self._limits
        return self.changes >= max(1, limits.changes) or self.snapshot_records >= limits.snapshot_records

    def stage(self, owed: Collection[StreamId], *, is_probing: bool) -> None:
        """Stages what there is; with `is_probing` it looks first whether the table can be read at all."""
        if is_probing:
            self._publication.outbox.read_chunk(self._connection, None, 1)
        self._take_changes()
        self._take_snapshot()
        self._finish(owed)

    def _take_changes(self) -> None:
        outbox = self._publication.outbox
        rows = outbox.claim(self._connection, self._limits.changes)
        self._check_known(rows)
        looks = looks_of(rows)
        # Read after the claim: what changed in between has been noted again.
        images = dict(outbox.read_records(self._connection, [look.record_key for look in looks]))
        self.changes = len(rows)
        self._stage(looks, images)
        outbox.remove(self._connection, rows)

    def _check_known(self, rows: Sequence[OutboxRow]) -> None:
        self.sweeps_now = any(row.record_key is None and row.origin is Origin.SWEEP for row in rows)
        if any(row.record_key is None and row.origin is not Origin.SWEEP for row in rows):
            # The first thing to say is that a column is not there.
            self._publication.outbox.read_chunk(self._connection, None, 1)
            source = self._publication.source
            msg = (
                f"{source.place}: expected the trigger to know which records of {source.table} changed, found changes "
                "of unknown ones, as after a column of the key was renamed; declare the key as it is now, and run "
                "tellonce install"
            )
            raise ConfigurationError(msg, record_type=source.record_type)

    def _take_snapshot(self) -> None:
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
            chunk = self._publication.outbox.read_records(self._connection, keys)
        looks = [Look(record_key=key, origin=Origin.SNAPSHOT, committed_at_ms=self._now) for key, _ in chunk]
        self._stage(looks, dict(chunk))
        self.snapshot_records = len(chunk)
        if not run.read_to_end or len(chunk) == limit:
            return
        # Everything of the epoch is staged: one marker in every stream ends it, and marks are made from here on.
        names = {view.name for view in self._views}
        for stream in self.streams.values():
            if not stream.complete and stream.view in names and stream.stopped is None:
                stream.complete = True
                self._append_marker(stream)
        self._save_snapshot(complete=True)

    def _keys_of_earlier_epochs(self, limit: int) -> list[str]:
        published, stream = self._own.published, self._own.stream
        is_earlier = and_(
            published.c.view == stream.c.view,
            published.c.partition == stream.c.partition,
            published.c.epoch < stream.c.epoch,
            stream.c.stopped.is_(None),
        )
        statement = (
            select(published.c.record_key)
            .distinct()
            .join_from(published, stream, is_earlier)
            .where(
                published.c.view.in_([view.name for view in self._views]),
                published.c.state != RecordState.DELETED,
            )
            .limit(limit)
        )
        return [str(key) for key in self._connection.execute(statement).scalars()]

    def _finish(self, owed: Collection[StreamId]) -> None:
        touched = {event.stream_id for event in self.events}
        for stream_id in owed:
            if stream_id in self.streams and stream_id not in touched and stream_id not in self.refused:
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

    def _stage(self, looks: Sequence[Look], images: Mapping[str, Mapping[str, Raw] | None]) -> None:
        keys = [look.record_key for look in looks]
        if not keys:
            return
        former = self._publication.outbox.read_former(self._connection, keys)
        for view in self._views:
            missing = [key for key in keys if key not in self._known[view.name]]
            self._known[view.name].update(load_published(self._connection, view.name, missing))
            self._gate.look_up(view.name, keys)
        for look in looks:
            image = self._publication.image(images[look.record_key], former.get(look.record_key, {}))
            for view in self._views:
                self._stage_look(view, look, image)

    def _stage_look(self, view: PublishedView, look: Look, image: Image) -> None:
        known = self._known[view.name].get(look.record_key)
        pseudonym = known.pseudonym if known else pseudonym_of(view.keys.pseudonym, look.record_key)
        partition = partition_of(pseudonym.encode(), view.view.partitions)
        stream = self.streams[view.name, partition]
        if stream.stopped is not None:
            # Nothing is appended to a log that is not ours; should it go on, a sweep tells what is left out here.
            return
        shown = view_image(view, pseudonym, image)
        trouble: PoisonMessageError | None = None
        match decide(known, stream.epoch, shown, look.origin):
            case Skip():
                return
            case Seen():
                self._note_seen(view, look, known, shown)
                return
            case Unpublishable(version=version, trouble=trouble):
                pass
            case Publish(op=Operation.DELETE, version=version) if not self._may_go(view, look):
                self._list(view, look, version, HELD, "so many records are gone at once that a person shall decide")
                self.held_deletes += 1
                return
            case Publish(version=version) as publish:
                trouble = self._append(stream, look, self._event(view, stream, look, shown, pseudonym, publish))
        state, digest = _after(view, pseudonym, version, shown, is_kept_back=trouble is not None)
        if trouble is not None:
            self._park(view, stream, look, version, trouble)
        elif self._gate.reason(view.name, look.record_key) is not None:
            self._published_again.append((view.name, look.record_key))
        stream.move(from_hex(known.digest) if known and known.epoch == stream.epoch and known.digest else None, digest)
        entry = Published(
            record_key=look.record_key,
            pseudonym=pseudonym,
            partition=partition,
            epoch=stream.epoch,
            version=version,
            content=shown.content,
            sequence=stream.staged_sequence,
            digest=None if digest is None else to_hex(digest),
            state=state,
        )
        self._known[view.name][look.record_key] = self._changed[view.name][look.record_key] = entry

    def _may_go(self, view: PublishedView, look: Look) -> bool:
        records = sum(stream.count for (name, _), stream in self.streams.items() if name == view.name)
        return self._gate.admits(
            view.name,
            look.record_key,
            records=records,
            is_counted=look.origin is not Origin.SNAPSHOT,
            now_ms=self._now,
        )

    def _note_seen(self, view: PublishedView, look: Look, known: Published | None, shown: ViewImage) -> None:
        if known and known.content != shown.content:
            known.content = shown.content
            self._changed[view.name][look.record_key] = known
        if self._gate.reason(view.name, look.record_key) in (HELD, RELEASED):
            # It was gone, and is back before anybody was told.
            self._published_again.append((view.name, look.record_key))

    def _event(
        self, view: PublishedView, stream: Stream, look: Look, shown: ViewImage, pseudonym: str, publish: Publish
    ) -> ChangeEvent:
        return ChangeEvent(
            op=publish.op,
            department=self._department,
            record_type=view.view.record_type,
            view=view.name,
            # The authority's own key stays at home.
            record_key=pseudonym,
            epoch=stream.epoch,
            version=publish.version,
            sequence=stream.staged_sequence + 1,
            origin=publish.origin,
            committed_at_ms=look.committed_at_ms,
            published_at_ms=self._now,
            after=shown.fields,
        )

    def _append(self, stream: Stream, look: Look, event: ChangeEvent) -> PoisonMessageError | None:
        """Appends an event to its stream, or gives the reason why it cannot be published."""
        try:
            payload = self._encoded(event)
        except PoisonMessageError as error:
            return error
        self._push(stream, event.record_key, look.record_key, event.version, payload, look.committed_at_ms)
        return None

    def _encoded(self, event: ChangeEvent) -> bytes:
        payload = self._catalogue.encode(event.view, event)
        if len(payload) > self._limits.max_event_bytes:
            msg = f"the event has {len(payload)} bytes; at most {self._limits.max_event_bytes} are published"
            raise PoisonMessageError(msg, reason="too_large", view=event.view)
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

    def _park(self, view: PublishedView, stream: Stream, look: Look, version: int, trouble: PoisonMessageError) -> None:
        # The sum has moved although no event tells of it, so a marker takes a sequence: no two sums stand at one place.
        self._append_marker(stream)
        self._list(view, look, version, str(trouble.facts.get("reason", "cannot_publish")), str(trouble))

    def _list(self, view: PublishedView, look: Look, version: int, reason: str, detail: str) -> None:
        self.unpublished[view.name, look.record_key] = {
            "view": view.name,
            "record_key": look.record_key,
            "version": version,
            "reason": reason,
            "detail": detail,
            "at_ms": self._now,
        }

    def _end_batch(self) -> None:
        last: dict[StreamId, StagedEvent] = {event.stream_id: event for event in self.events}
        for stream_id, event in last.items():
            stream = self.streams[stream_id]
            event.ends_batch = True
            if stream.complete:
                event.mark_sum, event.mark_count = to_hex(stream.sum), stream.count


def _after(
    view: PublishedView, pseudonym: str, version: int, shown: ViewImage, *, is_kept_back: bool
) -> tuple[RecordState, int | None]:
    """Gives how a record stands now, and what it adds to the view's sum."""
    if is_kept_back:
        return RecordState.UNPUBLISHED, unpublished_element(view, pseudonym, version)
    return (RecordState.DELETED if shown.digest is None else RecordState.LIVE), shown.digest


def _refused(views: Sequence[PublishedView], streams: Mapping[StreamId, Stream]) -> dict[StreamId, str]:
    """Gives the streams whose epoch was begun with other settings than ours, each with its sentence."""
    by_name = {view.name: view for view in views}
    found = {stream_id: why_refused(stream, by_name[stream.view]) for stream_id, stream in streams.items()}
    return {stream_id: why for stream_id, why in found.items() if why is not None}
