"""The control channel: how relay, applier, reconciler and commands talk, whatever carries it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol

import structlog

from tellonce.control.messages import M, Message
from tellonce.control.routes import ForeignMessageError, heard
from tellonce.control.signing import Signatures
from tellonce.model.errors import PoisonMessageError

__all__ = ["Channel", "ControlMessage", "Heard", "Place", "Refusals", "Start", "read_statement"]

_log = structlog.get_logger()

Place = tuple[str, int]
"""A topic and a partition of it."""

Start = Literal["beginning", "now"] | Mapping[Place, int]
"""Where listening begins: at the first message, behind the last, or at each place's offset, 0 where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMessage:
    """One message of a control topic; `value` is None for a null of compaction, `signature` the header `tellonce`."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    signature: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Generic[M]):
    """A message, with who said it, which its topic tells, and where it stands."""

    speaker: str
    message: M
    place: Place
    offset: int


class Channel(Protocol):
    """What one principal says, and what it hears of others. Not thread-safe."""

    def say(self, message: Message) -> None:
        """Says a message; it has arrived when `flush` returns.

        Raises:
            RetryableError: the broker is away; what was said since the last `flush` is said again by the caller.
        """
        ...

    def flush(self) -> None:
        """Returns when everything said so far has arrived.

        Raises:
            RetryableError: something did not arrive; what was said since the last `flush` is said again by the caller.
            ConfigurationError: a topic is missing or closed to this principal.
        """
        ...

    def listen(self, shape: type[M], speakers: Sequence[str], start: Start) -> None:
        """Listens to messages of a shape by these speakers from `start` on; once more, from another place.

        Raises:
            RetryableError: the broker is away.
            ConfigurationError: a topic is missing or closed to this principal.
        """
        ...

    def hear(self, shape: type[M], wait_seconds: float = 0.0) -> Sequence[Heard[M]]:
        """Gives the next messages of a shape, in order for each place; none where none came in time.

        What cannot be read, or claims to be by another than who may write its topic, is logged, counted and passed.

        Raises:
            RetryableError: the broker is away; nothing is lost.
        """
        ...

    def places(self, shape: type[M]) -> Mapping[Place, int]:
        """Gives the offset behind what `hear` has given of a shape, passed messages included."""
        ...

    @property
    def has_caught_up(self) -> bool:
        """Whether everything that was there when listening began has been heard."""
        ...


class Refusals:
    """Takes messages as they stand on the topics, and tells of those that may not stand there: once for many alike."""

    def __init__(self, signatures: Signatures) -> None:
        self._signatures = signatures
        self._refused: dict[tuple[str, str], list[int]] = {}
        self._skipped: dict[tuple[str, str], list[int]] = {}
        self.count = 0
        """How many messages were refused or skipped so far."""

    def take(self, shape: type[M], speaker: str, message: ControlMessage) -> Heard[M] | None:
        """Gives what a place holds; nothing where it is no message that may stand there."""
        if message.value is None:
            # A null of compaction, which says nothing.
            return None
        place = (message.topic, message.partition)
        try:
            read = read_statement(self._signatures, shape, speaker, message)
            return Heard(speaker=speaker, message=read, place=place, offset=message.offset)
        except ForeignMessageError as error:
            self._refused.setdefault((message.topic, str(error)), []).append(message.offset)
        except PoisonMessageError as error:
            self._skipped.setdefault((message.topic, str(error)), []).append(message.offset)
        self.count += 1
        return None

    def tell(self) -> None:
        """Logs what was refused since it was told last: a line for each topic and reason, however many there were."""
        for (topic, reason), offsets in self._refused.items():
            _log.warning(
                "control_message_refused", topic=topic, reason=reason, offset=offsets[0], messages=len(offsets)
            )
        for (topic, reason), offsets in self._skipped.items():
            _log.warning(
                "control_message_skipped", topic=topic, reason=reason, offset=offsets[0], messages=len(offsets)
            )
        self._refused, self._skipped = {}, {}


def read_statement(signatures: Signatures, shape: type[M], speaker: str, message: ControlMessage) -> M:
    """Gives what a message says, if it is by this speaker.

    Raises:
        PoisonMessageError: it is no message of that shape.
        ForeignMessageError: its signature is not the speaker's, or it says it is by somebody else.
    """
    value = message.value or b""
    if not signatures.are_by(speaker, message.signature, message.topic, message.key, value):
        msg = f"expected a signature by one of the keys that topology.yaml lists for {speaker}, found none that fits"
        raise ForeignMessageError(f"{msg}; it was refused", speaker=speaker)
    return heard(shape, speaker, value)
