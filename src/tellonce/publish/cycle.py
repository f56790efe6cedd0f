"""One turn of publishing: stage, send, confirm, each provable under the lease."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Connection, Engine, update

from tellonce.avro.catalogue import Catalogue
from tellonce.control.messages import Mark
from tellonce.model.errors import InvariantError, RetryableError
from tellonce.publish.confirm import confirm, count_staged, load_staged, newest_mark, replace_refused
from tellonce.publish.log_check import Closed, LogEnd, LogReader, check_stream
from tellonce.publish.queues import Queues, Reach, by_stream, reach_of, trouble_sentence
from tellonce.publish.send import Sender, SendResult
from tellonce.publish.stage import Stager
from tellonce.publish.staged import StagedEvent
from tellonce.publish.streams import PublishedView, Stream, StreamId, load_streams
from tellonce.storage.database import clock_ms, reading, writing
from tellonce.storage.lease import Lease, LeaseLostError, hold_lease, release_lease, take_lease
from tellonce.storage.tables import own_tables

__all__ = ["CycleSettings", "PublishingCycle", "Turn"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleSettings:
    """Who publishes, and the silence after which another may.

    `lease_seconds` exceeds `message_timeout_seconds`, as `KafkaSettings.lease_seconds` says why.
    """

    department: str
    holder: str
    lease_seconds: float
    message_timeout_seconds: float

    def __post_init__(self) -> None:
        """Refuses a lease that could end while a message is on its way."""
        if self.lease_seconds <= self.message_timeout_seconds:
            msg = (
                f"expected a lease longer than a message's {self.message_timeout_seconds:g} s, "
                f"found {self.lease_seconds:g} s"
            )
            raise InvariantError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn did: changes and snapshot records staged, events confirmed, records parked, marks to be said."""

    changes: int = 0
    snapshot_records: int = 0
    published: Mapping[str, int]
    unpublished: int = 0
    marks: Sequence[Mark] = ()
    is_behind: bool = False
    """Whether the staging table holds more that can be sent now."""
    to_sweep: Sequence[str] = ()
    """The record types of which every record is to be looked at now."""

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.changes or self.snapshot_records or self.published or self.unpublished or self.is_behind)


