"""Following one topic as it grows, without a group, from a place that a person names."""

import time
from collections.abc import Iterator
from typing import Literal

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tellonce.kafka.clients import make_reader
from tellonce.kafka.errors import error_of, is_end_of_partition, message_error
from tellonce.kafka.reading import consume_now, first_and_end_offsets, partition_count
from tellonce.kafka.settings import KafkaSettings

__all__ = ["Start", "follow"]

Start = Literal["beginning", "now"] | int
"""Where to begin: at the first message, behind the last, or at the first of this time or later, in epoch ms."""

_BATCH = 500
_SLICE_SECONDS = 0.2


def follow(settings: KafkaSettings, topic: str, start: Start, *, client_id: str) -> Iterator[Message]:
    """Yields the messages of a topic from `start` on, and then those that come, without end.

    Ordered within each partition only; tombstones are among them. A partition that is added later is not read.
    Nothing is committed, and no group is joined.

    Raises:
        RetryableError: the broker did not answer within `connect_timeout_seconds`, or went away.
        ConfigurationError: the topic is missing or closed to this user.
    """
    reader = make_reader(settings, client_id)
    try:
        reader.assign(_places(reader, topic, start, settings.connect_timeout_seconds))
        while True:
            for message in consume_now(reader, _BATCH, _SLICE_SECONDS):
                failure = message_error(message)
                if failure is not None:
                    raise failure
                if not is_end_of_partition(message):
                    yield message
    finally:
        reader.close()


def _places(reader: Consumer, topic: str, start: Start, timeout_seconds: float) -> list[TopicPartition]:
    deadline = time.monotonic() + timeout_seconds

    def remaining() -> float:
        return max(deadline - time.monotonic(), 0.001)

    partitions = range(partition_count(reader, topic, remaining()))
    ends = {number: first_and_end_offsets(reader, topic, number, remaining()) for number in partitions}
    if isinstance(start, str):
        return [TopicPartition(topic, n, first if start == "beginning" else end) for n, (first, end) in ends.items()]
    asked = [TopicPartition(topic, number, start) for number in partitions]
    try:
        found = reader.offsets_for_times(asked, timeout=remaining())
    except KafkaException as error:
        raise error_of(error, f"look up a time in topic {topic}", topic=topic) from error
    # A partition without a message of that time or later is read from its end.
    return [
        TopicPartition(topic, one.partition, one.offset if one.offset >= 0 else ends[one.partition][1]) for one in found
    ]
