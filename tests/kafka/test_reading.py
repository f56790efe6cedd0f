"""How far a log goes, what its last event is, and reading it to its end."""

import time
from typing import Any, ClassVar

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from kafka_brokers import Broker, unique
from tellonce.kafka import reading
from tellonce.kafka.clients import make_producer, make_reader
from tellonce.kafka.reading import (
    consume_now,
    first_and_end_offsets,
    partition_count,
    read_last_event,
    read_to_end,
)
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, RetryableError
from waiting import wait_until

SECONDS = 10.0
# A new segment every 100 ms and no delays, so that what is written is compacted within a second or two.
COMPACTED_AT_ONCE = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "0",
}


def write(broker: Broker, topic: str, *records: tuple[str, str | None], partition: int = 0) -> None:
    """Write keys and values; None is a tombstone."""
    producer = make_producer(broker.settings, "test-writer")
    for key, value in records:
        producer.produce(topic, key=key, value=value, partition=partition)
    assert producer.flush(SECONDS) == 0


def seen(message: Message | None) -> tuple[int | None, bytes | None] | None:
    """Offset and value of a message."""
    return None if message is None else (message.offset(), message.value())


def last(broker: Broker, topic: str, partition: int = 0) -> tuple[int | None, bytes | None] | None:
    """Offset and value of the last event of a partition."""
    reader = make_reader(broker.settings, "test-reader")
    try:
        return seen(read_last_event(reader, topic, partition, SECONDS))
    finally:
        reader.close()


def test_empty_partition_has_no_last_event(broker: Broker) -> None:
    """A stream that was never written has nothing to compare the ledger with."""
    assert last(broker, broker.topic()) is None


def test_last_event_is_found_in_its_own_partition(broker: Broker) -> None:
    """Each partition is a stream with a last event of its own."""
    topic = broker.topic(partitions=2)
    write(broker, topic, ("a", "1"), ("b", "2"), ("a", "3"), partition=0)
    write(broker, topic, ("c", "4"), partition=1)

    assert last(broker, topic, 0) == (2, b"3")
    assert last(broker, topic, 1) == (0, b"4")


def test_last_event_is_found_behind_many_tombstones(broker: Broker) -> None:
    """Tombstones follow deletes and hold no sequence, so the search goes past any number of them."""
    topic = broker.topic()
    write(broker, topic, *[(f"k{n}", "v") for n in range(30)], ("k", "newest"), *[(f"k{n}", None) for n in range(30)])

    assert last(broker, topic) == (30, b"newest")


def test_partition_of_tombstones_alone_has_no_last_event(broker: Broker) -> None:
    """The search ends at the log's first offset."""
    topic = broker.topic()
    write(broker, topic, *[(f"k{n}", None) for n in range(20)])

    assert last(broker, topic) is None


def test_reader_is_left_without_an_assignment(broker: Broker) -> None:
    """A search must not leave the reader fetching what nobody takes."""
    topic = broker.topic()
    write(broker, topic, ("a", "1"))
    reader = make_reader(broker.settings, "test-reader")

    read_last_event(reader, topic, 0, SECONDS)

    assert reader.assignment() == []


def test_offsets_of_all_partitions_are_the_next_messages(broker: Broker) -> None:
    """The high watermark is the offset that the next message gets."""
    topic = broker.topic(partitions=3)
    write(broker, topic, ("a", "1"), ("b", "2"), partition=1)
    reader = make_reader(broker.settings, "test-reader")

    assert partition_count(reader, topic, SECONDS) == 3
    assert [first_and_end_offsets(reader, topic, each, SECONDS) for each in range(3)] == [(0, 0), (0, 2), (0, 0)]


def test_missing_topic_is_a_configuration_error(broker: Broker) -> None:
    """A topic that is not there is for an administrator, and is not made by asking for it."""
    reader = make_reader(broker.settings, "test-reader")
    name = unique("nowhere")

    with pytest.raises(ConfigurationError, match="tellonce topics apply"):
        partition_count(reader, name, SECONDS)

    assert name not in reader.list_topics(timeout=SECONDS).topics


def test_broker_that_is_away_is_retryable() -> None:
    """Without a broker the offsets are unknown, within the time given."""
    reader = make_reader(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "test-reader")
    started = time.monotonic()

    with pytest.raises(RetryableError):
        first_and_end_offsets(reader, "topic", 0, 0.3)
    with pytest.raises(RetryableError):
        read_last_event(reader, "topic", 0, 0.3)

    assert time.monotonic() - started < 3


