"""A group's member reads from the caller's own places, and never from the group's."""

import time

import pytest
from confluent_kafka import Producer

from kafka_brokers import Broker, unique
from tellonce.kafka.clients import make_consumer
from tellonce.kafka.group import GroupReader, Partition, Start
from tellonce.model.errors import RetryableError


def read(reader: GroupReader, count: int) -> list[bytes | None]:
    """The keys of the next messages."""
    found: list[bytes | None] = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        for messages in reader.poll().values():
            found += [message.key for message in messages]
    return found


def written(broker: Broker, *keys: str) -> str:
    """A topic with a message for each key."""
    topic = broker.topic()
    producer = Producer({"bootstrap.servers": broker.settings.bootstrap_servers})
    for key in keys:
        producer.produce(topic, key=key, value=b"-")
    assert producer.flush(30) == 0
    return topic


def test_place_that_cannot_be_told_yet_is_asked_for_again(broker: Broker) -> None:
    """Where the database is away at the assignment nothing is read, and nothing is left out afterwards."""
    topic = written(broker, "a", "b", "c")
    asked: list[Partition] = []

    def start_of(place: Partition) -> Start:
        asked.append(place)
        if len(asked) < 3:
            msg = "the database is away"
            raise RetryableError(msg)
        return 1, -1

    def refuse(place: Partition, sentence: str) -> None:
        pytest.fail(f"{place}: {sentence}")

    reader = GroupReader(
        make_consumer(broker.settings, "test", unique("group")),
        [topic],
        start_of=start_of,
        forget=lambda _place: None,
        trouble_with=refuse,
    )
    try:
        for _ in range(2):
            with pytest.raises(RetryableError, match="the database is away"):
                read(reader, 1)
            assert not reader.assigned
            assert not reader.is_at_end()

        assert read(reader, 2) == [b"b", b"c"]
    finally:
        reader.close()
    assert asked == [(topic, 0)] * 3
