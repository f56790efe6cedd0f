"""The applier: one department's subscribed views, applied to its own tables until it is told to stop."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from tellonce.apply.answers import answer_inquiry
from tellonce.apply.repair_orders import RepairOrders
from tellonce.apply.streams import StreamApplier
from tellonce.apply.subscription import SubscribedView
from tellonce.apply.sweep import sweep_rows, sweep_stream
from tellonce.apply.transaction import Applied, PositionMovedError, attest_anew, retry_parked
from tellonce.avro.catalogue import Catalogue
from tellonce.control.channel import Channel
from tellonce.control.messages import Attestation, Inquiry
from tellonce.kafka.group import GroupReader, ReadMessage, Start
from tellonce.observability.messages import message_by_itself
from tellonce.storage.subscriber.department import DepartmentStore, StreamId
from tellonce.storage.subscriber.entries import StreamRow
from tellonce.topology.topics import RECONCILER

__all__ = ["Applier", "ApplierSettings"]

_log = structlog.get_logger()

_RETRY_SECONDS = 1.0
_CHUNK_SECONDS = 0.2
_BEAT_SECONDS = 300.0
"""What a stream holds is attested anew so often, so that an attestation that is withheld is missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplierSettings:
    """How an applier works. After a whole sweep it rests for `sweep_interval_seconds`."""

    department: str
    sweep_interval_seconds: float


