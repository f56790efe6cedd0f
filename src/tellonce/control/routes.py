"""Which topic carries which message, and by what key: one table for whoever speaks and whoever listens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tellonce.control.messages import (
    Answer,
    Attestation,
    DivergenceEvent,
    Evidence,
    Heartbeat,
    Inquiry,
    M,
    Mark,
    Message,
    Order,
    RepairRequest,
    decode_message,
    encode_message,
    stream_key,
)
from tellonce.model.errors import PoisonMessageError
from tellonce.topology.topics import (
    RECONCILER,
    answers,
    attestations,
    divergences,
    evidence,
    heartbeats,
    inquiries,
    marks,
    orders,
    repairs,
)

__all__ = ["ForeignMessageError", "Outgoing", "heard", "outgoing", "said_on", "topics_heard"]


class ForeignMessageError(PoisonMessageError):
    """A message that says it is another's than the one who alone may write its topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message as it is written: where to, by which key, and its bytes."""

    topic: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """How messages of one shape travel: the topic of a principal, the key, and whom the message says it is by."""

    topic: Callable[[str], str]
    key: Callable[[Any], bytes]
    claims: Callable[[Any], str | None] = lambda _message: None


def _by_stream(message: Mark | Attestation | Inquiry | Answer | Order | RepairRequest) -> bytes:
    # One key per stream keeps what is said of it in order where somebody gave a topic several partitions.
    return stream_key(message.view, message.partition)


def _department(message: Mark | Attestation | Answer | Heartbeat) -> str:
    return message.department


_ROUTES: Mapping[type[Any], _Route] = {
    Mark: _Route(topic=marks, key=_by_stream, claims=_department),
    Attestation: _Route(topic=attestations, key=_by_stream, claims=_department),
    # These two are kept by whom they are for: the reconciler alone asks.
    Inquiry: _Route(topic=inquiries, key=_by_stream),
    RepairRequest: _Route(topic=repairs, key=_by_stream),
    Answer: _Route(topic=answers, key=_by_stream, claims=_department),
    Order: _Route(topic=orders, key=_by_stream),
    DivergenceEvent: _Route(topic=divergences, key=lambda event: event.divergence_id.encode()),
    Evidence: _Route(topic=evidence, key=lambda finding: finding.source.encode(), claims=lambda each: each.source),
    # By service, so that compaction leaves the newest of each.
    Heartbeat: _Route(topic=heartbeats, key=lambda beat: beat.service.encode(), claims=_department),
}


def outgoing(message: Message, speaker: str) -> list[Outgoing]:
    """Gives what is to be written where, so that the message is said by `speaker`.

    An inquiry goes to each department that it asks, and tells none who else is asked; so does a request for a repair.
    """
    route = _ROUTES[type(message)]
    parts: dict[str, Message]
    if isinstance(message, Inquiry):
        parts = {name: message.model_copy(update={"departments": (name,)}) for name in message.departments}
    elif isinstance(message, RepairRequest):
        parts = {message.department: message}
    else:
        parts = {speaker: message}
    return [
        Outgoing(topic=route.topic(name), key=route.key(part), value=encode_message(part))
        for name, part in parts.items()
    ]


def topics_heard(shape: type[M], listener: str, speakers: tuple[str, ...]) -> Mapping[str, str]:
    """Gives the topics on which `listener` hears messages of a shape, each with the principal who speaks there."""
    if shape in {Inquiry, RepairRequest}:
        return {_ROUTES[shape].topic(listener): RECONCILER}
    return {_ROUTES[shape].topic(speaker): speaker for speaker in speakers}


def said_on(topic: str) -> tuple[type[Message], str] | None:
    """Gives what shape of message a control topic carries, and who speaks there; None for any other topic."""
    principal = topic.rpartition(".")[2]
    for shape, route in _ROUTES.items():
        if route.topic(principal) == topic:
            return shape, RECONCILER if shape in {Inquiry, RepairRequest} else principal
    return None


def heard(shape: type[M], speaker: str, value: bytes | None) -> M:
    """Gives the message that a topic of this speaker holds.

    Raises:
        PoisonMessageError: it is no message of that shape.
        ForeignMessageError: it says it is by somebody else.
    """
    message = decode_message(shape, value or b"")
    claimed = _ROUTES[shape].claims(message)
    if claimed is not None and claimed != speaker:
        msg = f"expected a {shape.__name__} message of {speaker}, found one that says it is by somebody else"
        raise ForeignMessageError(f"{msg}; it was refused", shape=shape.__name__, speaker=speaker)
    return message
