"""What is written packed to a topic may not be larger unpacked than the topic allows."""

import pytest
from confluent_kafka import KafkaError, Message, Producer

from kafka_brokers import Broker
from reconcile.builders import city
from tellonce.kafka.topics import apply_plan, plan_topics
from tellonce.testing.kafka_server import KafkaServer
from tellonce.topology.topics import TopicSpec, topics_of


@pytest.mark.kafka
@pytest.mark.parametrize("is_control", [True, False], ids=["control", "view"])
@pytest.mark.parametrize("packing", ["gzip", "snappy", "lz4", "zstd"])
def test_topic_takes_no_message_that_unpacks_beyond_its_limit(
    real: Broker, kafka: KafkaServer, packing: str, is_control: bool
) -> None:
    """Fifty megabytes of zeros, packed to a few thousand bytes, are refused by the broker and met by no reader."""
    like = next(spec for spec in topics_of(city()) if spec.name.startswith("tellonce.") is is_control)
    name = f"packed.{packing}.{like.name}"
    spec = TopicSpec(
        name=name,
        partitions=1,
        cleanup_policy=like.cleanup_policy,
        configs=like.configs,
        writers=(),
        readers=(),
    )
    apply_plan(real.settings, plan_topics(real.settings, [spec]))
    told: list[KafkaError | None] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        told.append(error)

    producer = Producer(
        {**kafka.client_settings(), "compression.type": packing, "message.max.bytes": 100_000_000, "log_level": 0}
    )
    producer.produce(name, bytes(50_000_000), b"key", on_delivery=note)
    producer.produce(name, b"small", b"key", on_delivery=note)
    producer.flush(30)

    codes = [None if error is None else error.code() for error in told]
    assert sorted(codes, key=str) == sorted([KafkaError.MSG_SIZE_TOO_LARGE, None], key=str)
