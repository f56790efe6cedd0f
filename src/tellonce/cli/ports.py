"""How services reach the control topics: what they say is written, what they are told is read and decoded."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TypeVar

import structlog
from pydantic import BaseModel

from tellonce.control.messages import (
    Answer,
    Attestation,
    Inquiry,
    Mark,
    Order,
    decode_message,
    encode_message,
    stream_key,
)
from tellonce.kafka.clients import make_reader
from tellonce.kafka.control import ControlReader, ControlWriter
from tellonce.kafka.group import read_message
from tellonce.kafka.reading import partition_count, read_last_event
from tellonce.kafka.settings import KafkaSettings
from tellonce.model.errors import PoisonMessageError
from tellonce.model.position import Header, parse_header
from tellonce.publish.log_check import LogEnd
from tellonce.publish.relay import GivenOrder
from tellonce.publish.streams import StreamId
from tellonce.topology.topics import MARKS, ORDERS, answers, attestations

__all__ = ["ControlPorts", "read_log_ends"]

_log = structlog.get_logger()
_LOG_END_SECONDS = 30.0

M = TypeVar("M", bound=BaseModel)


class ControlPorts:
    """One service's writer and readers of control topics; closed by the stack it was given."""

    def __init__(self, kafka: KafkaSettings, client_id: str, department: str, stack: ExitStack) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._department = department
        self._stack = stack
        self._writer = stack.enter_context(ControlWriter(kafka, f"{client_id}-control"))

    def mark(self, mark: Mark) -> None:
        """Says a mark."""
        self._write(MARKS, mark.view, mark.partition, mark)

    def attest(self, attestation: Attestation) -> None:
        """States what the department holds."""
        self._write(attestations(self._department), attestation.view, attestation.partition, attestation)

    def answer(self, answer: Answer) -> None:
        """Answers an inquiry."""
        self._write(answers(self._department), answer.view, answer.partition, answer)

    def order(self, order: Order) -> None:
        """Gives an order."""
        self._write(ORDERS, order.view, order.partition, order)

    def bury(self, due: Sequence[Mapping[str, object]], topics: Mapping[str, str]) -> None:
        """Sends the null that lets compaction forget a deleted record."""
        for grave in due:
            key = str(grave["pseudonym"]).encode()
            self._writer.write(topics[str(grave["view"])], key, None, partition=int(str(grave["partition"])))

    def flush(self) -> None:
        """Returns when everything said so far has arrived."""
        self._writer.flush()

    def read_inquiries(self, topic: str) -> Callable[[], list[Inquiry]]:
        """Gives a function that gives the inquiries that have come since the service started."""
        reader = self._stack.enter_context(ControlReader(self._kafka, f"{self._client_id}-inquiries", [topic], "now"))
        return lambda: [m for message in reader.poll(0.0) if (m := _decoded(Inquiry, message.value))]

    def read_orders(
        self, topic: str, cursors: Mapping[int, int]
    ) -> tuple[Callable[[], list[GivenOrder]], Callable[[], bool]]:
        """Gives a function that gives the orders behind the places that the database remembers.

        The second function tells whether all that were there at the start were given.
        """
        reader = self._stack.enter_context(ControlReader(self._kafka, f"{self._client_id}-orders", [topic]))

        def given() -> list[GivenOrder]:
            return [
                GivenOrder(partition=m.partition, offset=m.offset, order=_decoded(Order, m.value))
                for m in reader.poll(0.0)
                if m.offset >= cursors.get(m.partition, 0)
            ]

        return given, lambda: reader.has_caught_up

    def _write(self, topic: str, view: str, partition: int, message: BaseModel) -> None:
        self._writer.write(topic, stream_key(view, partition), encode_message(message))


def _decoded(shape: type[M], value: bytes | None) -> M | None:
    try:
        return decode_message(shape, value or b"")
    except PoisonMessageError as error:
        _log.warning("control_message_skipped", reason=str(error))
        return None


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