class PublishingCycle:
    """Publishes what waits in one authority's database. Not thread-safe."""

    def __init__(  # noqa: PLR0913 - each is a part of the world that it works with
        self,
        settings: CycleSettings,
        engine: Engine,
        sender: Sender,
        stager: Stager,
        views: Sequence[PublishedView],
        catalogue: Catalogue,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._sender = sender
        self._stager = stager
        self._views = {view.name: view for view in views}
        self._catalogue = catalogue
        self._monotonic = monotonic
        self._lease: Lease | None = None
        self._renewed_at = 0.0
        self._queues = Queues()
        self._is_full = False
        self._stopped: set[StreamId] = set()
        self._told_paused: dict[str, str] = {}
        self._resumed: set[str] = set()
        self._read_log_ends: LogReader | None = None

    @property
    def owes_markers(self) -> bool:
        """Whether a stream's newest event leaves something open, so that a marker has to follow."""
        return bool(self._sender.owed)

    @property
    def troubled(self) -> frozenset[StreamId]:
        """The streams that wait for their topic, or have waited and are only being tried again."""
        return self._queues.troubled

    @property
    def is_full(self) -> bool:
        """Whether the last turn took as much as it may, so that more waits."""
        return self._is_full

    @property
    def paused(self) -> Mapping[str, str]:
        """The record types that are not as declared, and why; the others go on."""
        return self._stager.paused

    def hold_back(self, record_type: str, why: str) -> None:
        """Pauses a record type that was found not to be as declared; it goes on when its table can be read again."""
        self._stager.paused[record_type] = why
        self._tell_paused()

    @property
    def lease(self) -> Lease | None:
        """The lease, while it is held."""
        return self._lease

    def take_over(self, read_log_ends: LogReader) -> bool:
        """Takes the lease and compares each stream with its log; tells False while another relay holds the lease.

        A stream whose log is not this database's is stopped, with a
        sentence in its row that says which command mends it; the others go on.
        """
        settings = self._settings
        with writing(self._engine) as connection:
            lease = take_lease(
                connection, f"relay:{settings.department}", settings.holder, int(settings.lease_seconds * 1000)
            )
            if lease is None:
                return False
            streams = load_streams(connection, list(self._views), lock=False)
        self._lease, self._renewed_at = lease, self._monotonic()
        self._read_log_ends = read_log_ends
        ends = read_log_ends(list(streams), self._renew_if_old)
        self._stopped.clear()
        with writing(self._engine) as connection:
            hold_lease(connection, lease)
            staged = count_staged(connection, list(self._views))
            self._queues.behind = dict.fromkeys(staged)
            for stream_id, stream in streams.items():
                self._sender.assume_attempted(stream_id, stream.epoch, stream.staged_sequence)
                self._judge(connection, stream, ends[stream_id])
        self._renewed_at = self._monotonic()
        _log.info("lease_taken", department=settings.department, fence=lease.fence, staged=sum(staged.values()))
        return True

    def newest_marks(self) -> Sequence[Mark]:
        """Gives each running stream's newest mark, as it is now."""
        with reading(self._engine) as connection:
            streams = load_streams(connection, list(self._views), lock=False)
            now = clock_ms(connection)
        running = (stream for stream in streams.values() if stream.stopped is None)
        return [mark for stream in running if (mark := newest_mark(self._settings.department, stream, now))]

    def turn(self) -> Turn:
        """Stages, sends and confirms once.

        Raises:
            LeaseLostError: another relay took over; what was in hand stays staged for it.
            RetryableError: database or broker is away; everything stays where it was.
        """
        lease = self._held_lease()
        self._look_again()
        owed = frozenset(s for s in self._sender.owed_now() if self._is_open(s) and s not in self._queues.behind)
        with writing(self._engine) as connection:
            hold_lease(connection, lease)
            staged = self._stager.stage(connection, owed)
            self._is_full = staged.is_full
            for stream_id in staged.refused.keys() - staged.stopped:
                self._stop(connection, stream_id, staged.refused[stream_id])
            self._stopped = staged.stopped | staged.refused.keys()
            events = self._next(connection, staged.events)
        resumed, self._resumed = self._resumed, set()
        self._tell_paused()
        if staged.held_deletes:
            _log.error("deletes_held", department=self._settings.department, records=staged.held_deletes)
        self._renewed_at = self._monotonic()
        published: Mapping[str, int] = {}
        marks: Sequence[Mark] = ()
        if events:
            published, marks = self._send(events)
        return Turn(
            changes=staged.changes,
            snapshot_records=staged.snapshot_records,
            published=published,
            unpublished=staged.unpublished,
            marks=marks,
            is_behind=bool(self._queues.behind),
            to_sweep=[*staged.to_sweep, *resumed],
        )

    def wait(self, stream_id: StreamId, why: str) -> None:
        """Lets a stream wait for its topic, and says so once."""
        if self._queues.wait(stream_id, why, self._monotonic()):
            view, partition = stream_id
            _log.error("stream_waiting", department=self._settings.department, view=view, partition=partition, why=why)

    def owe(self, stream_ids: Sequence[StreamId]) -> bool:
        """Has a marker follow in these streams where they can take one, and tells whether that is news of any."""
        fresh = {stream_id for stream_id in stream_ids if self._is_open(stream_id)} - self._sender.owed
        self._sender.owed |= fresh
        return bool(fresh)

    def forget(self) -> None:
        """Drops the producer and what is in hand, as after any doubt about the lease or the database."""
        self._sender.discard_producer()
        self._queues.let_go()
        self._lease = None

    def release(self) -> None:
        """Gives the lease back, so that a successor need not wait."""
        if self._lease is not None:
            with writing(self._engine) as connection:
                release_lease(connection, self._lease)
        self.forget()

    def _tell_paused(self) -> None:
        now, before = dict(self._stager.paused), self._told_paused
        department = self._settings.department
        for record_type, why in now.items():
            if before.get(record_type) != why:
                _log.error("record_type_paused", department=department, record_type=record_type, why=why)
        for record_type in before.keys() - now.keys():
            _log.info("record_type_resumed", department=department, record_type=record_type)
        self._told_paused = now

    def _held_lease(self) -> Lease:
        if self._lease is None:
            msg = "expected to hold the lease, found that it was not taken"
            raise LeaseLostError(msg)
        return self._lease

    def _renew_if_old(self) -> None:
        # Nothing is handed to the producer unless its last try ends before a successor can take the lease.
        silence = self._monotonic() - self._renewed_at
        if silence > self._settings.lease_seconds - self._settings.message_timeout_seconds:
            with writing(self._engine) as connection:
                hold_lease(connection, self._held_lease())
            self._renewed_at = self._monotonic()

    def _is_open(self, stream_id: StreamId) -> bool:
        return stream_id not in self._stopped and not self._queues.is_waiting(stream_id)

    def _look_again(self) -> None:
        """Looks whether what the due streams waited for is over."""
        due = self._queues.due(self._monotonic())
        if not due or self._read_log_ends is None:
            return
        # A topic that was made again is another log: it must show what the broker acknowledged, as at the start.
        ends = self._read_log_ends(due, self._renew_if_old)
        with writing(self._engine) as connection:
            hold_lease(connection, self._held_lease())
            streams = load_streams(connection, sorted({view for view, _ in due}), lock=False)
            for stream_id in due:
                self._judge(connection, streams[stream_id], ends[stream_id])
        self._renewed_at = self._monotonic()

    def _judge(self, connection: Connection, stream: Stream, end: LogEnd | Closed) -> None:
        """Lets a stream go on, wait or stop, by what its log shows."""
        stream_id = stream.stream_id
        if isinstance(end, Closed):
            self.wait(stream_id, end.why)
            return
        sentence = check_stream(stream, self._views[stream.view], end)
        self._set_stopped(connection, stream, sentence)
        if sentence is not None:
            self._queues.recovered(stream_id)
            self._queues.behind.pop(stream_id, None)
            self._sender.owed.discard(stream_id)
            return
        self._queues.resume(stream_id)
        if end.newest is not None and not end.newest.settles_all:
            self._sender.owed.add(stream_id)

    def _next(self, connection: Connection, staged: Sequence[StagedEvent]) -> list[StagedEvent]:
        """Gives what is sent now: what was just staged where nothing of the stream waits before it, else that."""
        queues, events = self._queues, list[StagedEvent]()
        room = queues.limits.turn_bytes
        for stream_id, fresh in by_stream(staged).items():
            if stream_id in queues.behind or not self._is_open(stream_id):
                continue
            sizes = [len(event.payload) for event in fresh]
            count = queues.portion(stream_id, sizes, room)
            room = max(0, room - sum(sizes[:count]))
            events += fresh[:count]
            if count < len(fresh):
                queues.behind[stream_id] = None
        fresh_streams = {event.stream_id for event in events}
        for stream_id in [s for s in queues.behind if s not in fresh_streams]:
            if room <= 0:
                break
            del queues.behind[stream_id]
            if self._is_open(stream_id):
                loaded = self._load(connection, stream_id, room)
                room -= sum(len(event.payload) for event in loaded)
                events += loaded
        return events

    def _load(self, connection: Connection, stream_id: StreamId, room: int) -> list[StagedEvent]:
        fitting = partial(self._queues.portion, stream_id, room=room)
        loaded, are_all = load_staged(connection, stream_id, self._queues.limits.rows, fitting)
        if not are_all:
            # Behind the others now, so that each has its turn.
            self._queues.behind[stream_id] = None
        elif not loaded:
            self._say_recovered(stream_id)
        return loaded

    def _say_recovered(self, stream_id: StreamId) -> None:
        if self._queues.recovered(stream_id):
            view, partition = stream_id
            _log.info("stream_resumed", department=self._settings.department, view=view, partition=partition)

    def _send(self, events: Sequence[StagedEvent]) -> tuple[Mapping[str, int], Sequence[Mark]]:
        result = self._sender.send(events, self._renew_if_old, more_waiting=self._is_full)
        sent = by_stream(events)
        acknowledged = {stream_id: some[: result.acknowledged.get(stream_id, 0)] for stream_id, some in sent.items()}
        with writing(self._engine) as connection:
            hold_lease(connection, self._held_lease())
            confirm(connection, acknowledged)
            for event, why in self._note(sent, result):
                replace_refused(connection, self._settings.department, self._catalogue, event, why)
            now = clock_ms(connection)
        self._renewed_at = self._monotonic()
        if result.trouble is not None:
            name = result.trouble.name()
            msg = f"expected the broker to take events, found {name}; they stay staged and are sent again"
            raise RetryableError(msg, error=name, staged=len(events))
        published: dict[str, int] = {}
        for (view, _), some in acknowledged.items():
            if some:
                published[view] = published.get(view, 0) + len(some)
        return published, [_mark(self._settings.department, event, now) for event in result.flagged if event.mark_sum]

    def _note(
        self, sent: Mapping[StreamId, Sequence[StagedEvent]], result: SendResult
    ) -> Sequence[tuple[StagedEvent, str]]:
        """Notes how far each stream got, and gives the events that are to be parked."""
        reaches = reach_of(result.troubles, is_any_acknowledged=any(result.acknowledged.values()))
        refused: list[tuple[StagedEvent, str]] = []
        for stream_id, some in sent.items():
            count, reach = result.acknowledged.get(stream_id, 0), reaches.get(stream_id)
            if self._queues.note(stream_id, some, count, reach):
                if some[0].record_key is None:
                    # It is no record's fault: the topic takes nothing, not even what would stand in for the event.
                    reach = Reach.STREAM
                else:
                    refused.append((some[0], str(result.troubles[stream_id].name())))
            if count:
                self._say_recovered(stream_id)
            if reach is Reach.STREAM:
                view, partition = stream_id
                topic = self._views[view].view.topic
                self.wait(stream_id, trouble_sentence(topic, partition, result.troubles[stream_id]))
            elif reach is Reach.BROKER:
                result.trouble = result.trouble or result.troubles[stream_id]
        return refused

    def _set_stopped(self, connection: Connection, stream: Stream, sentence: str | None) -> None:
        if sentence is not None:
            self._stop(connection, stream.stream_id, sentence)
            self._stopped.add(stream.stream_id)
        elif stream.stopped is not None:
            _write_stopped(connection, stream.stream_id, None)
            # What changed while it stood still was left out.
            self._resumed.add(self._views[stream.view].view.record_type)
        stream.stopped = sentence

    def _stop(self, connection: Connection, stream_id: StreamId, sentence: str) -> None:
        _log.error("stream_stopped", department=self._settings.department, view=stream_id[0], why=sentence)
        _write_stopped(connection, stream_id, sentence)


def _write_stopped(connection: Connection, stream_id: StreamId, sentence: str | None) -> None:
    table = own_tables(connection.dialect.name).stream
    view, partition = stream_id
    connection.execute(
        update(table).where(table.c.view == view, table.c.partition == partition).values(stopped=sentence)
    )


def _mark(department: str, event: StagedEvent, at_ms: int) -> Mark:
    return Mark(
        view=event.view,
        partition=event.partition,
        department=department,
        epoch=event.epoch,
        sequence=event.sequence,
        sum=event.mark_sum or "",
        count=event.mark_count or 0,
        at_ms=at_ms,
    )
