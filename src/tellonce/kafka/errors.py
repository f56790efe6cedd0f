"""Kafka's errors in the words of our own, chosen by how a service reacts to them."""

from confluent_kafka import KafkaError, KafkaException, Message

from tellonce.model.errors import (
    ConfigurationError,
    InvariantError,
    PoisonMessageError,
    RetryableError,
    TellonceError,
)

__all__ = ["error_of", "is_end_of_partition", "kafka_error", "message_error"]

# The names are KafkaError.name()'s; a leading underscore means that librdkafka itself, not the broker, says so.
_FORBIDDEN = {
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
}
_UNKNOWN_TOPIC = {
    "UNKNOWN_TOPIC_OR_PART",
    "UNKNOWN_TOPIC_ID",
    "INCONSISTENT_TOPIC_ID",
    "_UNKNOWN_TOPIC",
    "_UNKNOWN_PARTITION",
}
_MISCONFIGURED = {
    "INVALID_CONFIG",
    "INVALID_GROUP_ID",
    "INVALID_PARTITIONS",
    "INVALID_REPLICATION_FACTOR",
    "INVALID_REPLICA_ASSIGNMENT",
    "INVALID_REQUIRED_ACKS",
    "INVALID_SESSION_TIMEOUT",
    "INCONSISTENT_GROUP_PROTOCOL",
    "GROUP_MAX_SIZE_REACHED",
    "POLICY_VIOLATION",
    "SECURITY_DISABLED",
    "TOPIC_EXCEPTION",
    "UNSUPPORTED_COMPRESSION_TYPE",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    "UNSUPPORTED_SASL_MECHANISM",
    "_FS",
    "_INVALID_ARG",
    "_NOT_CONFIGURED",
}
_OLD_BROKER = {"UNSUPPORTED_VERSION", "_UNSUPPORTED_FEATURE"}
_POISON = {"INVALID_RECORD", "INVALID_TIMESTAMP", "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"}
_POSITION_LOST = {"OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET", "_LOG_TRUNCATION"}
# Those of the broker that pass by themselves, though KafkaError.retriable() is only set on some paths. Producer state
# (OUT_OF_ORDER…, INVALID_PRODUCER_EPOCH) is among them: the relay discards the producer and sends again.
_PASSING = {
    "BROKER_NOT_AVAILABLE",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "DUPLICATE_SEQUENCE_NUMBER",
    "ELIGIBLE_LEADERS_NOT_AVAILABLE",
    "FENCED_LEADER_EPOCH",
    "FENCED_MEMBER_EPOCH",
    "ILLEGAL_GENERATION",
    "INVALID_FETCH_SESSION_EPOCH",
    "INVALID_MSG",
    "INVALID_PRODUCER_EPOCH",
    "INVALID_PRODUCER_ID_MAPPING",
    "KAFKA_STORAGE_ERROR",
    "LEADER_NOT_AVAILABLE",
    "MEMBER_ID_REQUIRED",
    "NETWORK_EXCEPTION",
    "NOT_CONTROLLER",
    "NOT_COORDINATOR",
    "NOT_ENOUGH_REPLICAS",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    "NOT_LEADER_FOR_PARTITION",
    "OFFSET_NOT_AVAILABLE",
    "OUT_OF_ORDER_SEQUENCE_NUMBER",
    "PREFERRED_LEADER_NOT_AVAILABLE",
    "REBALANCE_IN_PROGRESS",
    "REBOOTSTRAP_REQUIRED",
    "REPLICA_NOT_AVAILABLE",
    "REQUEST_TIMED_OUT",
    "SASL_AUTHENTICATION_FAILED",
    "STALE_BROKER_EPOCH",
    "STALE_MEMBER_EPOCH",
    "THROTTLING_QUOTA_EXCEEDED",
    "UNKNOWN_LEADER_EPOCH",
    "UNKNOWN_MEMBER_ID",
    "UNKNOWN_PRODUCER_ID",
    "UNSTABLE_OFFSET_COMMIT",
}
_LONGEST_TEXT = 200


