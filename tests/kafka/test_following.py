"""A topic is followed from the place that was named, over all of its partitions, and on as it grows."""

import time
from collections.abc import Iterator
from itertools import islice

import pytest
from confluent_kafka import Message

from kafka_brokers import Broker, unique
from tellonce.kafka.clients import make_producer
from tellonce.kafka.following import Start, follow
from tellonce.model.errors import ConfigurationError


def write(broker: Broker, topic: str, value: bytes, partition: int, at_ms: int = 0) -> None:
    """Write one message, at a time in epoch milliseconds if one is given."""
    producer = make_producer(broker.settings, "test-following")
    producer.produce(topic, value=value, partition=partition, timestamp=at_ms)
    assert producer.flush(10) == 0


def values(messages: Iterator[Message], count: int) -> set[bytes | None]:
    """The values of the next messages."""
    return {message.value() for message in islice(messages, count)}


def test_all_partitions_are_read_from_the_beginning_and_on(broker: Broker) -> None:
    """What is there comes first, and then what is written while one looks."""
    topic = broker.topic(partitions=2)
    write(broker, topic, b"a", 0)
    write(broker, topic, b"b", 1)

    messages = follow(broker.settings, topic, "beginning", client_id="test-following")

    assert values(messages, 2) == {b"a", b"b"}
    write(broker, topic, b"c", 1)
    assert values(messages, 1) == {b"c"}


@pytest.mark.kafka
def test_a_time_leaves_out_what_is_older_in_each_partition(real: Broker) -> None:
    """A partition whose messages are all older is read from its end."""
    topic, now_ms = real.topic(partitions=2), int(time.time() * 1000)
    for partition, value, age_ms in ((0, b"old", 3_600_000), (0, b"new", 0), (1, b"older", 7_200_000)):
        write(real, topic, value, partition, now_ms - age_ms)
    start: Start = now_ms - 900_000

    messages = follow(real.settings, topic, start, client_id="test-following")

    assert values(messages, 1) == {b"new"}
    write(real, topic, b"newest", 1)
    assert values(messages, 1) == {b"newest"}


def test_topic_that_is_missing_is_told(broker: Broker) -> None:
    """A topic that is not there is for an administrator, and nobody waits for it."""
    with pytest.raises(ConfigurationError):
        next(follow(broker.settings, unique("nowhere"), "now", client_id="test-following"))
