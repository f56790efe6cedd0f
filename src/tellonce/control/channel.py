"""The control channel: how relay, applier, reconciler and commands talk, whatever carries it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol

import structlog

from tellonce.control.messages import M, Message
from tellonce.control.routes import ForeignMessageError, heard
from tellonce.model.errors import PoisonMessageError

__all__ = ["Channel", "Heard", "Place", "Start", "take"]

_log = structlog.get_logger()

Place = tuple[str, int]
"""A topic and a partition of it."""

Start = Literal["beginning", "now"] | Mapping[Place, int]
"""Where listening begins: at the first message, behind the last, or at each place's offset, 0 where it has none."""


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


def take(shape: type[M], speaker: str, value: bytes | None, place: Place, offset: int) -> Heard[M] | None:
    """Gives what a place holds; nothing, and a line of log, where it is no message that may stand there."""
    if value is None:
        # A null of compaction, which says nothing.
        return None
    where = {"topic": place[0], "partition": place[1], "offset": offset}
    try:
        return Heard(speaker=speaker, message=heard(shape, speaker, value), place=place, offset=offset)
    except ForeignMessageError as error:
        _log.warning("control_message_refused", reason=str(error), **where)
    except PoisonMessageError as error:
        _log.warning("control_message_skipped", reason=str(error), **where)
    return None
