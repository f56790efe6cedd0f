"""Writing and reading control topics."""

import time

import pytest

from kafka_brokers import Broker, unique
from tellonce.control.channel import ControlMessage
from tellonce.kafka.control import ControlReader, ControlWriter
from tellonce.kafka.embedded import EmbeddedBroker
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, PoisonMessageError, RetryableError
from tellonce.model.partitioning import partition_of
from waiting import wait_until

SECONDS = 10.0


def write(broker: Broker, topic: str, *records: tuple[bytes, bytes | None]) -> None:
    """Write and wait until all has arrived."""
    with ControlWriter(broker.settings, "test-writer") as writer:
        for key, value in records:
            writer.write(topic, key, value)


def take(reader: ControlReader, count: int) -> list[ControlMessage]:
    """The next messages, at least this many."""
    deadline = time.monotonic() + SECONDS
    found: list[ControlMessage] = []
    while len(found) < count and time.monotonic() < deadline:
        found += reader.poll(0.5)
    return found


def catch_up(reader: ControlReader) -> list[ControlMessage]:
    """Everything up to the end of every partition."""
    deadline = time.monotonic() + SECONDS
    found: list[ControlMessage] = []
    while not reader.has_caught_up and time.monotonic() < deadline:
        found += reader.poll(0.5)
    assert reader.has_caught_up
    return found


def test_messages_come_back_as_written(broker: Broker) -> None:
    """Key, value and tombstone are carried unchanged; what they mean is not looked at."""
    topic = broker.topic()
    write(broker, topic, (b"stream-1", b'{"a":1}'), (b"stream-2", b"\xff\x00"), (b"stream-1", None))

    with ControlReader(broker.settings, "test-reader", [topic]) as reader:
        found = catch_up(reader)

    assert [(one.key, one.value, one.offset) for one in found] == [
        (b"stream-1", b'{"a":1}', 0),
        (b"stream-2", b"\xff\x00", 1),
        (b"stream-1", None, 2),
    ]


def test_reader_from_now_skips_what_was_written_before(broker: Broker) -> None:
    """From now on means from the offsets at the start, so nothing written after it is missed."""
    topic = broker.topic()
    write(broker, topic, (b"k", b"old"))

    with ControlReader(broker.settings, "test-reader", [topic], start="now") as reader:
        write(broker, topic, (b"k", b"new"))
        found = take(reader, 1)

    assert [one.value for one in found] == [b"new"]


def test_reader_has_not_caught_up_before_it_handed_everything_out(broker: Broker) -> None:
    """Whoever judges by what is missing must not do so while something is still to come."""
    topic = broker.topic(partitions=2)
    write(broker, topic, *[(f"k{n}".encode(), b"v") for n in range(700)])

    with ControlReader(broker.settings, "test-reader", [topic]) as reader:
        was_caught_up_at_once = reader.has_caught_up
        found = catch_up(reader)

    assert not was_caught_up_at_once
    assert len(found) == 700


def test_reader_of_several_topics_tells_them_apart(broker: Broker) -> None:
    """One reader serves the attestations of all departments."""
    first, second = broker.topic(), broker.topic()
    write(broker, first, (b"k", b"1"))
    write(broker, second, (b"k", b"2"))

    with ControlReader(broker.settings, "test-reader", [first, second, first]) as reader:
        found = catch_up(reader)

    assert {one.topic: one.value for one in found} == {first: b"1", second: b"2"}
    assert len(found) == 2


def test_at_most_so_many_messages_are_handed_out_at_once(broker: Broker) -> None:
    """A reader that was away for long must not get everything in one list."""
    topic = broker.topic()
    write(broker, topic, *[(b"k", b"v")] * 50)

    with ControlReader(broker.settings, "test-reader", [topic]) as reader:
        sizes = [len(reader.poll(1.0, most=7)) for _ in range(5)]

    assert 0 < max(sizes) <= 7


def test_key_decides_the_partition_as_for_events(broker: Broker) -> None:
    """Messages of one stream keep their order, in the partition that Java's clients would choose too."""
    topic = broker.topic(partitions=5)
    keys = [f"citizen.identity/{n}".encode() for n in range(20)]
    write(broker, topic, *[(key, b"v") for key in keys])

    with ControlReader(broker.settings, "test-reader", [topic]) as reader:
        found = catch_up(reader)

    assert {one.key: one.partition for one in found} == {key: partition_of(key, 5) for key in keys}


def test_message_that_is_too_large_is_refused_for_good() -> None:
    """A message above the limit will never be taken, so it is told as such and at once."""
    writer = ControlWriter(KafkaSettings(bootstrap_servers="127.0.0.1:1", max_message_bytes=50_000), "test-writer")

    with pytest.raises(PoisonMessageError):
        writer.write("topic", b"k", b"v" * 50_001)


@pytest.mark.server
def test_broker_that_goes_away_is_told_by_flush_and_passes() -> None:
    """An outage loses the messages that were under way, says so, and ends by itself for the same writer."""
    with EmbeddedBroker() as away:
        settings = KafkaSettings(bootstrap_servers=away.bootstrap_servers, message_timeout_seconds=3)
        topic = Broker(settings=settings, embedded=away).topic()
        writer = ControlWriter(settings, "test-writer")
        writer.write(topic, b"k", b"1")
        writer.flush(SECONDS)
        away.disconnect()
        writer.write(topic, b"k", b"2")
        with pytest.raises(RetryableError, match=topic):
            writer.flush()

        away.reconnect()
        wait_until(lambda: has_arrived(writer, topic, b"3"), 30, what="a write after the outage")

        with ControlReader(settings, "test-reader", [topic]) as reader:
            found = [one.value for one in catch_up(reader)]
    assert (found[0], found[-1]) == (b"1", b"3")


def has_arrived(writer: ControlWriter, topic: str, value: bytes) -> bool:
    """Write and say whether it arrived; the client's next attempt to connect may come later than the message's end."""
    writer.write(topic, b"k", value)
    try:
        writer.flush()
    except RetryableError:
        return False
    return True


def test_flush_that_ran_out_of_time_says_how_many_are_left() -> None:
    """A deadline shorter than the message timeout is kept."""
    writer = ControlWriter(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "test-writer")
    writer.write("topic", b"k", b"v")
    started = time.monotonic()

    with pytest.raises(RetryableError, match="1 control messages"):
        writer.flush(0.2)

    assert time.monotonic() - started < 2


def test_failed_block_is_not_hidden_by_its_flush() -> None:
    """Leaving the block by an error tells that error, not that the messages of an abandoned block did not arrive."""
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", message_timeout_seconds=1)

    def fail() -> None:
        with ControlWriter(settings, "test-writer") as writer:
            writer.write("topic", b"k", b"v")
            raise LookupError

    with pytest.raises(LookupError):
        fail()


def test_reading_a_missing_topic_is_a_configuration_error(broker: Broker) -> None:
    """A control topic that was never made is for an administrator."""
    with pytest.raises(ConfigurationError, match="tellonce topics apply"):
        ControlReader(broker.settings, "test-reader", [unique("nowhere")])