def kafka_error(error: KafkaError, doing: str, **facts: str | int | None) -> TellonceError:
    """Gives our error for one of Kafka's; `doing` completes "could not …", and names topic and partition.

    Infrastructure that is away or refuses a login gives a RetryableError, for it may come back without us. What a
    person must allow, make or correct gives a ConfigurationError; what the broker refuses of one message for good a
    PoisonMessageError; a position that the log no longer has, and what nobody foresaw, an InvariantError.
    """
    name = error.name()
    text = " ".join(error.str().split())[:_LONGEST_TEXT]
    kind, advice = _reaction(error, name)
    return kind(
        f"could not {doing}: {text} ({name}); {advice}",
        kafka_error=name,
        is_fatal=error.fatal() or None,
        **facts,
    )


_Reaction = tuple[type[TellonceError], str]

_REACTIONS: tuple[tuple[set[str], _Reaction], ...] = (
    (
        _FORBIDDEN,
        (ConfigurationError, "the right is missing: an administrator gives it with `tellonce topics apply`"),
    ),
    (
        _UNKNOWN_TOPIC,
        (ConfigurationError, "the topic is missing: an administrator makes it with `tellonce topics apply`"),
    ),
    (
        _OLD_BROKER,
        (
            ConfigurationError,
            "the broker is too old for it: use Kafka 4.0 or newer, or set TELLONCE_KAFKA__GROUP_PROTOCOL=classic",
        ),
    ),
    (_MISCONFIGURED, (ConfigurationError, "correct the setting that it names")),
    (_POISON, (PoisonMessageError, "the broker will not take this message, now or later")),
    (
        _POSITION_LOST,
        (
            InvariantError,
            "the log does not hold this position: it was cut or made again; begin an epoch with `tellonce resync`",
        ),
    ),
)
_TRIED_AGAIN: _Reaction = (RetryableError, "it is tried again")
_UNFORESEEN: _Reaction = (InvariantError, "nobody foresaw this answer: look at the broker's log")


def _reaction(error: KafkaError, name: str) -> _Reaction:
    for names, reaction in _REACTIONS:
        if name in names:
            return reaction
    passes = name.startswith("_") or name in _PASSING or error.retriable() or error.fatal()
    return _TRIED_AGAIN if passes else _UNFORESEEN


def error_of(exception: BaseException, doing: str, **facts: str | int | None) -> TellonceError:
    """Gives our error for what a client of confluent-kafka raised, as `kafka_error` does.

    A fatal error inside `flush` or `poll` comes as a SystemError that has the KafkaException as its cause.
    """
    seen: BaseException | None = exception
    while seen is not None:
        if isinstance(seen, KafkaException) and seen.args and isinstance(seen.args[0], KafkaError):
            return kafka_error(seen.args[0], doing, **facts)
        seen = seen.__cause__ or seen.__context__
    if isinstance(exception, BufferError):
        return RetryableError(f"could not {doing}: the client's queue is full; it is tried again", **facts)
    return InvariantError(f"could not {doing}: {type(exception).__name__}: {exception}", **facts)


def is_end_of_partition(message: Message) -> bool:
    """Whether this is no message but the news that the end of the log was reached; its offset is that end."""
    error = message.error()
    return error is not None and error.name() == "_PARTITION_EOF"


def message_error(message: Message) -> TellonceError | None:
    """Gives our error where a consumer handed out an error in place of a message; None for data and the log's end."""
    error = message.error()
    if error is None or is_end_of_partition(message):
        return None
    topic, partition = message.topic(), message.partition()
    where = "read from Kafka" if topic is None else f"read topic {topic}, partition {partition}"
    return kafka_error(error, where, topic=topic, partition=partition, offset=message.offset())
