"""What a relay does with the topics of its views, besides sending events."""

from collections.abc import Mapping, Sequence

from tellonce.kafka.clients import make_reader
from tellonce.kafka.control import ControlWriter
from tellonce.kafka.group import read_message
from tellonce.kafka.reading import partition_count, read_last_event
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.position import Header, parse_header
from tellonce.publish.log_check import LogEnd
from tellonce.publish.streams import StreamId

__all__ = ["bury", "read_log_ends"]

_LOG_END_SECONDS = 30.0


def bury(kafka: KafkaSettings, client_id: str, topics: Mapping[str, str], due: Sequence[Mapping[str, object]]) -> None:
    """Sends the nulls that let compaction forget deleted records, and returns when all have arrived.

    Raises:
        RetryableError: the broker is away; they are sent again.
    """
    with ControlWriter(kafka, client_id) as writer:
        for grave in due:
            key = str(grave["pseudonym"]).encode()
            writer.write(topics[str(grave["view"])], key, None, partition=int(str(grave["partition"])))


def read_log_ends(
    kafka: KafkaSettings, client_id: str, topics: Mapping[str, str], streams: Sequence[StreamId]
) -> dict[StreamId, LogEnd]:
    """Gives the newest event in the log of each stream, and how many partitions its topic has."""
    reader = make_reader(kafka, client_id)
    try:
        partitions = {view: partition_count(reader, topics[view], _LOG_END_SECONDS) for view, _ in streams}
        ends: dict[StreamId, LogEnd] = {}
        for view, number in streams:
            newest: Header | None = None
            if number < partitions[view]:
                message = read_last_event(reader, topics[view], number, _LOG_END_SECONDS)
                header = read_message(message).header if message else None
                newest = parse_header(header) if header else None
            ends[view, number] = LogEnd(newest=newest, partitions=partitions[view])
        return ends
    finally:
        reader.close()
