"""What a relay does with the topics of its views, besides sending events."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from confluent_kafka import Consumer, Message

from tellonce.kafka.clients import make_reader
from tellonce.kafka.connection import check_connection
from tellonce.kafka.control import ControlWriter
from tellonce.kafka.group import read_message
from tellonce.kafka.reading import partition_count, read_last_event
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import ConfigurationError, RetryableError
from tellonce.model.position import HEADER_NAME, Header
from tellonce.model.seal import StreamSeal
from tellonce.publish.graves import Grave
from tellonce.publish.log_check import Closed, LogEnd
from tellonce.publish.streams import StreamId

__all__ = ["bury", "read_log_ends"]


def bury(
    kafka: KafkaSettings,
    client_id: str,
    topics: Mapping[str, str],
    seals: Mapping[StreamId, StreamSeal],
    due: Sequence[Grave],
) -> None:
    """Sends the nulls that let compaction forget deleted records, and returns when all have arrived.

    Raises:
        RetryableError: the broker is away; they are sent again.
    """
    with ControlWriter(kafka, client_id) as writer:
        for grave in due:
            key = grave.pseudonym.encode()
            position = Header(
                epoch=grave.epoch, sequence=grave.sequence, version=grave.version, settled=0, flagged=False
            )
            headers = [(HEADER_NAME, seals[grave.view, grave.partition].header(position, key, None))]
            writer.write(topics[grave.view], key, None, partition=grave.partition, headers=headers)


def read_log_ends(
    kafka: KafkaSettings,
    client_id: str,
    topics: Mapping[str, str],
    seals: Mapping[StreamId, StreamSeal],
    streams: Sequence[StreamId],
    renew: Callable[[], None],
) -> dict[StreamId, LogEnd | Closed]:
    """Gives the newest event of ours in the log of each stream, and how many partitions its topic has.

    What bears no seal of ours is passed over, so that nobody stops a stream by appending to it.
    A topic that is missing, or closed to this user, keeps only its own streams back.
    `renew` is called between the streams.

    Raises:
        RetryableError: the broker is away.
    """
    ends: dict[StreamId, LogEnd | Closed] = {}
    closed = _closed_topics(kafka, client_id, sorted({topics[view] for view, _ in streams}), renew)
    # No look outlasts half the lease, which is renewed between them.
    seconds = kafka.message_timeout_seconds
    failures: list[RetryableError] = []
    reader = make_reader(kafka, client_id)
    try:
        for stream_id in streams:
            topic = topics[stream_id[0]]
            renew()
            try:
                ends[stream_id] = closed.get(topic) or _end_of(
                    reader, topic, stream_id[1], seals.get(stream_id), seconds
                )
            except ConfigurationError as error:
                ends[stream_id] = Closed(why=str(error))
            except RetryableError as error:
                failures.append(error)
                ends[stream_id] = Closed(why=str(error))
    finally:
        reader.close()
    if failures and len(failures) == len(streams):
        raise failures[0]
    return ends


def _closed_topics(
    kafka: KafkaSettings, client_id: str, topics: Sequence[str], renew: Callable[[], None]
) -> dict[str, Closed]:
    """The topics that are missing or closed; they are asked for one by one only where not all are well."""
    renew()
    try:
        check_connection(kafka, reads=topics, writes=topics, client_id=client_id)
    except ConfigurationError as error:
        if len(topics) == 1:
            return {topics[0]: Closed(why=str(error))}
        each = [_closed_topics(kafka, client_id, [topic], renew) for topic in topics]
        return {name: why for found in each for name, why in found.items()}
    return {}


def _end_of(reader: Consumer, topic: str, number: int, seal: StreamSeal | None, seconds: float) -> LogEnd:
    partitions = partition_count(reader, topic, seconds)
    newest: Header | None = None
    if number < partitions and seal is not None:
        opened = partial(_opened, seal)
        message = read_last_event(reader, topic, number, seconds, opened)
        newest = opened(message) if message else None
    return LogEnd(newest=newest, partitions=partitions)


def _opened(seal: StreamSeal, message: Message) -> Header | None:
    read = read_message(message)
    try:
        return seal.open(read.header, read.key, read.value)
    except ValueError:
        return None
