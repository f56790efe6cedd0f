"""Which reaction each of Kafka's errors calls for."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from tellonce.kafka.errors import error_of, is_end_of_partition, kafka_error, message_error
from tellonce.model.errors import (
    ConfigurationError,
    InvariantError,
    PoisonMessageError,
    RetryableError,
    TellonceError,
)


def code(name: str) -> int:
    """The number of one of Kafka's errors."""
    found = getattr(KafkaError, name)
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize(
    ("name", "reaction"),
    [
        ("_TRANSPORT", RetryableError),
        ("_MSG_TIMED_OUT", RetryableError),
        ("_AUTHENTICATION", RetryableError),
        ("_ALL_BROKERS_DOWN", RetryableError),
        ("NOT_ENOUGH_REPLICAS", RetryableError),
        ("LEADER_NOT_AVAILABLE", RetryableError),
        ("OUT_OF_ORDER_SEQUENCE_NUMBER", RetryableError),
        ("TOPIC_AUTHORIZATION_FAILED", ConfigurationError),
        ("GROUP_AUTHORIZATION_FAILED", ConfigurationError),
        ("CLUSTER_AUTHORIZATION_FAILED", ConfigurationError),
        ("UNKNOWN_TOPIC_OR_PART", ConfigurationError),
        ("_UNKNOWN_PARTITION", ConfigurationError),
        ("_INVALID_ARG", ConfigurationError),
        ("_UNSUPPORTED_FEATURE", ConfigurationError),
        ("MSG_SIZE_TOO_LARGE", PoisonMessageError),
        ("INVALID_RECORD", PoisonMessageError),
        ("OFFSET_OUT_OF_RANGE", InvariantError),
        ("_AUTO_OFFSET_RESET", InvariantError),
        ("_LOG_TRUNCATION", InvariantError),
        ("UNKNOWN", InvariantError),
    ],
)
def test_kafka_error_becomes_ours_by_reaction(name: str, reaction: type[TellonceError]) -> None:
    """Outages are waited for, people are asked for rights and topics, one bad message parks, a lost position stops."""
    found = kafka_error(KafkaError(code(name)), "send to topic t", topic="t")

    assert type(found) is reaction
    assert found.facts["kafka_error"] == name
    assert found.facts["topic"] == "t"
    assert str(found).startswith("could not send to topic t: ")


def test_fatal_error_hidden_in_a_system_error_is_found() -> None:
    """flush() tells a fatal error as a SystemError whose cause is the real one."""
    outer = SystemError("flush returned a result with an exception set")
    outer.__cause__ = KafkaException(KafkaError(code("CLUSTER_AUTHORIZATION_FAILED"), "no", True))

    found = error_of(outer, "flush")

    assert type(found) is ConfigurationError
    assert found.facts["is_fatal"] is True


def test_full_queue_is_retryable() -> None:
    """A full send queue means wait."""
    assert type(error_of(BufferError("Local: Queue full"), "send")) is RetryableError


def test_unknown_exception_stops() -> None:
    """What is not Kafka's is not explained away."""
    assert type(error_of(TypeError("a bytes-like object is required"), "send")) is InvariantError


def test_long_text_of_the_broker_is_cut() -> None:
    """Brokers answer some refusals with a dump of the request; the sentence stays one."""
    found = kafka_error(KafkaError(code("CLUSTER_AUTHORIZATION_FAILED"), "Request(\n" + "x" * 5000), "make a rule")

    assert len(str(found)) < 400
    assert "\n" not in str(found)


def test_end_of_partition_is_no_failure() -> None:
    """The end of a log is news, not an error."""
    end = Message(topic="t", partition=0, offset=7, error=KafkaError(code("_PARTITION_EOF")))

    assert is_end_of_partition(end)
    assert message_error(end) is None


def test_data_is_no_failure() -> None:
    """A message with a value has no error."""
    data = Message(topic="t", partition=0, offset=7, value=b"v")

    assert not is_end_of_partition(data)
    assert message_error(data) is None


def test_error_in_place_of_a_message_names_its_partition() -> None:
    """A refusal among the messages of a batch says of which topic it is."""
    refusal = Message(topic="t", partition=3, error=KafkaError(code("TOPIC_AUTHORIZATION_FAILED")))

    found = message_error(refusal)

    assert type(found) is ConfigurationError
    assert (found.facts["topic"], found.facts["partition"]) == ("t", 3)
