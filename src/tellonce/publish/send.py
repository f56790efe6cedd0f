"""Sending staged events: in order, with the same sequences each time, each stream with its own trouble.

librdkafka drops a message that it cannot deliver and goes on with the next, so after any failure nothing more of that
stream is handed over, the producer is discarded with all it holds, and the stream is sent again from its first
unacknowledged event.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tellonce.model.position import HEADER_NAME, Header
from tellonce.model.seal import StreamSeal
from tellonce.publish.staged import StagedEvent
from tellonce.publish.streams import StreamId

__all__ = ["SendResult", "Sender"]

_FLAG_INTERVAL_SECONDS = 1.0
_POLL_EVERY = 500
_FLUSH_SECONDS = 0.5
"""Between slices of waiting so long the lease is renewed, if it is time."""


@dataclass(slots=True, kw_only=True)
class SendResult:
    """What became of a run of staged events.

    `acknowledged` counts, per stream, how many of its events from the first on are in the log.
    `flagged` are those of them at which a department may attest.
    `troubles` holds the error of each stream that did not get to its end, and `trouble` one that no stream is to blame
    for.
    """

    acknowledged: dict[StreamId, int] = field(default_factory=dict[StreamId, int])
    flagged: list[StagedEvent] = field(default_factory=list[StagedEvent])
    troubles: dict[StreamId, KafkaError] = field(default_factory=dict[StreamId, KafkaError])
    trouble: KafkaError | None = None


@dataclass(slots=True)
class _Attempt:
    events: list[StagedEvent]
    flags: list[bool]
    acked: list[bool]


_Failures = dict[StreamId, tuple[int, KafkaError]]
"""The first event of each stream that failed, by its index, and how."""


class Sender:
    """Sends the staged events of all streams of one relay. Not thread-safe."""

    def __init__(
        self,
        make_producer: Callable[[], Producer],
        topics: Mapping[str, str],
        seals: Mapping[StreamId, StreamSeal],
        clock: Callable[[], float],
        message_timeout_seconds: float,
    ) -> None:
        """`topics` gives the topic of each view, `seals` what seals a stream; `clock` is monotonic, in seconds."""
        self._make_producer = make_producer
        self._topics = topics
        self._seals = seals
        self._clock = clock
        self._timeout_seconds = message_timeout_seconds
        self._producer: Producer | None = None
        self._attempted: dict[StreamId, tuple[int, int]] = {}
        self._flagged_at: dict[StreamId, float] = {}
        self.owed: set[StreamId] = set()
        """Streams whose newest event is not flagged, or does not settle all before it: a marker has to follow.

        An event settles what was acknowledged when its batch was sent. Of a batch of several the last thus leaves the
        others open, and whoever reads the log after compaction took one of them would wait for it for ever.
        """

    def assume_attempted(self, stream_id: StreamId, epoch: int, sequence: int) -> None:
        """Takes all that was staged of a stream for what may be in the log already, as after a crash."""
        self._attempted[stream_id] = max(self._attempted.get(stream_id, (0, 0)), (epoch, sequence))

    def owed_now(self) -> frozenset[StreamId]:
        """Gives the owed streams whose last flag is at least a second old."""
        now = self._clock()
        return frozenset(s for s in self.owed if now - self._flagged_at.get(s, float("-inf")) >= _FLAG_INTERVAL_SECONDS)

    def send(
        self, events: Sequence[StagedEvent], renew: Callable[[], None], *, more_waiting: bool = False
    ) -> SendResult:
        """Sends events, waits until each was acknowledged or failed, and tells how far each stream got.

        `renew` is called before each event is handed over and again while it waits: it keeps the lease, so that no send
        outlasts it. Where it raises, the producer must be discarded.
        With `more_waiting` the last event of a stream need not be flagged, if another was less than a second ago.
        """
        attempts = self._plan(events, more_waiting=more_waiting)
        result = SendResult()
        producer = self._producer = self._producer or self._make_producer()
        failures: _Failures = {}
        try:
            self._produce(producer, attempts, failures, renew)
            self._flush(producer, renew)
        except (KafkaException, SystemError) as failure:
            # A fatal error inside flush comes as a SystemError with the KafkaException as its cause.
            cause = failure if isinstance(failure, KafkaException) else failure.__cause__ or failure.__context__
            if not isinstance(cause, KafkaException):
                raise
            result.trouble = cause.args[0]
        for stream_id, attempt in attempts.items():
            self._conclude(stream_id, attempt, failures, result)
        if result.troubles or result.trouble:
            self.discard_producer()
        return result

    def _conclude(self, stream_id: StreamId, attempt: _Attempt, failures: _Failures, result: SendResult) -> None:
        count = attempt.acked.index(False) if False in attempt.acked else len(attempt.acked)
        result.acknowledged[stream_id] = count
        result.flagged += [e for e, f in zip(attempt.events[:count], attempt.flags, strict=False) if f]
        if count and attempt.flags[count - 1] and len(attempt.events) == 1:
            self.owed.discard(stream_id)
        elif count:
            self.owed.add(stream_id)
        if count < len(attempt.events):
            # Of what was never reported nothing is known but that its time is over.
            silence = KafkaError(KafkaError._MSG_TIMED_OUT)  # noqa: SLF001 - librdkafka's own errors are named so
            result.troubles[stream_id] = failures.get(stream_id, (0, silence))[1]

    def _flush(self, producer: Producer, renew: Callable[[], None]) -> None:
        deadline = self._clock() + self._timeout_seconds + 5
        while producer.flush(_FLUSH_SECONDS) and self._clock() < deadline:
            renew()

    def discard_producer(self) -> None:
        """Drops the producer with everything it still holds."""
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)
            self._producer.poll(0)
            self._producer = None

    def _plan(self, events: Sequence[StagedEvent], *, more_waiting: bool) -> dict[StreamId, _Attempt]:
        now = self._clock()
        attempts: dict[StreamId, _Attempt] = {}
        last = {event.stream_id: event for event in events}
        for event in events:
            attempt = attempts.setdefault(event.stream_id, _Attempt([], [], []))
            # Rule 2: no flag where a later sequence may be in the log already.
            is_newest = (event.epoch, event.sequence) >= self._attempted.get(event.stream_id, (0, 0))
            is_due = now - self._flagged_at.get(event.stream_id, float("-inf")) >= _FLAG_INTERVAL_SECONDS
            is_last = last[event.stream_id] is event and not more_waiting
            flagged = event.ends_batch and is_newest and (is_due or is_last)
            if flagged:
                self._flagged_at[event.stream_id] = now
            self.assume_attempted(event.stream_id, event.epoch, event.sequence)
            attempt.events.append(event)
            attempt.flags.append(flagged)
            attempt.acked.append(False)
        return attempts

    def _produce(
        self,
        producer: Producer,
        attempts: Mapping[StreamId, _Attempt],
        failures: _Failures,
        renew: Callable[[], None],
    ) -> None:
        produced = 0
        for stream_id, attempt in attempts.items():
            settled = attempt.events[0].sequence - 1
            for index, event in enumerate(attempt.events):
                if stream_id in failures:
                    break
                header = Header(
                    epoch=event.epoch,
                    sequence=event.sequence,
                    version=event.version,
                    settled=settled if event.epoch == attempt.events[0].epoch else 0,
                    flagged=attempt.flags[index],
                )
                report = partial(_note_delivery, attempt.acked, failures, stream_id, index)
                renew()
                self._hand_over(producer, event, header, report)
                produced += 1
                if produced % _POLL_EVERY == 0:
                    producer.poll(0)

    def _hand_over(
        self,
        producer: Producer,
        event: StagedEvent,
        header: Header,
        report: Callable[[KafkaError | None, Message], None],
    ) -> None:
        key = event.kafka_key.encode()
        sealed = self._seals[event.stream_id].header(header, key, event.payload)
        while True:
            try:
                producer.produce(
                    self._topics[event.view],
                    partition=event.partition,
                    key=key,
                    value=event.payload,
                    headers=[(HEADER_NAME, sealed)],
                    on_delivery=report,
                )
            except BufferError:
                producer.poll(0.1)
            except KafkaException as error:
                report(error.args[0], None)  # type: ignore[arg-type]  # refused before it was queued: there is no message
                return
            else:
                return


def _note_delivery(
    acked: list[bool],
    failures: _Failures,
    stream_id: StreamId,
    index: int,
    error: KafkaError | None,
    _message: Message | None,
) -> None:
    # Runs inside librdkafka's callback: it must never raise, or the reports behind it are hidden.
    if error is None:
        acked[index] = True
    elif stream_id not in failures or index < failures[stream_id][0]:
        failures[stream_id] = (index, error)
