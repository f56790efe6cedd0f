"""One turn of publishing: stage, send, confirm, each provable under the lease."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Engine, update

from tellonce.avro.catalogue import Catalogue
from tellonce.control.messages import Mark
from tellonce.model.errors import InvariantError, RetryableError
from tellonce.publish.confirm import confirm, load_staged, newest_mark, replace_refused
from tellonce.publish.log_check import LogReader, check_stream
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

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.changes or self.snapshot_records or self.published or self.unpublished)


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
        self._unsent: list[StagedEvent] = []
        self._is_full = False
        self._stopped: set[StreamId] = set()

    @property
    def owes_markers(self) -> bool:
        """Whether a stream's newest event leaves something open, so that a marker has to follow."""
        return bool(self._sender.owed)

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
        ends = read_log_ends(list(streams))
        self._stopped.clear()
        with writing(self._engine) as connection:
            hold_lease(connection, lease)
            for stream_id, stream in streams.items():
                sentence = check_stream(stream, self._views[stream.view], ends[stream_id])
                self._set_stopped(connection, stream, sentence)
                newest = ends[stream_id].newest
                if sentence is None and newest is not None and not newest.settles_all:
                    self._sender.owed.add(stream_id)
            self._unsent = load_staged(connection, list(self._views))
        self._sender.assume_attempted(self._unsent)
        self._lease, self._renewed_at = lease, self._monotonic()
        _log.info("lease_taken", department=settings.department, fence=lease.fence, staged=len(self._unsent))
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
        changes = snapshot_records = unpublished = 0
        if not self._unsent:
            owed = self._sender.owed_now()
            with writing(self._engine) as connection:
                hold_lease(connection, lease)
                staged = self._stager.stage(connection, owed)
            self._renewed_at = self._monotonic()
            self._unsent, self._stopped = staged.events, staged.stopped
            self._is_full = staged.is_full
            changes, snapshot_records, unpublished = staged.changes, staged.snapshot_records, staged.unpublished
        published: Mapping[str, int] = {}
        marks: Sequence[Mark] = ()
        if self._unsent:
            published, marks = self._send()
        return Turn(
            changes=changes,
            snapshot_records=snapshot_records,
            published=published,
            unpublished=unpublished,
            marks=marks,
        )

    def forget(self) -> None:
        """Drops the producer and what is in hand, as after any doubt about the lease or the database."""
        self._sender.discard_producer()
        self._unsent = []
        self._lease = None

    def release(self) -> None:
        """Gives the lease back, so that a successor need not wait."""
        if self._lease is not None:
            with writing(self._engine) as connection:
                release_lease(connection, self._lease)
        self.forget()

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

    def _send(self) -> tuple[Mapping[str, int], Sequence[Mark]]:
        self._renew_if_old()
        events = [event for event in self._unsent if event.stream_id not in self._stopped]
        result = self._sender.send(events, more_waiting=self._is_full)
        acknowledged = _acknowledged(events, result)
        with writing(self._engine) as connection:
            hold_lease(connection, self._held_lease())
            confirm(connection, acknowledged)
            for event in result.refused:
                why = str(result.trouble.name()) if result.trouble else "refused"
                replace_refused(connection, self._settings.department, self._catalogue, event, why)
            now = clock_ms(connection)
            left = result.trouble is not None
            self._unsent = load_staged(connection, list(self._views)) if left else []
        self._renewed_at = self._monotonic()
        if result.trouble is not None and not result.refused:
            name = result.trouble.name()
            msg = f"expected the broker to take events, found {name}; they stay staged and are sent again"
            raise RetryableError(msg, error=name, staged=len(self._unsent))
        published: dict[str, int] = {}
        for (view, _), some in acknowledged.items():
            published[view] = published.get(view, 0) + len(some)
        return published, [_mark(self._settings.department, event, now) for event in result.flagged if event.mark_sum]

    def _set_stopped(self, connection: Connection, stream: Stream, sentence: str | None) -> None:
        if sentence is not None:
            _log.error("stream_stopped", department=self._settings.department, view=stream.view, why=sentence)
            self._stopped.add(stream.stream_id)
        if sentence != stream.stopped:
            table = own_tables(connection.dialect.name).stream
            of_stream = (table.c.view == stream.view, table.c.partition == stream.partition)
            connection.execute(update(table).where(*of_stream).values(stopped=sentence))
            stream.stopped = sentence


def _acknowledged(events: Sequence[StagedEvent], result: SendResult) -> dict[StreamId, list[StagedEvent]]:
    by_stream: dict[StreamId, list[StagedEvent]] = {}
    for event in events:
        by_stream.setdefault(event.stream_id, []).append(event)
    return {stream: some[: result.acknowledged.get(stream, 0)] for stream, some in by_stream.items()}


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
