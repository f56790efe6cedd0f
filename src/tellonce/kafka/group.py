"""A department's share of the streams it subscribes to, read from the places that its database remembers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from tellonce.kafka.errors import is_end_of_partition, kafka_error
from tellonce.kafka.reading import Most, take_much
from tellonce.model.quick import quick

__all__ = ["GroupReader", "Partition", "ReadMessage", "Start", "read_message"]

_log = structlog.get_logger()

_HEADER = "tellonce"
# Enough to fill a transaction, whose fixed part is then small beside its records, and a turn of about a second, so that
# questions are answered and sweeps go on meanwhile. What comes while one is under way is the next one's.
_MOST_PER_POLL = Most(messages=5_000, bytes=16 * 1024 * 1024, seconds=0.2)
_POLL_SECONDS = 0.05

Partition = tuple[str, int]
Start = tuple[int, int]
"""Offset to read next, and the leader epoch of the message before it (-1: unknown)."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMessage:
    """One message, with the value of its header `tellonce`."""

    offset: int
    leader_epoch: int
    key: bytes | None
    value: bytes | None
    header: bytes | None


class GroupReader:
    """Reads topics as a member of a consumer group, but from positions of the caller's own. Not thread-safe.

    `start_of` is asked where to begin whenever a partition is assigned, `forget` is told when one is taken away, and
    `trouble_with` when a partition can no longer be read from its position, with the sentence that says why.
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: Sequence[str],
        *,
        start_of: Callable[[Partition], Start],
        forget: Callable[[Partition], None],
        trouble_with: Callable[[Partition, str], None],
    ) -> None:
        self._consumer = consumer
        self._start_of = start_of
        self._forget = forget
        self._trouble_with = trouble_with
        self._ended: set[Partition] = set()
        self._unstarted: set[Partition] = set()
        self.assigned: set[Partition] = set()
        consumer.subscribe(list(topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)

    def poll(self) -> dict[Partition, list[ReadMessage]]:
        """Gives the messages that have come, in order per partition; waits at most 50 ms for the first.

        Raises:
            TellonceError: the group or a topic is forbidden, or the client can do nothing more; or `start_of` raised
                it, which is then asked again at the next poll.
        """
        for place in sorted(self._unstarted):
            self.seek(place, self._start_of(place))
            self._unstarted.discard(place)
            self.assigned.add(place)
        found: dict[Partition, list[ReadMessage]] = {}
        for message in take_much(self._consumer, _MOST_PER_POLL, _POLL_SECONDS):
            partition = (str(message.topic()), int(message.partition() or 0))
            error = message.error()
            if error is not None and is_end_of_partition(message):
                self._ended.add(partition)
            elif error is not None:
                self._note(partition, error)
            elif partition in self.assigned:
                self._ended.discard(partition)
                found.setdefault(partition, []).append(read_message(message))
        return found

    def is_at_end(self) -> bool:
        """Tells whether partitions are assigned and the end of each has come since its last message."""
        return bool(self.assigned) and not self._unstarted and self._ended >= self.assigned

    def high_watermark(self, partition: Partition) -> int:
        """Gives the offset behind the last message, at least as new as the fetched messages.

        librdkafka keeps it with each fetch, before the fetch's messages are handed over, so a gap seen in them lies
        below it.
        """
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return int(high)

    def seek(self, partition: Partition, start: Start) -> None:
        """Reads a partition from another place."""
        self._ended.discard(partition)
        self._consumer.incremental_unassign([TopicPartition(*partition)])
        self._consumer.incremental_assign([_starting(partition, start)])

    def pause(self) -> None:
        """Fetches nothing until `resume`, but stays in the group."""
        self._consumer.pause([TopicPartition(*p) for p in self.assigned])

    def resume(self) -> None:
        """Fetches again."""
        self._consumer.resume([TopicPartition(*p) for p in self.assigned])

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tells the group how far the database has come; only lag tools read it, so nothing waits for the answer."""
        if offsets:
            self._consumer.commit(
                offsets=[TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()],
                asynchronous=True,
            )

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()

    def _assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        # Where this callback raises, librdkafka begins at the group's own offsets. So the database, which may be away,
        # is asked outside of it, and until then nothing is read.
        self._unstarted.update((p.topic, p.partition) for p in partitions)
        consumer.incremental_assign([TopicPartition(p.topic, p.partition, OFFSET_END) for p in partitions])
        _log.info("partitions_assigned", partitions=len(partitions))

    def _revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            place = (partition.topic, partition.partition)
            self._unstarted.discard(place)
            self.assigned.discard(place)
            self._ended.discard(place)
            self._forget(place)
        consumer.incremental_unassign(list(partitions))

    def _note(self, partition: Partition, error: KafkaError) -> None:
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):  # noqa: SLF001 - librdkafka's names for its own errors
            self._trouble_with(
                partition,
                f"{partition[0]} partition {partition[1]}: the log no longer holds the place this database has reached "
                f"({error.name()}), as after a topic was made again or lost messages; the authority begins a new epoch "
                "with `tellonce resync`, then this department reads anew with `tellonce reread`",
            )
            self._ended.add(partition)
        elif error.fatal() or not error.retriable():
            raise kafka_error(error, "read the subscribed topics", topic=partition[0])


def _starting(partition: Partition, start: Start) -> TopicPartition:
    offset, leader_epoch = start
    if offset == 0:
        return TopicPartition(*partition, OFFSET_BEGINNING)
    if leader_epoch < 0:
        return TopicPartition(*partition, offset)
    return TopicPartition(*partition, offset, leader_epoch=leader_epoch)


def read_message(message: Message) -> ReadMessage:
    """Gives a Kafka message with its header `tellonce`."""
    headers: list[tuple[str, str | bytes | None]] = list(message.headers() or ())  # type: ignore[arg-type]  # confluent-kafka types it for both directions
    header = next((value for name, value in headers if name == _HEADER), None)
    leader_epoch = message.leader_epoch()
    return ReadMessage(
        offset=int(message.offset() or 0),
        leader_epoch=-1 if leader_epoch is None else leader_epoch,
        key=message.key(),
        value=message.value(),
        header=header.encode() if isinstance(header, str) else header,
    )
