"""What a relay does with the topics of its views, besides sending events."""

from collections.abc import Mapping, Sequence
from functools import partial

from confluent_kafka import Message

from tellonce.kafka.clients import make_reader
from tellonce.kafka.control import ControlWriter
from tellonce.kafka.group import read_message
from tellonce.kafka.reading import partition_count, read_last_event
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.position import HEADER_NAME, Header
from tellonce.model.seal import StreamSeal
from tellonce.publish.log_check import LogEnd
from tellonce.publish.orders import Grave
from tellonce.publish.streams import StreamId

__all__ = ["bury", "read_log_ends"]

_LOG_END_SECONDS = 30.0


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
) -> dict[StreamId, LogEnd]:
    """Gives the newest event of ours in the log of each stream, and how many partitions its topic has.

    What bears no seal of ours is passed over, so that nobody stops a stream by appending to it.
    """
    reader = make_reader(kafka, client_id)
    try:
        partitions = {view: partition_count(reader, topics[view], _LOG_END_SECONDS) for view, _ in streams}
        ends: dict[StreamId, LogEnd] = {}
        for view, number in streams:
            newest: Header | None = None
            if number < partitions[view]:
                opened = partial(_opened, seals[view, number])
                message = read_last_event(reader, topics[view], number, _LOG_END_SECONDS, opened)
                newest = opened(message) if message else None
            ends[view, number] = LogEnd(newest=newest, partitions=partitions[view])
        return ends
    finally:
        reader.close()


def _opened(seal: StreamSeal, message: Message) -> Header | None:
    read = read_message(message)
    try:
        return seal.open(read.header, read.key, read.value)
    except ValueError:
        return None