class Applier:
    """Applies, retries, attests, answers and sweeps, one thing at a time. Not thread-safe."""

    def __init__(  # noqa: PLR0913 - each is a part of the world that it works with
        self,
        settings: ApplierSettings,
        store: DepartmentStore,
        views: Sequence[SubscribedView],
        catalogue: Catalogue,
        make_reader: Callable[["Applier"], GroupReader],
        channel: Channel,
        *,
        on_applied: Callable[[SubscribedView, Applied], None] = lambda _view, _applied: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make_reader` gives the reader, with this applier's `start_of`, `forget` and `stop_reading` as callbacks."""
        self._settings = settings
        self._views = {view.view.topic: view for view in views}
        self._by_name = {view.name: view for view in views}
        self._catalogue = catalogue
        self._channel = channel
        channel.listen(Inquiry, (RECONCILER,), "now")
        self._repairs = RepairOrders(
            settings.department, store, {view.name: view.view for view in views}, channel, monotonic=monotonic
        )
        self._on_applied = on_applied
        self._monotonic = monotonic
        self._streams: dict[StreamId, StreamApplier] = {}
        self._retried_at = self._swept_at = self._chunk_at = float("-inf")
        self._attested_at = monotonic()
        self._sweeping: list[Callable[[], bool]] = []
        self._has_nothing_due = False
        self._is_paused = False
        self.sweeps = 0
        """How many whole sweeps it has finished."""
        self._log = _log.bind(department=settings.department)
        self._reader = make_reader(self)

    def start_of(self, partition: StreamId) -> Start:
        """Gives where the database says that a partition is to be read from, and repeats its newest attestation."""
        topic, number = partition
        row = self._views[topic].store.stream(number)
        self._streams[partition] = StreamApplier(self._views[topic], self._catalogue, row)
        self._repeat(row)
        if row.stopped is not None:
            self._views[topic].store.stop(number, None)
        return row.position.offset, row.position.leader_epoch

    def forget(self, partition: StreamId) -> None:
        """Drops what is in hand of a partition that was taken away."""
        self._streams.pop(partition, None)

    def stop_reading(self, partition: StreamId, sentence: str) -> None:
        """Stops one stream, whose log no longer holds the place that the database has reached."""
        topic, number = partition
        self._views[topic].store.stop(number, sentence)
        self._streams.pop(partition, None)
        self._log.error("stream_stopped", view=self._views[topic].name, partition=number, why=sentence)

    def turn(self) -> bool:
        """Does what there is to do once, and tells whether there was anything.

        Raises:
            RetryableError: database or broker is away; what was in hand is kept and tried again.
        """
        if self._is_paused:
            # What was said before the trouble may never have arrived, and a quiet stream says nothing new.
            for topic, number in self._streams:
                self._repeat(self._views[topic].store.stream(number))
            self._repairs.listen()
        self._take(self._reader.poll())
        did = self._apply()
        did |= self._answer()
        did |= self._repairs.take_requests()
        did |= self._retry()
        # Under a load that never ends the sweep still has its turn, five chunks a second.
        if not did or self._monotonic() - self._chunk_at >= _CHUNK_SECONDS:
            self._chunk_at = self._monotonic()
            did |= self._sweep()
        self._attest_anew()
        self._repairs.give([(self._views[topic].name, number) for topic, number in self._streams])
        self._channel.flush()
        if self._is_paused:
            self._is_paused = False
            self._reader.resume()
        return did

    def is_done(self) -> bool:
        """Tells whether every assigned partition was read and applied to its end, and a sweep has been through."""
        return (
            self._reader.is_at_end()
            and not any(stream.waiting for stream in self._streams.values())
            and not self._sweeping
            and self.sweeps > 0
            and self._has_nothing_due
            and self._channel.has_caught_up
        )

    @property
    def is_ready(self) -> bool:
        """Whether streams are assigned whose places are known, and nothing it needs was away in the last turn."""
        return bool(self._streams) and not self._is_paused

    def lag(self) -> Mapping[str, int | None]:
        """Gives, per view, how many messages its streams here hold that were not applied; None where unknown.

        Where none of a view's streams is this applier's, nothing is known.
        """
        found: dict[str, int | None] = {}
        for partition, stream in self._streams.items():
            end = self._reader.high_watermark(partition)
            view = self._views[partition[0]].name
            so_far = found.get(view, 0)
            # Below 0 librdkafka says that no fetch has told it yet.
            is_known = end >= 0 and so_far is not None
            found[view] = so_far + max(0, end - stream.position.offset) if is_known and so_far is not None else None
        return {view: found.get(view) for view in self._by_name}

    def pause(self) -> None:
        """Fetches nothing more, but keeps the place in the group, until a turn has gone well again."""
        self._is_paused = True
        self._reader.pause()

    def close(self) -> None:
        """Leaves the group; what was in hand is read again next time."""
        self._reader.close()

    def _repeat(self, row: StreamRow) -> None:
        if row.attestation is not None:
            self._channel.say(Attestation.model_validate_json(row.attestation))

    def _take(self, messages: Mapping[StreamId, Sequence[ReadMessage]]) -> None:
        for partition, some in messages.items():
            if partition in self._streams:
                self._streams[partition].add(some)

    def _apply(self) -> bool:
        offsets: dict[StreamId, int] = {}
        for partition, stream in list(self._streams.items()):
            view = self._views[partition[0]]
            try:
                applied = stream.apply_next(partial(self._reader.high_watermark, partition))
            except PositionMovedError:
                self._log.warning("position_moved", view=view.name, partition=partition[1])
                self._reader.seek(partition, self.start_of(partition))
                continue
            if applied is not None:
                self._say(view, partition[1], applied)
                self._has_nothing_due = False
                offsets[partition] = stream.position.offset
        self._reader.commit(offsets)
        return bool(offsets)

    def _say(self, view: SubscribedView, partition: int, applied: Applied) -> None:
        if applied.attestation is not None:
            self._channel.say(applied.attestation)
        if any(applied.outcomes.values()):
            counts = {name: count for name, count in applied.outcomes.items() if count}
            self._log.info(
                "changes_applied", view=view.name, partition=partition, parked_by_reason=applied.parked, **counts
            )
        self._on_applied(view, applied)

    def _answer(self) -> bool:
        inquiries = self._channel.hear(Inquiry)
        for inquiry in (heard.message for heard in inquiries):
            view = self._by_name.get(inquiry.view)
            if view is None or self._settings.department not in inquiry.departments:
                continue
            with message_by_itself("Inquiry", inquiry=inquiry.inquiry_id):
                answer = answer_inquiry(view, inquiry)
                if answer is not None:
                    self._channel.say(answer)
        return bool(inquiries)

    def _retry(self) -> bool:
        now = self._monotonic()
        if not self._streams or now - self._retried_at < _RETRY_SECONDS:
            return False
        self._retried_at = now
        did = False
        self._has_nothing_due = True
        for view in self._by_name.values():
            with view.store.ledger() as ledger:
                waiting = ledger.due(view.view.partitions)
            mine = {number: some for number, some in waiting.items() if (view.view.topic, number) in self._streams}
            if not mine:
                continue
            did, self._has_nothing_due = True, False
            for number, applied in retry_parked(view, self._catalogue, mine).items():
                self._say(view, number, applied)
                if not applied.parked:
                    self._retried_at = float("-inf")
        return did

    def _attest_anew(self) -> None:
        if self._monotonic() - self._attested_at < _BEAT_SECONDS:
            return
        for topic, number in self._streams:
            attestation = attest_anew(self._views[topic], number)
            if attestation is not None:
                self._channel.say(attestation)
        self._attested_at = self._monotonic()

    def _sweep(self) -> bool:
        if not self._sweeping:
            if not self._streams:
                # A sweep of no stream would count as one.
                return False
            if self._monotonic() - self._swept_at < self._settings.sweep_interval_seconds:
                return False
            self._sweeping = [
                *(partial(self._sweep_stream, self._views[topic], number) for topic, number in self._streams),
                *(partial(self._sweep_rows, view) for view in self._by_name.values()),
            ]
        if self._sweeping and self._sweeping[0]():
            self._sweeping.pop(0)
            if not self._sweeping:
                self._swept_at = self._monotonic()
                self.sweeps += 1
        return True

    def _sweep_stream(self, view: SubscribedView, partition: int) -> bool:
        swept = sweep_stream(view, partition)
        if swept.attestation is not None:
            self._channel.say(swept.attestation)
        if swept.changed:
            self._log.warning("rows_changed_behind_applier", view=view.name, partition=partition, records=swept.changed)
        return swept.finished

    def _sweep_rows(self, view: SubscribedView) -> bool:
        swept = sweep_rows(view)
        if swept.attestation is not None:
            self._channel.say(swept.attestation)
        if swept.found:
            self._repairs.want(view.view, swept.found)
            self._log.info("rows_turned_up", view=view.name, records=len(swept.found))
        return swept.finished
