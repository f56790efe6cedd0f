"""The embedded broker, and the limits that its module states."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tellonce.kafka.embedded import DEFAULT_PARTITIONS, MAX_PARTITION_BYTES, EmbeddedBroker
from tellonce.model.errors import RetryableError
from waiting import wait_until

pytestmark = pytest.mark.server


def new_topic() -> str:
    return f"test-{uuid4().hex}"


def producer_of(broker: EmbeddedBroker) -> Producer:
    return Producer({"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True, "log_level": 0})


def consumer_of(broker: EmbeddedBroker) -> Consumer:
    settings = {"bootstrap.servers": broker.bootstrap_servers, "group.id": uuid4().hex, "auto.offset.reset": "earliest"}
    return Consumer({**settings, "enable.auto.commit": False, "log_level": 0})


def test_embedded_broker_carries_a_message_to_a_group(embedded_broker: EmbeddedBroker) -> None:
    """What an idempotent producer sends, a group reads, without the seconds that a new group waits by default."""
    topic = new_topic()
    embedded_broker.create_topic(topic, partitions=1)
    producer, consumer = producer_of(embedded_broker), consumer_of(embedded_broker)
    producer.produce(topic, b"hello", key=b"k")
    producer.flush(5)

    consumer.subscribe([topic])
    message = consumer.poll(2.5)
    consumer.close()

    assert message is not None
    assert message.value() == b"hello"


def test_embedded_topic_has_the_partitions_asked_for(embedded_broker: EmbeddedBroker) -> None:
    """A made topic has its own number of partitions; one that is merely used has the stated default."""
    made, used = new_topic(), new_topic()
    embedded_broker.create_topic(made, partitions=7)
    producer = producer_of(embedded_broker)

    counts = {name: len(producer.list_topics(name, timeout=5).topics[name].partitions) for name in (made, used)}

    assert counts == {made: 7, used: DEFAULT_PARTITIONS}


def test_embedded_topic_is_made_once(embedded_broker: EmbeddedBroker) -> None:
    """A second topic of the same name is refused with the broker's reason."""
    topic = new_topic()
    embedded_broker.create_topic(topic, partitions=1)

    with pytest.raises(RetryableError, match="already exists"):
        embedded_broker.create_topic(topic, partitions=1)


def test_embedded_partition_keeps_the_stated_bytes(embedded_broker: EmbeddedBroker) -> None:
    """The stated limit is the real one: just below it nothing is lost, above it the oldest messages vanish."""
    topic, size = new_topic(), 10_000
    embedded_broker.create_topic(topic, partitions=1)
    producer, consumer = producer_of(embedded_broker), consumer_of(embedded_broker)
    whole = MAX_PARTITION_BYTES // (size + 100)

    def oldest_after(count: int) -> int:
        for _ in range(count):
            producer.produce(topic, os.urandom(size), partition=0)
            producer.poll(0)
        producer.flush(20)
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)[0]

    oldest_when_full = oldest_after(whole)
    oldest_when_over = oldest_after(whole)
    consumer.close()

    assert oldest_when_full == 0
    assert oldest_when_over > whole // 2


def test_disconnected_broker_comes_back_with_its_data() -> None:
    """An interruption holds messages back and loses none."""
    with EmbeddedBroker() as broker:
        topic = new_topic()
        broker.create_topic(topic, partitions=1)
        producer = producer_of(broker)
        producer.produce(topic, b"before")
        producer.flush(5)

        broker.disconnect()
        producer.produce(topic, b"during")
        waiting = producer.flush(0.5)
        broker.reconnect()
        left = producer.flush(10)

        consumer = consumer_of(broker)
        offsets = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)
        consumer.close()
        assert (waiting, left, offsets) == (1, 0, (0, 2))


def test_embedded_broker_answers_late_when_told_to() -> None:
    """A slow network can be had: an acknowledgement takes at least the delay."""
    with EmbeddedBroker() as broker:
        topic = new_topic()
        broker.create_topic(topic, partitions=1)
        producer = producer_of(broker)
        producer.produce(topic, b"first")
        producer.flush(10)

        broker.delay_answers(1_000)
        producer.produce(topic, b"second")

        assert producer.flush(0.5) == 1
        assert producer.flush(10) == 0


def test_stopped_broker_is_gone_and_says_so() -> None:
    """After its stop the child is gone, and a call tells so instead of waiting."""
    broker = EmbeddedBroker()
    broker.start()
    pid = broker.pid
    assert pid is not None

    broker.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RetryableError, match="does not run"):
        broker.create_topic("late", partitions=1)


def test_killed_broker_is_told() -> None:
    """A child that died is an error at the next call, never a hang."""
    with EmbeddedBroker() as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)

        with pytest.raises(RetryableError, match="ended"):
            broker.create_topic("late", partitions=1)


def test_embedded_broker_ends_with_its_parent_and_writes_nothing(tmp_path: Path) -> None:
    """A killed parent leaves no broker behind, and librdkafka's log never reaches the terminal."""
    program = (
        "import sys; from tellonce.kafka.embedded import EmbeddedBroker\n"
        "broker = EmbeddedBroker(); broker.start(); print(broker.pid, flush=True); sys.stdin.read()\n"
    )
    errors = tmp_path / "stderr"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as parent,
    ):
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.send_signal(signal.SIGKILL)

    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, what="the orphaned broker has ended")
    assert errors.read_text(encoding="utf-8") == ""


def test_librdkafka_logs_nothing_in_the_child() -> None:
    """Nobody reads the child's stderr while it runs: a log there would fill the pipe and stop the broker."""
    command = [sys.executable, "-m", "tellonce.kafka.embedded"]

    result = subprocess.run(
        command, input="topic t 1\ndown\nup\n", capture_output=True, text=True, check=True, timeout=20
    )

    assert result.stderr == ""
    assert result.stdout.splitlines()[1:] == ["ok", "ok", "ok"]
