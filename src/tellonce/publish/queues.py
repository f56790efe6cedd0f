"""A queue per stream: how much of each is sent next, what an error means to whom, and who waits until when.

Pure but for the memory it keeps: nothing is read, written or logged here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from confluent_kafka import KafkaError

from tellonce.kafka.errors import kafka_error
from tellonce.publish.staged import StagedEvent
from tellonce.publish.streams import StreamId

__all__ = ["Queues", "Reach", "SendLimits", "by_stream", "reach_of", "trouble_sentence"]

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

# The broker refuses a message set for what it is, and says so of each message in it.
_REFUSED = frozenset(
    {"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD", "INVALID_MSG", "INVALID_TIMESTAMP"}
)
_BROKER = frozenset(
    {
        "CLUSTER_AUTHORIZATION_FAILED",
        "SASL_AUTHENTICATION_FAILED",
        "_ALL_BROKERS_DOWN",
        "_AUTHENTICATION",
        "_CRIT_SYS_RESOURCE",
        "_DESTROY",
        "_FATAL",
        "_RESOLVE",
        "_SSL",
    }
)
# What a partition without a leader gives as well as a broker that is away: silence.
_SILENCE = frozenset(
    {
        "NETWORK_EXCEPTION",
        "REQUEST_TIMED_OUT",
        "_MSG_TIMED_OUT",
        "_PURGE_INFLIGHT",
        "_PURGE_QUEUE",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_TRANSPORT",
    }
)


class Reach(Enum):
    """Whom an error of sending concerns."""

    EVENT = auto()
    """One event of those that were sent together: sent alone, it is the one."""
    STREAM = auto()
    """The stream, or its whole topic; others go on."""
    BROKER = auto()
    """Every stream."""


def reach_of(errors: Mapping[StreamId, KafkaError], *, is_any_acknowledged: bool) -> dict[StreamId, Reach]:
    """Gives whom each stream's error concerns; `errors` are all those of one send.

    Silence is the broker's only where it answered nobody.
    """
    names = {error.name() for error in errors.values()}
    has_answered = is_any_acknowledged or bool(names - _SILENCE - _BROKER)

    def reach(error: KafkaError) -> Reach:
        name = error.name()
        if error.fatal() or name in _BROKER or (name in _SILENCE and not has_answered):
            return Reach.BROKER
        return Reach.EVENT if name in _REFUSED else Reach.STREAM

    return {stream_id: reach(error) for stream_id, error in errors.items()}


def trouble_sentence(topic: str, partition: int, error: KafkaError) -> str:
    """Gives the sentence that says why a stream waits, and what mends it."""
    return str(kafka_error(error, f"send to {topic}, partition {partition}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLimits:
    """How much is in hand at a time: of one stream, and of all.

    An event that is larger by itself goes alone, so every queue moves.
    """

    rows: int = 1_000
    stream_bytes: int = 8 * 1024 * 1024
    turn_bytes: int = 32 * 1024 * 1024

    def fitting(self, sizes: Iterable[int], *, most: int | None = None, room: int | None = None) -> int:
        """Gives how many events of these sizes go together: at least one, if there is any."""
        rows = self.rows if most is None else min(self.rows, most)
        allowed = self.stream_bytes if room is None else min(self.stream_bytes, room)
        count = used = 0
        for size in sizes:
            used += size
            if count >= rows or (count and used > allowed):
                break
            count += 1
        return count


@dataclass(slots=True, kw_only=True)
class _Trouble:
    """Why a stream waits, for how long the next time, and until when; without an end it is being tried."""

    why: str
    pause_seconds: float
    until: float | None


class Queues:
    """What is known of the streams beyond the staging table. Not thread-safe."""

    def __init__(self, limits: SendLimits | None = None) -> None:
        self.limits = limits or SendLimits()
        self._troubles: dict[StreamId, _Trouble] = {}
        self._most: dict[StreamId, int] = {}
        self.behind: dict[StreamId, None] = {}
        """Streams of which the staging table holds more than is in hand, the longest unserved first.

        Nothing of theirs is sent but from there, or it would go before what was staged earlier.
        """

    @property
    def troubled(self) -> frozenset[StreamId]:
        """Streams that wait, or that have waited and have not gone on yet."""
        return frozenset(self._troubles)

    def is_waiting(self, stream_id: StreamId) -> bool:
        """Whether nothing of the stream is sent now."""
        trouble = self._troubles.get(stream_id)
        return trouble is not None and trouble.until is not None

    def due(self, now: float) -> list[StreamId]:
        """Gives the waiting streams that are to be looked at again."""
        return [s for s, each in self._troubles.items() if each.until is not None and each.until <= now]

    def wait(self, stream_id: StreamId, why: str, now: float) -> bool:
        """Lets a stream wait, longer each time, and tells whether the reason is another than before."""
        before = self._troubles.get(stream_id)
        pause = min(2 * before.pause_seconds, _LONGEST_PAUSE_SECONDS) if before else _FIRST_PAUSE_SECONDS
        self._troubles[stream_id] = _Trouble(why=why, pause_seconds=pause, until=now + pause)
        self.behind.pop(stream_id, None)
        return before is None or before.why != why

    def resume(self, stream_id: StreamId) -> None:
        """Lets a stream try again what is staged; that it goes on is told by `recovered`."""
        if stream_id in self._troubles:
            self._troubles[stream_id].until = None
            self.behind[stream_id] = None

    def recovered(self, stream_id: StreamId) -> bool:
        """Forgets a stream's trouble, and tells whether there was any."""
        return self._troubles.pop(stream_id, None) is not None

    def let_go(self) -> None:
        """Forgets what is in hand and who waits, as when the lease is let go of; pauses go on growing."""
        self.behind.clear()
        for trouble in self._troubles.values():
            trouble.until = None

    def portion(self, stream_id: StreamId, sizes: Iterable[int], room: int) -> int:
        """Gives how many of a stream's next events are sent together."""
        return self.limits.fitting(sizes, most=self._most.get(stream_id), room=room)

    def note(self, stream_id: StreamId, sent: Sequence[StagedEvent], count: int, reach: Reach | None) -> bool:
        """Notes that `count` of what was sent is in the log, and tells whether the next event is one to park.

        A refused set says nothing of its events, so the next goes alone; only one that is refused alone is parked.
        From then on the sets grow again, twice as large each time: a topic that takes small sets only is served
        without asking for each event, and many offenders cost two tries each.
        """
        if count < len(sent):
            self.behind[stream_id] = None
        if reach is Reach.EVENT:
            self._most[stream_id] = 1
            return len(sent) == 1
        if reach is None and stream_id in self._most:
            self._most[stream_id] *= 2
            if self._most[stream_id] >= self.limits.rows:
                del self._most[stream_id]
        return False


def by_stream(events: Iterable[StagedEvent]) -> dict[StreamId, list[StagedEvent]]:
    """Gives the events of each stream in their order."""
    found: dict[StreamId, list[StagedEvent]] = {}
    for event in events:
        found.setdefault(event.stream_id, []).append(event)
    return found
