"""The reconciler's topics: which it reads, which it writes, and what each message on them is."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from tellonce.control.messages import DivergenceEvent, Evidence, Inquiry, Order, encode_message, stream_key
from tellonce.kafka.control import ControlMessage, ControlReader, ControlWriter
from tellonce.kafka.settings import KafkaSettings
from tellonce.reconcile.core import Output
from tellonce.topology import Topology
from tellonce.topology.topics import (
    DIVERGENCES,
    EVIDENCE,
    INQUIRIES,
    MARKS,
    ORDERS,
    RECONCILER,
    answers,
    attestations,
)

__all__ = ["Reader", "Wires", "Writer", "answer_topics", "attestation_topics", "connect", "render_output"]


class Reader(Protocol):
    """What the reconciler needs of `kafka.control.ControlReader`."""

    @property
    def has_caught_up(self) -> bool:
        """Whether every partition has been read to its end at least once."""
        ...

    def poll(self, timeout_seconds: float, most: int = ...) -> list[ControlMessage]:
        """Gives the next messages, ordered within each partition; an empty list where none came in time."""
        ...


class Writer(Protocol):
    """What the reconciler needs of `kafka.control.ControlWriter`."""

    def write(self, topic: str, key: bytes, value: bytes | None, partition: int = ...) -> None:
        """Queues one message."""
        ...

    def flush(self, timeout_seconds: float | None = ...) -> None:
        """Returns when every message written so far has arrived, and raises where one has not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """The reconciler's connections."""

    statements: Reader
    """Divergences, marks and attestations, from their beginning: they are the reconciler's memory."""
    answers: Reader
    """Answers, from now on: those to an inquiry before the start are of no use."""
    writer: Writer


def attestation_topics(topology: Topology) -> dict[str, str]:
    """Gives the department that alone may write to each topic of attestations."""
    return {attestations(slug): slug for slug in topology.departments if topology.subscribed_by(slug)}


def answer_topics(topology: Topology) -> dict[str, str]:
    """Gives the department that alone may write to each topic of answers."""
    return {
        answers(slug): slug
        for slug in topology.departments
        if topology.subscribed_by(slug) or topology.published_by(slug)
    }


@contextmanager
def connect(settings: KafkaSettings, topology: Topology) -> Generator[Wires]:
    """Gives the reconciler's connections to Kafka, and closes them.

    Raises:
        RetryableError: the broker is away.
        ConfigurationError: the settings are refused, or a topic is missing or closed to this user.
    """
    with ExitStack() as stack:
        # Answers first: their end must be known before the first inquiry is written.
        heard = stack.enter_context(ControlReader(settings, RECONCILER, answer_topics(topology), start="now"))
        topics = (DIVERGENCES, MARKS, *attestation_topics(topology))
        statements = stack.enter_context(ControlReader(settings, RECONCILER, topics))
        writer = stack.enter_context(ControlWriter(settings, RECONCILER))
        yield Wires(statements=statements, answers=heard, writer=writer)


def render_output(message: Output) -> tuple[str, bytes, bytes]:
    """Gives topic, key and value of a message the reconciler writes."""
    match message:
        case Inquiry():
            topic, key = INQUIRIES, stream_key(message.view, message.partition)
        case Order():
            # One key per stream keeps the orders to a relay in order where a topic has several partitions.
            topic, key = ORDERS, stream_key(message.view, message.partition)
        case DivergenceEvent():
            topic, key = DIVERGENCES, message.divergence_id.encode()
        case Evidence():
            topic, key = EVIDENCE, message.source.encode()
    return topic, key, encode_message(message)
