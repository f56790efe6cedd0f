"""Writing and reading the control topics; what a message means is none of this module's business."""

import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition

from tellonce.control.channel import ControlMessage, Place, Start
from tellonce.kafka.clients import make_producer, make_reader
from tellonce.kafka.errors import error_of, is_end_of_partition, kafka_error, message_error
from tellonce.kafka.reading import consume_now, first_and_end_offsets, partition_count
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import RetryableError, TellonceError
from tellonce.model.position import HEADER_NAME

__all__ = ["ControlReader", "ControlWriter", "signature_of"]

_log = structlog.get_logger()

_QUEUE_WAIT_SECONDS = 0.1
_BATCH = 500


class ControlWriter:
    """Writes messages and says whether all of them arrived; not thread safe.

    A message may arrive twice where a `flush` failed and its caller writes again: readers must bear that.
    """

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        """Make the producer.

        Raises:
            ConfigurationError: the settings are refused.
        """
        self._producer: Producer = make_producer(settings, client_id, connected=True)
        self._longest_seconds = settings.message_timeout_seconds
        self._failure: TellonceError | None = None

    def __enter__(self) -> Self:
        """Give the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush, unless the block failed: then what is queued may be lost, and the block's own error is told."""
        if kind is None:
            self.flush()

    def write(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int = -1,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Queue one message; messages with the same key keep their order. It has arrived when `flush` returns.

        `partition` is chosen by the key where it is not given (-1).

        Raises:
            RetryableError: the queue stayed full for as long as a message may take.
            PoisonMessageError: the message is larger than `max_message_bytes`.
        """
        deadline = time.monotonic() + self._longest_seconds
        while True:
            try:
                self._producer.produce(
                    topic, value=value, key=key, partition=partition, headers=list(headers), on_delivery=self._note
                )
            except BufferError as error:
                if time.monotonic() >= deadline:
                    raise error_of(error, f"write to topic {topic}", topic=topic) from error
                self._producer.poll(_QUEUE_WAIT_SECONDS)
            except KafkaException as error:
                raise error_of(error, f"write to topic {topic}", topic=topic) from error
            else:
                break
        self._poll()

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Return when every message written so far has arrived; without a limit, when it has arrived or failed.

        Raises:
            RetryableError: not all arrived in time, or the broker is away.
            ConfigurationError: a topic is missing or closed to this user.
            PoisonMessageError: the broker refuses a message for good.
        """
        # A message is given up after message_timeout_seconds, so twice that is never reached while the client works.
        limit = 2 * self._longest_seconds if timeout_seconds is None else timeout_seconds
        try:
            waiting = self._producer.flush(limit)
        except (KafkaException, SystemError) as error:
            raise error_of(error, "write control messages") from error
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if waiting:
            message = f"{waiting} control messages were not acknowledged within {limit:g} s; they are written again"
            raise RetryableError(message, waiting=waiting)

    def close(self) -> None:
        """Give up what has not arrived; the connection ends with the writer."""
        self._producer.purge()
        self._producer.flush(0)

    def _poll(self) -> None:
        try:
            self._producer.poll(0)
        except (KafkaException, SystemError) as error:
            raise error_of(error, "write control messages") from error

    def _note(self, error: KafkaError | None, message: Message) -> None:
        # Must not raise: librdkafka calls it. The first failure is told, the others follow from it.
        if error is not None and self._failure is None:
            topic = message.topic()
            self._failure = kafka_error(error, f"write to topic {topic}", topic=topic, partition=message.partition())


class ControlReader:
    """Reads all partitions of some topics, without a group, each from where it is told to; not thread safe.

    Whoever reads from the beginning asks `has_caught_up` before judging by what is missing.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        client_id: str,
        topics: Iterable[str] = (),
        start: Start = "beginning",
        *,
        group_id: str | None = None,
    ) -> None:
        """Ask for the partitions and begin; a partition that is added later is not read.

        `group_id` is as in `clients.make_reader`.

        Raises:
            RetryableError: the broker did not answer within `connect_timeout_seconds`.
            ConfigurationError: a topic is missing or closed to this user.
        """
        self._reader = make_reader(settings, client_id, group_id=group_id)
        self._connect_seconds = settings.connect_timeout_seconds
        self._assigned: set[Place] = set()
        self._behind: set[Place] = set()
        self._failure: TellonceError | None = None
        try:
            self.follow(topics, start)
        except TellonceError:
            self.close()
            raise

    def follow(self, topics: Iterable[str], start: Start) -> dict[Place, int]:
        """Reads these topics too; one that is being read already is read from the new place.

        Gives the offset at which each partition is begun, 0 for its beginning.

        Raises:
            RetryableError: the broker did not answer within `connect_timeout_seconds`; all is as it was.
            ConfigurationError: a topic is missing or closed to this user.
        """
        deadline = time.monotonic() + self._connect_seconds
        positions: list[TopicPartition] = []
        for topic in dict.fromkeys(topics):
            count = partition_count(self._reader, topic, max(deadline - time.monotonic(), 0.001))
            for partition in range(count):
                remaining = max(deadline - time.monotonic(), 0.001)
                positions.append(TopicPartition(topic, partition, self._offset((topic, partition), start, remaining)))
        places = {(one.topic, one.partition) for one in positions}
        try:
            if again := places & self._assigned:
                self._reader.incremental_unassign([TopicPartition(topic, number) for topic, number in sorted(again)])
            if positions:
                self._reader.incremental_assign(positions)
        except KafkaException as error:
            raise error_of(error, "read control topics") from error
        self._assigned |= places
        self._behind |= places
        return {(one.topic, one.partition): max(one.offset, 0) for one in positions}

    def _offset(self, place: Place, start: Start, timeout_seconds: float) -> int:
        if start == "beginning" or (isinstance(start, Mapping) and not start.get(place)):
            return OFFSET_BEGINNING
        # OFFSET_END would be looked up later, and what is written until then would be missed.
        first, end = first_and_end_offsets(self._reader, *place, timeout_seconds)
        if not isinstance(start, Mapping):
            return end
        if first <= start[place] <= end:
            return start[place]
        # The topic was made again, or its oldest messages are gone: nothing that is there may be missed.
        _log.warning("control_topic_is_another", topic=place[0], partition=place[1], known=start[place], end=end)
        return first

    def __enter__(self) -> Self:
        """Give the reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    @property
    def has_caught_up(self) -> bool:
        """Whether every partition has been read to its end at least once, and all of that was handed out."""
        return not self._behind

    def poll(self, timeout_seconds: float, most: int = _BATCH) -> list[ControlMessage]:
        """Gives the next messages, at most `most`, after at most `timeout_seconds`; an empty list where none came.

        Ordered within each partition. After a RetryableError it goes on where it was.

        Raises:
            RetryableError: the broker is away.
            ConfigurationError: a topic was closed to this user.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        batch = consume_now(self._reader, most, timeout_seconds)
        found: list[ControlMessage] = []
        for message in batch:
            failure = message_error(message)
            if failure is not None:
                # What came before it, and after it of other partitions, is handed out first.
                self._failure = self._failure or failure
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if topic is None or partition is None or offset is None:
                continue
            if is_end_of_partition(message):
                self._behind.discard((topic, partition))
                continue
            found.append(
                ControlMessage(
                    topic=topic,
                    partition=partition,
                    offset=offset,
                    key=message.key(),
                    value=message.value(),
                    signature=signature_of(message),
                )
            )
        if self._failure is not None and not found:
            failure, self._failure = self._failure, None
            raise failure
        return found


def signature_of(message: Message) -> bytes | None:
    """Gives what a control message is signed with, if it is."""
    # confluent-kafka types headers for both directions: what is read is a list of pairs.
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return dict(headers).get(HEADER_NAME)
