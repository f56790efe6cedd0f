"""What one partition of a topic holds of one Kafka key."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Consumer, Message, TopicPartition

from tellonce.kafka.clients import make_reader
from tellonce.kafka.errors import is_end_of_partition, message_error
from tellonce.kafka.group import ReadMessage, read_message
from tellonce.kafka.reading import consume_now, first_and_end_offsets
from tellonce.kafka.settings import KafkaSettings

__all__ = ["Found", "read_key"]

_BATCH = 500
_SLICE_SECONDS = 0.5
_SHORTEST_SECONDS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The messages of a key, oldest first, each with the broker's time of it; and whether the end was reached."""

    messages: tuple[tuple[ReadMessage, int], ...]
    is_complete: bool


def read_key(
    settings: KafkaSettings,
    topic: str,
    partition: int,
    key: bytes,
    *,
    client_id: str,
    deadline: float,
) -> Found:
    """Gives what a partition holds of a key, up to its end, or as far as the deadline (`time.monotonic`) let it.

    `reading.read_to_end` bounds each silence, so that a slow broker adds them up; here all of it has one end.

    Raises:
        RetryableError: the broker is away, or did not tell in time where the partition ends.
        ConfigurationError: the topic is missing or closed to this user.
    """
    found: list[tuple[ReadMessage, int]] = []
    reader = make_reader(settings, client_id)
    try:
        left = max(deadline - time.monotonic(), _SHORTEST_SECONDS)
        first, end = first_and_end_offsets(reader, topic, partition, left)
        reached = first
        if first < end:
            reader.assign([TopicPartition(topic, partition, first)])
        while reached < end and (left := deadline - time.monotonic()) > 0:
            for message, reached in _batch(reader, min(left, _SLICE_SECONDS)):
                if reached <= end and not is_end_of_partition(message) and message.key() == key:
                    found.append((read_message(message), message.timestamp()[1]))
    finally:
        reader.close()
    return Found(messages=tuple(found), is_complete=reached >= end)


def _batch(reader: Consumer, wait_seconds: float) -> Iterator[tuple[Message, int]]:
    """What comes next, each with the offset up to which everything has been read then; ends of partitions are in it."""
    for message in consume_now(reader, _BATCH, wait_seconds):
        failure = message_error(message)
        if failure is not None:
            raise failure
        offset = message.offset()
        if offset is not None:
            yield message, offset if is_end_of_partition(message) else offset + 1