def test_leader_that_is_not_settled_yet_is_asked_again() -> None:
    """A topic that was just made is no reason to fail: its broker knows a moment later that it leads."""

    class Unsettled:
        """A consumer whose broker denies its leadership twice."""

        answers: ClassVar[list[str]] = ["NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE"]

        def get_watermark_offsets(self, _partition: TopicPartition, timeout: float) -> tuple[int, int]:
            assert timeout > 0
            if self.answers:
                raise KafkaException(KafkaError(getattr(KafkaError, self.answers.pop())))
            return 0, 7

    reader: Any = Unsettled()

    assert first_and_end_offsets(reader, "t", 0, SECONDS) == (0, 7)


def test_reading_to_the_end_gives_every_message_once(broker: Broker) -> None:
    """All partitions are read from the first message, tombstones included."""
    topic = broker.topic(partitions=3)
    write(broker, topic, *[(f"k{n}", f"v{n}") for n in range(1200)], partition=0)
    write(broker, topic, ("a", "x"), ("a", None), partition=2)

    found = [(one.partition(), one.offset()) for one in read_to_end(broker.settings, topic)]

    assert sorted(found) == [*((0, n) for n in range(1200)), (2, 0), (2, 1)]


def test_reading_an_empty_topic_to_its_end_gives_nothing(broker: Broker) -> None:
    """An empty topic is at its end."""
    assert list(read_to_end(broker.settings, broker.topic(partitions=2))) == []


def test_what_is_written_after_the_start_is_left_out(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is the one at the start, or a busy topic would never be read to it."""
    topic = broker.topic()
    write(broker, topic, ("a", "1"), ("b", "2"))
    look_up = reading.first_and_end_offsets

    def look_up_and_write(reader: Consumer, name: str, partition: int, timeout_seconds: float) -> tuple[int, int]:
        found = look_up(reader, name, partition, timeout_seconds)
        write(broker, topic, ("c", "3"))
        return found

    monkeypatch.setattr(reading, "first_and_end_offsets", look_up_and_write)

    assert [seen(one) for one in read_to_end(broker.settings, topic)] == [(0, b"1"), (1, b"2")]


def test_batch_is_handed_out_as_soon_as_anything_came(broker: Broker) -> None:
    """A message must not wait until a batch is full or the time is over."""
    topic = broker.topic()
    write(broker, topic, ("a", "1"))
    reader = make_reader(broker.settings, "test-reader")
    reader.assign([TopicPartition(topic, 0, 0)])
    started = time.monotonic()

    batch = consume_now(reader, 500, 30.0)

    assert seen(batch[0]) == (0, b"1")
    assert time.monotonic() - started < 5


@pytest.mark.kafka
def test_compacted_log_is_read_to_its_end_and_has_its_last_event(real: Broker) -> None:
    """Compaction leaves gaps and a removed end: the last event is the last one left, and reading ends all the same."""
    topic = real.topic(settings=COMPACTED_AT_ONCE)
    write(real, topic, ("gone", "1"), ("kept", "2"), ("gone", "3"))
    reader = make_reader(real.settings, "test-reader")

    def is_compacted() -> bool:
        # Each pass writes one more tombstone, since the newest segment is never compacted.
        write(real, topic, ("gone", None))
        offsets = [one.offset() for one in read_to_end(real.settings, topic)]
        return 0 not in offsets and 2 not in offsets

    wait_until(is_compacted, 30, what="compaction")

    assert seen(read_last_event(reader, topic, 0, SECONDS)) == (1, b"2")
    assert first_and_end_offsets(reader, topic, 0, SECONDS)[1] > 3


def test_message_behind_the_end_is_left_out_where_those_before_it_were_compacted_away() -> None:
    """A gap may hide the last message before the end; the next one in the log was written after the start."""

    class Log:
        """A consumer of a log with offsets 0 and 5, read when its high watermark was 3."""

        def __init__(self) -> None:
            self.waiting = [Message(topic="t", partition=0, offset=offset, value=b"v") for offset in (0, 5)]

        def poll(self, _timeout: float) -> Message | None:
            return self.waiting.pop(0) if self.waiting else None

        def consume(self, _most: int, timeout: float) -> list[Message]:
            assert timeout == 0
            return []

        def incremental_unassign(self, _partitions: list[TopicPartition]) -> None: ...

    log: Any = Log()

    found = [one.offset() for one in reading._read_until(log, "t", {0: 3}, SECONDS)]

    assert found == [0]
