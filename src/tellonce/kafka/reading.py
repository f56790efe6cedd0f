"""Reading a log without a group: how far it goes, its last event, and everything up to now."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tellonce.kafka.clients import make_reader
from tellonce.kafka.errors import error_of, is_end_of_partition, kafka_error, message_error
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import RetryableError

__all__ = [
    "Most",
    "consume_now",
    "first_and_end_offsets",
    "partition_count",
    "read_last_event",
    "read_to_end",
    "take_much",
    "take_now",
]

_BATCH = 500
_CHUNK = 100
_SLICE_SECONDS = 0.5
_WIDEST_STEP = 10_000
_STEP_GROWTH = 8
_SHORTEST_SECONDS = 0.001
_LEADER_PAUSE_SECONDS = 0.05
_LEADER_CHANGES = {
    "FENCED_LEADER_EPOCH",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_FOR_PARTITION",
    "REPLICA_NOT_AVAILABLE",
    "UNKNOWN_LEADER_EPOCH",
}


def partition_count(reader: Consumer, topic: str, timeout_seconds: float) -> int:
    """Gives how many partitions a topic has.

    Raises:
        RetryableError: no answer in time.
        ConfigurationError: the topic is missing or closed to this user.
    """
    doing = f"look up topic {topic}"
    try:
        found = reader.list_topics(topic, timeout=timeout_seconds).topics[topic]
    except KafkaException as error:
        raise error_of(error, doing, topic=topic) from error
    if found.error is not None:
        raise kafka_error(found.error, doing, topic=topic)
    return len(found.partitions)


def first_and_end_offsets(reader: Consumer, topic: str, partition: int, timeout_seconds: float) -> tuple[int, int]:
    """Gives a partition's first offset and its high watermark, which is the offset that the next message will get.

    Raises:
        RetryableError: no answer in time.
        ConfigurationError: the topic is missing or closed to this user.
    """
    doing = f"read the offsets of topic {topic}, partition {partition}"
    deadline = time.monotonic() + timeout_seconds
    while True:
        remaining = max(deadline - time.monotonic(), _SHORTEST_SECONDS)
        try:
            return reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=remaining)
        except KafkaException as error:
            failure = error_of(error, doing, topic=topic, partition=partition)
            # A partition that was just made, or whose leader just changed, is known to its broker a moment later.
            if failure.facts["kafka_error"] not in _LEADER_CHANGES or time.monotonic() >= deadline:
                raise failure from error
        time.sleep(_LEADER_PAUSE_SECONDS)


def _watermarks(
    reader: Consumer, topic: str, timeout_seconds: float, only_partition: int | None = None
) -> dict[int, tuple[int, int]]:
    deadline = time.monotonic() + timeout_seconds
    count = partition_count(reader, topic, timeout_seconds)
    return {
        partition: first_and_end_offsets(reader, topic, partition, max(deadline - time.monotonic(), _SHORTEST_SECONDS))
        for partition in range(count)
        if only_partition in (None, partition)
    }


def read_last_event(
    reader: Consumer,
    topic: str,
    partition: int,
    timeout_seconds: float,
    counts: Callable[[Message], object] = lambda _message: True,
) -> Message | None:
    """Gives the last message of a partition that has a value and counts, or None where there is none.

    It goes back from the high watermark, past tombstones, past what compaction removed and past control records, in
    steps that grow. What the reader was assigned before is lost; it is left without an assignment.

    Raises:
        RetryableError: no answer in time.
        ConfigurationError: the topic is missing or closed to this user.
    """
    deadline = time.monotonic() + timeout_seconds
    first, end = first_and_end_offsets(reader, topic, partition, timeout_seconds)
    step = 1
    try:
        while end > first:
            start = max(first, end - step)
            last = _last_within(reader, TopicPartition(topic, partition, start), end, deadline, counts)
            if last is not None:
                return last
            end = start
            step = min(step * _STEP_GROWTH, _WIDEST_STEP)
    finally:
        reader.unassign()
    return None


def _last_within(
    reader: Consumer, start: TopicPartition, end: int, deadline: float, counts: Callable[[Message], object]
) -> Message | None:
    """The last message with a value, and that counts, from `start` to below offset `end`."""
    reader.assign([start])
    last: Message | None = None
    while True:
        for message in _consume(reader, deadline):
            offset = message.offset()
            if is_end_of_partition(message) or offset is None or offset >= end:
                return last
            if message.value() is not None and counts(message):
                last = message
            if offset == end - 1:
                return last
        if time.monotonic() >= deadline:
            where = f"topic {start.topic}, partition {start.partition}"
            message_text = f"{where} gave nothing between offsets {start.offset} and {end} in time; it is tried again"
            raise RetryableError(message_text, topic=start.topic, partition=start.partition, offset=start.offset)


def take_now(consumer: Consumer, most: int, timeout_seconds: float) -> list[Message]:
    """Gives what a consumer has, at most `most`, as soon as there is anything; empty after `timeout_seconds` at latest.

    `Consumer.consume` would wait its whole time for a full batch. Errors and ends of partitions may be in it.

    Raises:
        TellonceError: the client failed, by `errors.error_of`.
    """
    try:
        first = consumer.poll(timeout_seconds)
        if first is None:
            return []
        return [first, *consumer.consume(most - 1, timeout=0)] if most > 1 else [first]
    except KafkaException as error:
        raise error_of(error, "read from Kafka") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """How much is taken at once, by number, by size and by the time that taking it may last; each ends it."""

    messages: int
    bytes: int
    seconds: float


def take_much(
    consumer: Consumer, most: Most, timeout_seconds: float, *, monotonic: Callable[[], float] = time.monotonic
) -> list[Message]:
    """Gives what a consumer has, up to `most`, as `take_now` does: it waits for the first message, and for no more.

    Asked for all at once, the client would give as many messages however large they are; so it is asked in chunks, and
    `most.bytes` is exceeded by one chunk at most.

    Raises:
        TellonceError: the client failed, by `errors.error_of`.
    """
    some = take_now(consumer, min(_CHUNK, most.messages), timeout_seconds)
    found = list(some)
    size, deadline = _size(some), monotonic() + most.seconds
    # A chunk that is not full was all that there is.
    while len(some) == _CHUNK and len(found) < most.messages and size < most.bytes and monotonic() < deadline:
        try:
            some = consumer.consume(min(_CHUNK, most.messages - len(found)), timeout=0)
        except KafkaException as error:
            raise error_of(error, "read from Kafka") from error
        found += some
        size += _size(some)
    return found


def _size(messages: Sequence[Message]) -> int:
    return sum(len(message.value() or b"") for message in messages)


def consume_now(reader: Consumer, most: int, timeout_seconds: float) -> list[Message]:
    """Gives what `take_now` gives, for a reader without a group.

    So the news that its group, which it never joins, is closed to this user is left out.

    Raises:
        TellonceError: the client failed, by `errors.error_of`.
    """
    return [message for message in take_now(reader, most, timeout_seconds) if not _is_about_group(message)]


def _is_about_group(message: Message) -> bool:
    error = message.error()
    return error is not None and error.name() == "GROUP_AUTHORIZATION_FAILED"


def _consume(reader: Consumer, deadline: float) -> list[Message]:
    """The next batch, in which ends of partitions may be, but no errors."""
    remaining = max(deadline - time.monotonic(), 0.0)
    batch = consume_now(reader, _BATCH, min(remaining, _SLICE_SECONDS))
    for message in batch:
        failure = message_error(message)
        if failure is not None:
            raise failure
    return batch


def read_to_end(
    settings: KafkaSettings,
    topic: str,
    *,
    client_id: str = "tellonce-read",
    group_id: str | None = None,
    longest_silence_seconds: float = 10.0,
    only_partition: int | None = None,
) -> Iterator[Message]:
    """Yields every message that a topic, or one of its partitions, holds up to the high watermark read at the start.

    Ordered within each partition only; tombstones are among them. Gaps of compaction and a compacted end are passed.
    Messages written meanwhile are left out, so it ends also on a busy topic. `group_id` is as in `clients.make_reader`.

    Raises:
        RetryableError: nothing came for `longest_silence_seconds`, though the end was not reached.
        ConfigurationError: the topic is missing or closed to this user.
    """
    reader = make_reader(settings, client_id, group_id=group_id)
    try:
        marks = _watermarks(reader, topic, longest_silence_seconds, only_partition)
        # The first offset is named, not OFFSET_BEGINNING: what retention removes now must not move the start.
        open_ends = {partition: end for partition, (first, end) in marks.items() if end > first}
        reader.assign([TopicPartition(topic, partition, marks[partition][0]) for partition in open_ends])
        yield from _read_until(reader, topic, open_ends, longest_silence_seconds)
    finally:
        reader.close()


def _read_until(
    reader: Consumer, topic: str, open_ends: dict[int, int], longest_silence_seconds: float
) -> Iterator[Message]:
    """Messages below each partition's end; `open_ends` loses a partition when its end is reached."""
    deadline = time.monotonic() + longest_silence_seconds
    while open_ends:
        batch = _consume(reader, deadline)
        for message in batch:
            partition, offset = message.partition(), message.offset()
            if partition is None or offset is None:
                continue
            end = open_ends.get(partition)
            if end is None:
                continue
            if not is_end_of_partition(message) and offset < end:
                yield message
                offset += 1
            if offset >= end:
                del open_ends[partition]
                reader.incremental_unassign([TopicPartition(topic, partition)])
        if batch:
            deadline = time.monotonic() + longest_silence_seconds
        elif time.monotonic() >= deadline:
            text = (
                f"topic {topic} gave nothing for {longest_silence_seconds:g} s, though partitions "
                f"{', '.join(map(str, sorted(open_ends)))} hold more; it is tried again"
            )
            raise RetryableError(text, topic=topic)
